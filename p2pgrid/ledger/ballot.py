"""A witness's answers: signatures are checked in threads, votes are on disk before they leave."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol, Refused
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.ledger.rules import MAY_PASS, may_pay, names_usable_keys
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.voting import answer_of
from p2pgrid.ledger.witness import Candidate
from p2pgrid.limits.ledger import (
    BALLOTS_PER_PEER_MAX,
    THREAD_OPERATIONS_MIN,
)
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.certificate import Reason, VoteRequest
from p2pgrid.model.ids import NetworkId, NodeId, short
from p2pgrid.model.operation import Operation
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import verify

log = logging.getLogger(__name__)

_SHOWS_US_BEHIND = MAY_PASS - {Reason.CERTIFIED}


def examine(
    envelopes: Sequence[bytes], network: NetworkId, state: LedgerState
) -> tuple[Candidate, ...]:
    """Check the signatures of operations, 60 µs each, most of it without the GIL.

    The keys that they name, up to 65 in each, are looked at only if there are funds.

    Raises:
        PeerError: one is not signed by its account for this grid.
    """
    signed = [verify(Operation, envelope, network) for envelope in envelopes]
    return tuple(
        Candidate(one, names_usable_keys(one.record, state) if may_pay(one.record, state) else None)
        for one in signed
    )


@dataclass(slots=True)
class _Turn:
    """The place of one asker, while requests of it are there."""

    limiter: trio.CapacityLimiter = field(
        default_factory=lambda: trio.CapacityLimiter(BALLOTS_PER_PEER_MAX)
    )
    count: int = 0


class Ballot:
    """Votes for this node, when it is a witness.

    Args:
        on_behind: called with the asker when it knows of certificates that we lack.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store,
        keys: EpochKeys,
        now_ms: Callable[[], TimestampMs],
        *,
        on_behind: Callable[[NodeId], None],
    ) -> None:
        self._archive = archive
        self._store = store
        self._keys = keys
        self._now_ms = now_ms
        self._on_behind = on_behind
        self._turns: dict[NodeId, _Turn] = {}

    async def answer(self, asker: NodeId, body: bytes) -> bytes:
        """Vote for a batch.

        Raises:
            Refused: this node does not vote in that epoch.
            PeerError: the asker sent what no entry node of ours sends.
            StoreFailed: the votes are not on disk, so they are not given.
        """
        turn = self._turns.setdefault(asker, _Turn())
        turn.count += 1
        try:
            async with turn.limiter:
                return await self._answer(asker, body)
        finally:
            turn.count -= 1
            if not turn.count:
                del self._turns[asker]

    async def _answer(self, asker: NodeId, body: bytes) -> bytes:
        archive = self._archive
        request = decode(VoteRequest, body, bytes_max=FRAME_BYTES_MAX)
        witnesses, key = archive.witnesses, self._require_turn(asker, request)
        candidates = await self._examine(request.operations)
        self._require_turn(asker, request)  # the epoch may have ended meanwhile
        if len({one.signed.id for one in candidates}) != len(candidates):
            raise BrokenProtocol("an operation is in the batch twice")
        judged = archive.witness.judge(candidates, self._now_ms())
        await self._store.commit(judged.changes)
        if archive.witnesses.epoch != witnesses.epoch:
            raise Refused("the epoch that these votes were for has ended")
        if any(refusal.reason in _SHOWS_US_BEHIND for refusal in judged.refusals):
            self._on_behind(asker)
        log.debug("voted for %d of %d operations", len(judged.accepted), len(candidates))
        return encode(answer_of(archive, candidates, judged, witnesses, key))

    def _require_turn(self, asker: NodeId, request: VoteRequest) -> SigningKey:
        """The key to vote with now. Raises Refused when this node does not."""
        epochs, node = self._archive.epochs, self._keys.node
        frame, ours = epochs.chain.frame, epochs.chain.witnesses
        seat = frame.seat_of(node)
        if seat is None:
            raise Refused(f"{short(node)} is no witness")
        if (request.epoch, request.witness_set_hash) != (ours.epoch, ours.hash):
            if request.epoch > ours.epoch:
                self._on_behind(asker)
            raise Refused(f"this witness votes in epoch {ours.epoch} of another witness set")
        if not epochs.is_settled:
            raise Refused(f"this witness does not know yet how epoch {epochs.settled} ended")
        if frame.schedule.is_frozen(self._now_ms()):
            raise Refused(f"epoch {ours.epoch} is ending; votes go on in a moment")
        key = self._keys.key_of(seat)
        if key is None:
            raise Refused("this witness has lost its key; it sits out until the next epoch")
        return key

    async def _examine(self, envelopes: Sequence[bytes]) -> tuple[Candidate, ...]:
        network, state = self._archive.network, self._archive.state
        if len(envelopes) < THREAD_OPERATIONS_MIN:
            await trio.lowlevel.checkpoint()
            return examine(envelopes, network, state)
        return await trio.to_thread.run_sync(examine, envelopes, network, state)
