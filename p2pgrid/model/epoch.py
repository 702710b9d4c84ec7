"""Epochs: what the witnesses of one agree on at its end, and what proves that they did.

reports of witnesses ──> EpochProposal ──votes of a quorum, twice──> EpochCertificate
                             └─ seats: who votes in the next epoch, and with which key

An epoch certificate names the one set of operations that were certified in its epoch,
in its predecessors' light. Whoever trusts the witness set of epoch 0 can follow
the certificates, one by one, to that of today.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.certificate import SIGNATURE_BYTES
from p2pgrid.model.genesis import WITNESSES_MAX
from p2pgrid.model.ids import ID_BYTES, NodeId, RecordId, require_ids
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import record
from p2pgrid.wire.kinds import RecordKind

NO_EPOCH = RecordId(bytes(ID_BYTES))
"""What the end of epoch 0 names as the end before it."""

NO_COMMITMENT = bytes(ID_BYTES)
"""Of a witness that gave none: the first ones, and those that were away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One witness of one epoch."""

    node: NodeId
    """Who is asked for votes."""
    key: bytes
    """What votes of this epoch are signed with; gone with the epoch."""
    weight: int
    commitment: bytes
    """Hash of what this witness reveals at the end of this epoch."""

    def __post_init__(self) -> None:
        require_ids(self.node, self.key, self.commitment)
        if self.weight <= 0:
            raise InvalidRecord("a witness has a weight")


def require_seats(seats: tuple[Seat, ...]) -> None:
    """Raise InvalidRecord unless these can be a witness set: sorted, nobody and no key twice."""
    nodes = [seat.node for seat in seats]
    if not 1 <= len(seats) <= WITNESSES_MAX:
        raise InvalidRecord(f"an epoch has 1 to {WITNESSES_MAX} witnesses")
    if nodes != sorted(set(nodes)) or len({seat.key for seat in seats}) != len(seats):
        raise InvalidRecord("witnesses are sorted by node, each named once, with keys of their own")


@record(RecordKind.EPOCH_REPORT)
@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """What a witness brings to the end of an epoch, signed with its key of that epoch."""

    epoch: int
    node: NodeId
    next_key: bytes
    """What it will sign with in the next epoch."""
    commitment: bytes
    """Hash of what it will reveal at the end of the next."""
    reveal: bytes
    """What it committed itself to for this epoch; empty when it had not."""

    def __post_init__(self) -> None:
        require_ids(self.node, self.next_key, self.commitment)
        if len(self.reveal) not in (0, ID_BYTES):
            raise InvalidRecord(f"a reveal has {ID_BYTES} bytes, or none")

    @property
    def author(self) -> bytes:
        """The witness."""
        return self.node


@record(RecordKind.EPOCH_PROPOSAL)
@dataclass(frozen=True, slots=True, kw_only=True)
class EpochProposal:
    """How one epoch ends."""

    epoch: int
    previous: RecordId
    """The proposal that ended the epoch before; `NO_EPOCH` for epoch 0."""
    witness_set_hash: bytes
    """Of the witnesses of this epoch, who decide it."""
    operations_root: bytes
    """Names the set of operations certified in this epoch. A certificate of this epoch over
    any other operation is void, and its slot is open again."""
    operation_count: int
    snapshot_root: bytes
    """Merkle root over accounts and open escrows after those operations."""
    beacon: bytes
    """Random bytes that nobody could choose; see `epoch_rules`."""
    seats: tuple[Seat, ...]
    """The witnesses of the next epoch, sorted by node."""
    time_ms: TimestampMs
    """When the next epoch starts."""

    def __post_init__(self) -> None:
        require_ids(self.previous, RecordId(self.witness_set_hash), RecordId(self.operations_root))
        require_ids(RecordId(self.snapshot_root), RecordId(self.beacon))
        require_seats(self.seats)


class EpochPhase(IntEnum):
    """The two votes that end an epoch."""

    PREPARE = 1
    """The proposal is valid, and has everything that the voter stored before it closed."""
    COMMIT = 2
    """A quorum prepared it; the voter prepares nothing else unless a later quorum did."""


@record(RecordKind.EPOCH_VOTE)
@dataclass(frozen=True, slots=True, kw_only=True)
class EpochVote:
    """What every witness of one quorum signs."""

    epoch: int
    witness_set_hash: bytes
    view: int
    phase: EpochPhase
    proposal: RecordId

    def __post_init__(self) -> None:
        require_ids(RecordId(self.witness_set_hash), self.proposal)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochQuorum:
    """One vote with the signatures of a quorum."""

    vote: EpochVote
    signers: bytes
    """Bitmap over the witness set in its order, lowest bit first, no byte more than needed."""
    signatures: tuple[bytes, ...]
    """Of the signers, in their order."""

    def __post_init__(self) -> None:
        if len(self.signers) > (WITNESSES_MAX + 7) // 8:
            raise InvalidRecord(f"at most {WITNESSES_MAX} witnesses sign")
        if any(len(signature) != SIGNATURE_BYTES for signature in self.signatures):
            raise InvalidRecord(f"a signature has {SIGNATURE_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochCertificate:
    """The end of an epoch, committed by a quorum of its witnesses."""

    proposal: EpochProposal
    quorum: EpochQuorum


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochLock:
    """A proposal that a quorum prepared: it may have been decided already."""

    proposal: EpochProposal
    quorum: EpochQuorum
