"""Votes, certificates and the proofs that somebody broke the rules of the ledger.

Operation ──in a batch──> Vote (one message, signed by each witness)
                            └──quorum of signatures──> Certificate
operations + certificate  = CertifiedBatch     what is stored, gossiped, replicated
operation + Merkle path + certificate = CertifiedOperation     a proof for light peers
"""

from dataclasses import dataclass
from enum import IntEnum

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.ledger import (
    CERTIFIED_PER_ANSWER,
    OPERATION_BYTES_MAX,
    OPERATIONS_PER_BATCH_MAX,
)
from p2pgrid.model.genesis import WITNESSES_MAX
from p2pgrid.model.ids import NodeId, RecordId, require_ids
from p2pgrid.wire.codec import record, variant
from p2pgrid.wire.kinds import RecordKind

SIGNATURE_BYTES = 64
MERKLE_PATH_MAX = (OPERATIONS_PER_BATCH_MAX - 1).bit_length()
"""Hashes from one operation of the largest batch up to the root."""


class Reason(IntEnum):
    """Why a witness does not vote for an operation."""

    CONFLICT = 1
    """It voted for, or holds a certificate of, another operation in one of the slots."""
    CONVICTED = 2
    """The account signed two operations in one slot; no vote for it until the epoch ends."""
    BEHIND = 3
    """It does not know the operation's predecessor yet."""
    FUNDS = 4
    """The balance that it knows to be certified does not cover the operation."""
    TIME = 5
    """The time is ahead of its clock, or before the predecessor's."""
    FEE = 6
    """Less than the grid's least fee."""
    KEY = 7
    """The operation names an account that is not a usable key."""
    ESCROW_UNKNOWN = 8
    """It knows no such escrow yet."""
    ESCROW_CLOSED = 9
    """The escrow is closed, or cancelled already; only wallets object to that."""
    NOT_A_PARTY = 10
    """The account has no right to do this with the escrow, or the other side did not sign."""
    TOO_MUCH = 11
    """More than the time used so far costs."""
    TOO_EARLY = 12
    """An escrow can be reclaimed only long after its end."""
    TERMS = 13
    """The escrow's own fields make no sense."""
    CHAIN = 14
    """`previous` is not the operation before it, or too many of the account are under way."""
    HALTED = 15
    """Two certificates for one slot exist: no vote until people have looked at it."""
    CERTIFIED = 16
    """It is certified already, so it needs no other vote; the answer brings its batch."""
    TOO_LATE = 17
    """So near to the moment when it can be reclaimed, a wallet does not settle any more."""


def _require_signatures(*signatures: bytes) -> None:
    if any(len(signature) != SIGNATURE_BYTES for signature in signatures):
        raise InvalidRecord(f"a signature has {SIGNATURE_BYTES} bytes")


def _require_operations(operations: tuple[bytes, ...]) -> None:
    if not 1 <= len(operations) <= OPERATIONS_PER_BATCH_MAX:
        raise InvalidRecord(f"a batch has 1 to {OPERATIONS_PER_BATCH_MAX} operations")
    if any(len(operation) > OPERATION_BYTES_MAX for operation in operations):
        raise InvalidRecord(f"an operation has at most {OPERATION_BYTES_MAX} bytes")


