"""Leads one view over the network: carries questions to witnesses, and their answers back."""

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

import trio

from p2pgrid.errors import GridError, PeerError
from p2pgrid.ledger.epoch_leader import (
    AskWitnesses,
    Decided,
    EpochLeader,
    LeaderEffect,
    Learn,
)
from p2pgrid.ledger.epoch_messages import Commit, EpochAnswer, Gather, Prepare
from p2pgrid.ledger.epoch_voter import Books
from p2pgrid.limits.ledger import LEDGER_NUDGE_SECONDS_MIN
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import NodeId, short
from p2pgrid.units import SECOND_MS, TimestampMs

log = logging.getLogger(__name__)


class Witnesses(Protocol):
    """What the leader needs of the node around it."""

    async def ask_witness(
        self, witness: NodeId, epoch: int, question: Gather | Prepare | Commit
    ) -> EpochAnswer:
        """One witness's answer. Raises GridError."""
        ...

    async def fetch(self, peer: NodeId, epoch: int, root: bytes) -> None:
        """Have every operation of a set here. Raises GridError."""
        ...

    def blame(self, peer: NodeId) -> None:
        """A witness answered with what is invalid."""
        ...


class EpochLeading:
    """The shell of `EpochLeader`."""

    def __init__(
        self,
        leader: EpochLeader,
        witnesses: Witnesses,
        books: Books,
        now_ms: Callable[[], TimestampMs],
    ) -> None:
        self._leader = leader
        self._witnesses = witnesses
        self._books = books
        self._now_ms = now_ms
        self._epoch = leader.frame.epoch
        self._decided: EpochCertificate | None = None
        self._news = trio.Event()

    async def run(self) -> EpochCertificate:
        """Lead until the view has decided; the caller gives up when its time is over."""
        async with trio.open_nursery() as nursery:
            self._perform(nursery, self._leader.start())
            while self._decided is None:
                self._news = trio.Event()
                self._perform(nursery, self._leader.poll(self._books, self._now_ms()))
                with trio.move_on_after(self._pause_seconds()):
                    await self._news.wait()
            nursery.cancel_scope.cancel()
        return self._decided

    def _pause_seconds(self) -> float:
        wake_at = self._leader.wake_at
        return float("inf") if wake_at is None else max(0, wake_at - self._now_ms()) / SECOND_MS

    def _perform(self, nursery: trio.Nursery, effects: Iterable[LeaderEffect]) -> None:
        for effect in effects:
            match effect:
                case AskWitnesses(witnesses=witnesses, question=question):
                    for witness in witnesses:
                        nursery.start_soon(self._ask, nursery, witness, question)
                case Learn(witness=witness, root=root):
                    nursery.start_soon(self._learn, nursery, witness, root)
                case Decided(certificate=certificate):
                    self._decided = certificate

    async def _ask(
        self, nursery: trio.Nursery, witness: NodeId, question: Gather | Prepare | Commit
    ) -> None:
        """Ask until there is an answer: whoever was busy or away may still vote in this view."""
        while True:
            try:
                answer = (await self._witnesses.ask_witness(witness, self._epoch, question)).answer
                effects = self._leader.receive(witness, answer, self._books, self._now_ms())
            except (GridError, trio.TooSlowError) as error:
                if isinstance(error, PeerError):
                    self._witnesses.blame(witness)
                log.debug("witness %s does not say how it stands: %r", short(witness), error)
                await trio.sleep(LEDGER_NUDGE_SECONDS_MIN)
            else:
                log.debug("witness %s answers %s", short(witness), type(answer).__name__)
                self._perform(nursery, effects)
                self._news.set()
                return

    async def _learn(self, nursery: trio.Nursery, witness: NodeId, root: bytes) -> None:
        try:
            await self._witnesses.fetch(witness, self._epoch, root)
        except GridError as error:
            log.info("witness %s does not show what it stored: %s", short(witness), error)
        else:
            self._perform(nursery, self._leader.learnt(witness, self._books, self._now_ms()))
            self._news.set()
