"""The shell of epochs: leads and votes when this node is a witness, follows when it is not.

One task calls `run`. It leads the views that are ours, asks peers for ends of epochs that
are late by our clock, and fetches what is missing to settle those that are over.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import trio

from p2pgrid.errors import GridError, Refused
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.epoch_fetching import fetch_batches, fetch_cut, fetch_epochs
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.ledger.epoch_leader import EpochLeader
from p2pgrid.ledger.epoch_leading import EpochLeading
from p2pgrid.ledger.epoch_messages import Commit, EpochAnswer, EpochQuestion, Gather, Prepare
from p2pgrid.ledger.epoch_operations import Cut
from p2pgrid.ledger.epoch_rules import Frame, signers_of
from p2pgrid.ledger.epoch_schedule import leader_of
from p2pgrid.ledger.epoch_voter import EpochVoter
from p2pgrid.ledger.messages import EpochItem
from p2pgrid.ledger.replication import Replication
from p2pgrid.limits.epochs import (
    EPOCH_ANSWER_SECONDS_MAX,
    EPOCH_ASKED_PEERS,
    EPOCH_FOLLOW_SECONDS,
    EPOCH_FOLLOW_SECONDS_MAX,
    EPOCH_LOOK_SECONDS_MIN,
)
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.epoch import Seat
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.store.store import Store
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RotationParts:
    """What goes from epoch to epoch with it."""

    archive: Archive
    replication: Replication
    keys: EpochKeys
    """Of this witness, if it is one."""
    store: Store
    """The ledger's."""
    on_begun: Callable[[], None]
    """Called when an epoch has begun."""


