"""Evidence: proof that an account or a witness said two things where only one is allowed.

Whoever holds the proof can check it alone, so it travels like any record. One
per culprit is enough: it is known by its culprit, so that replicas which got
different proofs against one key still count as equal.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

from p2pgrid.errors import BadSignature, BrokenProtocol
from p2pgrid.ledger.certificate import (
    Verified,
    WitnessSet,
    merkle_path,
    root_of_path,
    vote_message,
)
from p2pgrid.model.certificate import Equivocation, ProvenVote, TwoOperations, TwoVotes
from p2pgrid.model.ids import ID_BYTES, NetworkId, NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, is_signed_by, verify


def evidence_id(culprit: bytes) -> RecordId:
    """What the evidence against one key is known by, 32 bytes, never the root of a batch."""
    person = RecordKind.EQUIVOCATION.person
    return RecordId(blake2b(culprit, digest_size=ID_BYTES, person=person).digest())


def shared_slot(one: Operation, other: Operation) -> bytes | None:
    """A slot that both operations would use up, or None."""
    return next((slot for slot in one.slots if slot in other.slots), None)


def convict_account(one: Signed[Operation], other: Signed[Operation]) -> Equivocation | None:
    """The proof that two operations of one account exclude each other, or None if they do not."""
    slot = shared_slot(one.record, other.record)
    if one.id == other.id or one.record.account != other.record.account or slot is None:
        return None
    first, second = sorted((one, other), key=lambda signed: signed.id)
    return Equivocation(
        culprit=NodeId(one.record.account),
        slot=slot,
        proof=TwoOperations(first=first.envelope, second=second.envelope),
    )


def convict_witnesses(
    one: Verified, other: Verified, witnesses: WitnessSet
) -> Iterator[Equivocation]:
    """Proofs against every witness that signed two batches which exclude each other.

    With two certificates in one slot, at least 2q-N of weight is convicted.
    """
    clash = _clash(one, other)
    if clash is None or one.batch.certificate.epoch != other.batch.certificate.epoch:
        return
    slot, index, other_index = clash
    signers = set(one.batch.certificate.signer_indexes)
    for place in other.batch.certificate.signer_indexes:
        if place in signers:
            yield Equivocation(
                culprit=NodeId(witnesses.key_at(place)),
                slot=slot,
                proof=TwoVotes(
                    first=_proven(one, index, place), second=_proven(other, other_index, place)
                ),
            )


def _clash(one: Verified, other: Verified) -> tuple[bytes, int, int] | None:
    """(slot, place in one, place in other) of two operations that exclude each other."""
    where = {
        slot: (index, identity)
        for index, (identity, operation) in enumerate(one.operations)
        for slot in operation.slots
    }
    for index, (identity, operation) in enumerate(other.operations):
        for slot in operation.slots:
            if slot in where and where[slot][1] != identity:
                return slot, where[slot][0], index
    return None


def _proven(verified: Verified, index: int, signer: int) -> ProvenVote:
    certificate = verified.batch.certificate
    envelopes = verified.batch.operations
    return ProvenVote(
        operation=envelopes[index],
        index=index,
        count=len(envelopes),
        path=merkle_path(envelopes, index),
        vote=certificate.vote,
        signature=certificate.signatures[certificate.signer_indexes.index(signer)],
    )


def verify_evidence(
    evidence: Equivocation, witness_sets: Sequence[WitnessSet], network: NetworkId
) -> None:
    """Check a proof that came from outside: an honest key can never be convicted.

    Raises:
        PeerError: it does not prove what it says.
    """
    match evidence.proof:
        case TwoOperations() as proof:
            first = verify(Operation, proof.first, network)
            second = verify(Operation, proof.second, network)
            expected = convict_account(first, second)
            if expected is None or expected != evidence:
                raise BrokenProtocol("the two operations do not exclude each other")
        case TwoVotes() as votes:
            one = _voted_operation(votes.first, evidence.culprit, network)
            other = _voted_operation(votes.second, evidence.culprit, network)
            _require_exclusive(one, other, evidence.slot)
            for vote in (votes.first.vote, votes.second.vote):
                _require_witness(evidence.culprit, vote.epoch, witness_sets)
            if votes.first.vote.epoch != votes.second.vote.epoch:
                raise BrokenProtocol("votes of two epochs do not exclude each other")


def last_epoch_of(evidence: Equivocation) -> int:
    """The last epoch whose witness set one must know to check a proof."""
    match evidence.proof:
        case TwoVotes(first=first, second=second):
            return max(first.vote.epoch, second.vote.epoch)
        case TwoOperations():
            return 0


def _voted_operation(proven: ProvenVote, witness: NodeId, network: NetworkId) -> Signed[Operation]:
    signed = verify(Operation, proven.operation, network)
    root = root_of_path(proven.operation, proven.index, proven.count, proven.path)
    if root != proven.vote.root:
        raise BrokenProtocol("the vote is for other operations")
    if not is_signed_by(witness, vote_message(proven.vote, network), proven.signature):
        raise BadSignature("the vote is not signed by the witness it accuses")
    return signed


def _require_exclusive(one: Signed[Operation], other: Signed[Operation], slot: bytes) -> None:
    if one.id == other.id or slot not in one.record.slots or slot not in other.record.slots:
        raise BrokenProtocol("the two votes do not exclude each other")


def _require_witness(culprit: NodeId, epoch: int, witness_sets: Sequence[WitnessSet]) -> None:
    if not any(one.epoch == epoch and culprit in one.nodes for one in witness_sets):
        raise BrokenProtocol("the accused was no witness of that epoch")
