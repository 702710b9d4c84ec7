"""A witness's answers: signatures are checked in threads, votes are on disk before they leave."""

import logging
from collections.abc import Callable, Sequence

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol, Refused
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import vote_for, vote_message
from p2pgrid.ledger.rules import MAY_PASS, names_usable_keys
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.witness import Candidate
from p2pgrid.limits.ledger import THREAD_OPERATIONS_MIN
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.certificate import VoteAnswer, VoteRequest
from p2pgrid.model.ids import NetworkId, NodeId, short
from p2pgrid.model.operation import Operation
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import sign_message, verify

log = logging.getLogger(__name__)


def examine(
    envelopes: Sequence[bytes], network: NetworkId, state: LedgerState
) -> tuple[Candidate, ...]:
    """Check the signatures of operations, 60 µs each, most of it without the GIL.

    Raises:
        PeerError: one is not signed by its account for this grid.
    """
    signed = [verify(Operation, envelope, network) for envelope in envelopes]
    return tuple(Candidate(one, names_usable_keys(one.record, state)) for one in signed)


class Ballot:
    """Votes for this node, when it is a witness.

    Args:
        on_behind: called with the asker when it knows of certificates that we lack.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store,
        key: SigningKey,
        now_ms: Callable[[], TimestampMs],
        *,
        on_behind: Callable[[NodeId], None],
    ) -> None:
        self._archive = archive
        self._store = store
        self._key = key
        self._now_ms = now_ms
        self._on_behind = on_behind

    async def answer(self, asker: NodeId, body: bytes) -> bytes:
        """Vote for a batch.

        Raises:
            Refused: this node does not vote in that epoch.
            PeerError: the asker sent what no entry node of ours sends.
            StoreFailed: the votes are not on disk, so they are not given.
        """
        archive = self._archive
        request = decode(VoteRequest, body, bytes_max=FRAME_BYTES_MAX)
        ours = archive.witnesses
        if not archive.is_witness:
            raise Refused(f"{short(NodeId(bytes(self._key.verify_key)))} is no witness")
        if (request.epoch, request.witness_set_hash) != (ours.epoch, ours.hash):
            raise Refused(f"this witness votes in epoch {ours.epoch} of another witness set")
        candidates = await self._examine(request.operations)
        if len({one.signed.id for one in candidates}) != len(candidates):
            raise BrokenProtocol("an operation is in the batch twice")
        judged = archive.witness.judge(candidates, self._now_ms())
        await self._store.commit(judged.changes)
        if any(refusal.reason in MAY_PASS for refusal in judged.refusals):
            self._on_behind(asker)
        signature = None
        if judged.accepted:
            accepted = frozenset(judged.accepted)
            envelopes = [one.signed.envelope for one in candidates if one.signed.id in accepted]
            message = vote_message(vote_for(envelopes, ours), archive.network)
            signature = sign_message(message, self._key)
        log.debug("voted for %d of %d operations", len(judged.accepted), len(candidates))
        return encode(VoteAnswer(refusals=judged.refusals, signature=signature))

    async def _examine(self, envelopes: Sequence[bytes]) -> tuple[Candidate, ...]:
        network, state = self._archive.network, self._archive.state
        if len(envelopes) < THREAD_OPERATIONS_MIN:
            await trio.lowlevel.checkpoint()
            return examine(envelopes, network, state)
        return await trio.to_thread.run_sync(examine, envelopes, network, state)