class Rotation:
    """Takes a node from epoch to epoch.

    Args:
        network: a way to peers.
        parts: of the ledger.
        now_ms: the wall clock.
        random: which peers to ask.
    """

    def __init__(
        self,
        network: Network,
        parts: RotationParts,
        now_ms: Callable[[], TimestampMs],
        *,
        random: Random,
    ) -> None:
        self._network = network
        self._archive, self._epochs = parts.archive, parts.archive.epochs
        self._replication = parts.replication
        self._keys, self._store = parts.keys, parts.store
        self._on_begun = parts.on_begun
        self._now_ms = now_ms
        self._random = random
        self._voter: EpochVoter | None = None
        self._news = trio.Event()
        self._changed = trio.Event()
        self._begun = self._epochs.chain.epoch

    def look(self) -> None:
        """Something about epochs is new, or is asked of us that we do not know."""
        self._news.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow)
            nursery.start_soon(self._lead_in_turn)

    # --- following --------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Learn of ends of epochs, and settle them."""
        while True:
            is_asked, self._news = self._news.is_set(), trio.Event()
            self._settle()
            if is_asked or self._is_late():
                await self._ask_for_ends()
                self._settle()
            if self._epochs.unsettled is not None:
                await self._fetch_unsettled()
                self._settle()
            with trio.move_on_after(self._pause_seconds()):
                await self._news.wait()
            await trio.sleep(EPOCH_LOOK_SECONDS_MIN)

    def _is_late(self) -> bool:
        return self._epochs.chain.frame.schedule.is_closed(self._now_ms())

    def _pause_seconds(self) -> float:
        """Until there is something to look at again."""
        if self._epochs.unsettled is not None or self._is_late():
            return EPOCH_FOLLOW_SECONDS
        left_ms = self._epochs.chain.frame.schedule.closes_ms - self._now_ms()
        return min(left_ms / SECOND_MS + EPOCH_FOLLOW_SECONDS, EPOCH_FOLLOW_SECONDS_MAX)

    def _settle(self) -> None:
        """Let what is over take effect, as far as it is here; tell the node about it."""
        self._archive.settle()
        epoch = self._epochs.chain.epoch
        if epoch != self._begun:
            self._begun, self._voter = epoch, None
            seat = self._epochs.chain.frame.seat_of(self._network.id)
            self._store.write(self._keys.retire(epoch, seat))
            self._changed.set()
            self._on_begun()

    async def _ask_for_ends(self) -> None:
        for peer in self._some_peers():
            try:
                while True:
                    first = self._epochs.chain.epoch
                    ends = await fetch_epochs(self._network, peer, first)
                    with blaming(self._network, peer):
                        for end in ends:
                            self._replication.take_epoch(end)
                    if self._epochs.chain.epoch == first:
                        break
            except GridError as error:
                log.debug("%s does not say how epochs ended: %s", short(peer), error)

    def _some_peers(self) -> list[NodeId]:
        peers = list(self._network.peers())
        self._random.shuffle(peers)
        return peers[:EPOCH_ASKED_PEERS]

    async def _fetch_unsettled(self) -> None:
        """Fetch what the first unsettled epoch held, from those who decided it and from others."""
        epoch = self._epochs.settled
        end = self._epochs.chain.end_of(epoch)
        frame = self._epochs.chain.frame_of(epoch)
        assert end is not None, "it is over"
        assert frame is not None, "it is over"
        signers = [
            one for one in signers_of(end.quorum, frame.witnesses) if one != self._network.id
        ]
        self._random.shuffle(signers)
        for peer in [*signers[:EPOCH_ASKED_PEERS], *self._some_peers()]:
            if self._epochs.settled != epoch:
                return
            try:
                await self.fetch(peer, epoch, end.proposal.operations_root)
            except GridError as error:
                log.debug("%s does not say what epoch %d held: %s", short(peer), epoch, error)
            else:
                return

    async def fetch(self, peer: NodeId, epoch: int, root: bytes) -> None:
        """Have every operation of a set here, from one peer. Raises GridError."""
        operations = self._epochs.operations_of(epoch)
        cut = operations.known(root)
        if cut is None:
            cut = await fetch_cut(self._network, peer, epoch, root)
            operations.learn(cut)
        wanted: Cut = cut
        await fetch_batches(
            self._network, peer, epoch, lambda: operations.missing(wanted), self._replication
        )

    # --- voting -----------------------------------------------------------------------------------

    async def answer(self, peer: NodeId, body: bytes) -> bytes:
        """Answer the leader of a view.

        Raises:
            Refused: this node has no vote on the end of that epoch.
            PeerError: the leader sent what no honest one sends.
            StoreFailed: the vote is not on disk, so it is not given.
        """
        asked = decode(EpochQuestion, body, bytes_max=FRAME_BYTES_MAX)
        voter = await self._voter_of(asked.epoch)
        match asked.question:
            case Prepare(proposal=proposal, lock=None):
                await self._try_to_hold(peer, asked.epoch, proposal.operations_root)
            case _:
                pass
        if voter.frame.epoch != self._epochs.chain.epoch:
            raise Refused("the epoch has ended")
        judged = voter.answer(peer, asked.question, self._epochs, self._now_ms())
        await self._store.commit(judged.changes)
        return encode(EpochAnswer(answer=judged.answer))

    async def _voter_of(self, epoch: int) -> EpochVoter:
        frame = self._epochs.chain.frame
        seat = frame.seat_of(self._network.id)
        if epoch != frame.epoch or not self._epochs.is_settled or seat is None:
            if epoch > frame.epoch:
                self.look()
            raise Refused(f"no vote on the end of epoch {epoch} here")
        if not frame.schedule.is_closed(self._now_ms()):
            raise Refused("the epoch goes on")
        if self._voter is None:
            await self._store.commit(self._keys.make(epoch + 1))
        if self._epochs.chain.epoch != epoch:
            raise Refused("the epoch has ended")
        self._epochs.close()
        return self._voter_on(frame, seat)

    def _voter_on(self, frame: Frame, seat: Seat) -> EpochVoter:
        """Our voter of the current epoch: one, however many ask at once."""
        if self._voter is None:
            key, fresh = self._keys.key_of(seat), self._keys.fresh(frame.epoch + 1, seat)
            if key is None or fresh is None:
                raise Refused("this witness has lost its key; it sits out until the next epoch")
            memory = self._epochs.memory()
            self._voter = EpochVoter(frame, self._network.id, key, fresh, memory)
        return self._voter

    async def _try_to_hold(self, peer: NodeId, epoch: int, root: bytes) -> None:
        if self._epochs.held(root) is None:
            try:
                await self.fetch(peer, epoch, root)
            except GridError as error:
                log.info("the leader %s does not show what it proposes: %s", short(peer), error)

    # --- leading ----------------------------------------------------------------------------------

    async def _lead_in_turn(self) -> None:
        while True:
            self._changed = trio.Event()
            frame, now_ms = self._epochs.chain.frame, self._now_ms()
            view = frame.schedule.view_at(now_ms)
            next_ms = frame.schedule.view_starts_ms(0 if view is None else view + 1)
            seconds = min(max(next_ms - now_ms, 1) / SECOND_MS, EPOCH_FOLLOW_SECONDS_MAX)
            with trio.move_on_after(seconds):
                async with trio.open_nursery() as nursery:
                    if view is not None and leader_of(view, frame.witnesses) == self._network.id:
                        nursery.start_soon(self._lead, frame, view)
                    await self._changed.wait()
                    nursery.cancel_scope.cancel()

    async def _lead(self, frame: Frame, view: int) -> None:
        """Lead one view until it has decided; the caller ends it when the next begins."""
        try:
            await self._voter_of(frame.epoch)  # our books are closed, and we may vote ourselves
            leading = EpochLeading(EpochLeader(frame, view), self, self._epochs, self._now_ms)
            certificate = await leading.run()
            self._replication.take_epoch(certificate)
        except GridError as error:
            log.info("view %d of epoch %d is not led: %s", view, frame.epoch, error)
        else:
            self._replication.publish(EpochItem(certificate))
            self._settle()

    def blame(self, peer: NodeId) -> None:
        """See `epoch_leading.Witnesses`."""
        self._network.blame(peer)

    async def ask_witness(
        self, witness: NodeId, epoch: int, question: Gather | Prepare | Commit
    ) -> EpochAnswer:
        """One witness's answer, which may be this node. Raises GridError."""
        body = encode(EpochQuestion(epoch=epoch, question=question))
        if witness == self._network.id:
            return decode(EpochAnswer, await self.answer(witness, body), bytes_max=FRAME_BYTES_MAX)
        with trio.fail_after(EPOCH_ANSWER_SECONDS_MAX):
            data = await self._network.request(witness, Method.LEDGER_EPOCH, body)
        with blaming(self._network, witness):
            return decode(EpochAnswer, data, bytes_max=FRAME_BYTES_MAX)
