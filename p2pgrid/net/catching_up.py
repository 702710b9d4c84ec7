"""Runs the pulls of one feature over the network: what `crdt.catch_up` decides is done here."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import trio

from p2pgrid.crdt.answerer import Answerer, Replica
from p2pgrid.crdt.catch_up import CatchUp, Outcome, Rhythm
from p2pgrid.crdt.reconcile import Pull
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.errors import BrokenProtocol, GridError, PeerError
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, PeerDown, PeerEvent, PeerUp, blaming
from p2pgrid.units import SECOND_MS

log = logging.getLogger(__name__)


class PullingReplica(Replica, Protocol):
    """A replica that others pull from, and that pulls itself."""

    @property
    def unwanted(self) -> UnwantedIds:
        """What is not to be fetched."""
        ...


@dataclass(frozen=True, slots=True)
class Tempo:
    """How often a feature pulls, and what one pull may take."""

    rhythm: Rhythm
    pull_seconds_max: float
    """From its begin."""
    idle_seconds_max: float
    """Without bringing news or a full page of ids."""
    in_vain_max: int
    """Records that a peer may name and not bring, beyond as many as it brings."""


class CatchingUp:
    """Pulls what peers have into a replica, and lets peers pull. One task calls `run`.

    Args:
        network: where the peers are.
        method: what these pulls are called.
        replica: what we have.
        take: verifies and stores records of a peer; gives how many were news. May raise PeerError.
        tempo: how often, and for how long.
        random: chooses peers and nonces.
    """

    def __init__(
        self,
        network: Network,
        method: Method,
        replica: PullingReplica,
        take: Callable[[tuple[bytes, ...]], Awaitable[int]],
        *,
        tempo: Tempo,
        random: Random,
    ) -> None:
        self._network = network
        self._method = method
        self._replica = replica
        self._take = take
        self._tempo = tempo
        self._random = random
        self._answerer = Answerer(replica, random)
        self._plan: CatchUp | None = None
        self._nudged: dict[NodeId, None] = {}
        self._wake = trio.Event()
        self.pulls = 0
        """Pulls that went through to the end."""
        self.pulled = trio.Event()
        """Set once the first pull went through."""
        self.level_at = float("-inf")
        """When a pull went through last, by trio's clock."""
        self.level_at_of: dict[NodeId, float] = {}
        """The same for each connected peer from which one did."""

    def pull_soon(self, peer: NodeId) -> None:
        """Say that `peer` knows something that we lack."""
        if peer != self._network.id:
            self._nudged[peer] = None
            self._wake.set()

    def pull_later(self, peer: NodeId) -> None:
        """Say that `peer` has something that we did not take when it told us."""
        if self._plan is not None:
            self._plan.hint(peer, _now_ms())
            self._wake.set()

    async def run(self) -> None:
        """Pull and answer until cancelled."""
        self._network.serve(self._method, self._answer)
        events = self._network.peer_events()
        self._plan = plan = CatchUp(self._tempo.rhythm, self._random, _now_ms())
        for peer in self._network.peers():
            plan.peer_up(peer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_peers, plan, events)
            while True:
                self._wake = trio.Event()
                for peer in self._nudged:
                    plan.nudge(peer)
                self._nudged.clear()
                for identity in plan.due(_now_ms()):
                    nursery.start_soon(self._pull_from, plan, NodeId(identity))
                with trio.move_on_at(plan.wake_at() / SECOND_MS):
                    await self._wake.wait()

    async def _watch_peers(
        self, plan: CatchUp, events: trio.MemoryReceiveChannel[PeerEvent]
    ) -> None:
        async for event in events:
            match event:
                case PeerUp(peer):
                    plan.peer_up(peer)
                case PeerDown(peer):
                    plan.peer_down(peer)
                    self.level_at_of.pop(peer, None)
            self._wake.set()

    async def _pull_from(self, plan: CatchUp, peer: NodeId) -> None:
        """Pull what `peer` has and we lack; whatever it does, we go on."""
        pull = plan.begin(peer, self._replica.ids, self._replica.unwanted, _now_ms())
        outcome = Outcome.FAILED
        try:
            outcome = await self._pull(peer, pull)
        except PeerError as error:
            log.info("%s answered a pull with garbage: %r", short(peer), error)
            outcome = Outcome.LIED
        except (GridError, trio.TooSlowError) as error:
            log.debug("pulling from %s: %r", short(peer), error)
        else:
            self.pulls += 1
            self.level_at = trio.current_time()
            if peer in self._network.peers():
                self.level_at_of[peer] = self.level_at
            self.pulled.set()
        finally:
            plan.ended(peer, outcome, _now_ms(), pull)
            self._wake.set()

    async def _pull(self, peer: NodeId, pull: Pull) -> Outcome:
        """One pull. Raises PeerError, Unreachable, TooSlowError."""
        taken = 0
        idle_seconds_max = self._tempo.idle_seconds_max
        with (
            trio.fail_after(self._tempo.pull_seconds_max),
            trio.fail_after(idle_seconds_max) as idle,
        ):
            while (request := pull.next_request()) is not None:
                full_pages = pull.full_pages
                with trio.fail_after(REQUEST_SECONDS_MAX):
                    reply = await self._network.request(peer, self._method, request)
                with blaming(self._network, peer):
                    records = pull.receive(reply)
                    fresh = await self._take(records) if records else 0
                taken += fresh
                pull.note_taken()
                if pull.in_vain > taken + self._tempo.in_vain_max:
                    # Waits like a liar, but is not blamed: it may be our clock that is wrong.
                    raise BrokenProtocol("records that were named did not come")
                if fresh or pull.full_pages > full_pages:
                    idle.deadline = trio.current_time() + idle_seconds_max
        if taken:
            log.debug("%d records of %s from %s", taken, self._method, short(peer))
        return Outcome.MORE if pull.is_partial and taken else Outcome.LEVEL

    async def _answer(self, peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._answerer.answer(peer, body, _now_ms())


def _now_ms() -> int:
    return round(trio.current_time() * SECOND_MS)  # rounded down it would wake too early for ever