@record(RecordKind.VOTE)
@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What every witness of one quorum signs: the same bytes, so that one message is checked."""

    epoch: int
    witness_set_hash: bytes
    root: bytes
    """Merkle root over the envelopes of the operations voted for, in their order: it
    binds their signatures too."""

    def __post_init__(self) -> None:
        require_ids(RecordId(self.witness_set_hash), RecordId(self.root))


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteRequest:
    """An entry node asks one witness to vote for a batch."""

    epoch: int
    witness_set_hash: bytes
    operations: tuple[bytes, ...]
    """Envelopes, an account's own in the order of its chain."""

    def __post_init__(self) -> None:
        require_ids(RecordId(self.witness_set_hash))
        _require_operations(self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One operation that a witness does not vote for."""

    operation: RecordId
    reason: Reason
    conflict: bytes | None = None
    """The envelope of the other operation in the slot, so that the asker can prove it."""

    def __post_init__(self) -> None:
        require_ids(self.operation)
        if self.conflict is not None and len(self.conflict) > OPERATION_BYTES_MAX:
            raise InvalidRecord(f"an operation has at most {OPERATION_BYTES_MAX} bytes")


@record(RecordKind.CERTIFICATE)
@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Votes of a quorum. Thresholds come from the witness set, never from here."""

    epoch: int
    root: bytes
    witness_set_hash: bytes
    signers: bytes
    """Bitmap over the witness set in its order, lowest bit first, no byte more than needed."""
    signatures: tuple[bytes, ...]
    """Of the signers, in their order."""

    def __post_init__(self) -> None:
        require_ids(RecordId(self.root), RecordId(self.witness_set_hash))
        _require_signatures(*self.signatures)
        if len(self.signers) > (WITNESSES_MAX + 7) // 8:
            raise InvalidRecord(f"at most {WITNESSES_MAX} witnesses sign")

    @property
    def vote(self) -> Vote:
        """What was signed."""
        return Vote(epoch=self.epoch, witness_set_hash=self.witness_set_hash, root=self.root)

    @property
    def signer_indexes(self) -> tuple[int, ...]:
        """Places in the witness set of those who signed, ascending."""
        return tuple(
            index
            for index in range(8 * len(self.signers))
            if self.signers[index // 8] >> (index % 8) & 1
        )


@record(RecordKind.CERTIFIED_BATCH)
@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedBatch:
    """Operations, and the certificate that makes them count. Known by its `batch_id`."""

    operations: tuple[bytes, ...]
    """Envelopes, in the order of the Merkle leaves."""
    certificate: Certificate

    def __post_init__(self) -> None:
        _require_operations(self.operations)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteAnswer:
    """The witness's vote for all that was asked but what it refuses."""

    refusals: tuple[Refusal, ...]
    signature: bytes | None
    """Over the `Vote` for the root of the rest; none when nothing is left."""
    certified: tuple[CertifiedBatch, ...] = ()
    """Of what is refused as CERTIFIED, so that the asker catches up at once."""

    def __post_init__(self) -> None:
        if len(self.refusals) > OPERATIONS_PER_BATCH_MAX:
            raise InvalidRecord("more refusals than a batch has operations")
        if len(self.certified) > CERTIFIED_PER_ANSWER:
            raise InvalidRecord(f"at most {CERTIFIED_PER_ANSWER} batches come with an answer")
        if self.signature is not None:
            _require_signatures(self.signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedOperation:
    """One operation with its Merkle path: what proves a payment to somebody who holds no ledger."""

    operation: bytes
    index: int
    count: int
    """Operations in the batch."""
    path: tuple[bytes, ...]
    """Siblings from the leaf up."""
    certificate: Certificate

    def __post_init__(self) -> None:
        _require_operations((self.operation,))
        require_ids(*(RecordId(one) for one in self.path))
        if not 0 <= self.index < self.count <= OPERATIONS_PER_BATCH_MAX:
            raise InvalidRecord("no such place in a batch")
        if len(self.path) > MERKLE_PATH_MAX:
            raise InvalidRecord(f"a Merkle path has at most {MERKLE_PATH_MAX} hashes")


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class TwoOperations:
    """An account signed two operations in one slot."""

    first: bytes
    second: bytes
    """Envelopes, the one with the lower id first."""

    def __post_init__(self) -> None:
        _require_operations((self.first, self.second))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenVote:
    """One vote of one witness, traced to one operation."""

    operation: bytes
    index: int
    count: int
    path: tuple[bytes, ...]
    vote: Vote
    signature: bytes

    def __post_init__(self) -> None:
        _require_operations((self.operation,))
        require_ids(*(RecordId(one) for one in self.path))
        _require_signatures(self.signature)
        if not 0 <= self.index < self.count <= OPERATIONS_PER_BATCH_MAX:
            raise InvalidRecord("no such place in a batch")


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class TwoVotes:
    """A witness voted for two operations in one slot."""

    first: ProvenVote
    second: ProvenVote


@record(RecordKind.EQUIVOCATION)
@dataclass(frozen=True, slots=True, kw_only=True)
class Equivocation:
    """Proof that the holder of a key said two things where only one is allowed.

    One per culprit is kept: more would prove nothing, and fill the disk.
    """

    culprit: NodeId
    """The account, or the witness."""
    slot: bytes
    proof: TwoOperations | TwoVotes

    def __post_init__(self) -> None:
        require_ids(self.culprit, RecordId(self.slot))
