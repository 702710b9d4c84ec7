"""What witnesses and replicas say to each other about the end of an epoch.

The leader of a view asks; witnesses answer:

    Gather  -> Standing            what each stored before it closed, its lock, its next key
    Prepare -> Approval | Objection
    Commit  -> Approval | Objection
"""

from dataclasses import dataclass
from enum import IntEnum

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.epochs import (
    ACKNOWLEDGEMENTS_ASKED_MAX,
    BATCHES_ASKED_MAX,
    CUT_IDS_PER_ANSWER,
    EPOCHS_PER_ANSWER,
    REPORT_BYTES_MAX,
)
from p2pgrid.model.certificate import SIGNATURE_BYTES, CertifiedBatch
from p2pgrid.model.epoch import EpochCertificate, EpochLock, EpochProposal, EpochQuorum
from p2pgrid.model.genesis import WITNESSES_MAX
from p2pgrid.model.ids import RecordId, require_ids
from p2pgrid.wire.codec import variant


class Demur(IntEnum):
    """Why a witness does not vote as it was asked."""

    NOT_NOW = 1
    """The epoch goes on by its clock, or another view is the one to vote in."""
    NOT_LEADER = 2
    """The view has another leader."""
    LOCKED = 3
    """It is locked on another proposal, which may have been decided; the lock comes along."""
    UNKNOWN = 4
    """It does not hold every operation that the proposal names."""
    UNCOVERED = 5
    """It stored an operation before it closed that the proposal leaves out."""
    INVALID = 6
    """The proposal is not what follows from the reports and operations that it names."""


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Tell the leader of a view how you stand."""

    view: int


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class Prepare:
    """Say whether this may be the end of the epoch."""

    view: int
    proposal: EpochProposal
    reports: tuple[bytes, ...]
    """Envelopes of the `EpochReport`s that it follows from, sorted by node."""
    lock: EpochQuorum | None
    """The quorum that prepared the very proposal in an earlier view, if one did."""

    def __post_init__(self) -> None:
        if len(self.reports) > WITNESSES_MAX:
            raise InvalidRecord(f"at most {WITNESSES_MAX} witnesses report")
        if any(len(report) > REPORT_BYTES_MAX for report in self.reports):
            raise InvalidRecord(f"a report has at most {REPORT_BYTES_MAX} bytes")


@variant(3)
@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A quorum prepared this: commit it."""

    lock: EpochLock


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochQuestion:
    """What a leader asks the other witnesses."""

    epoch: int
    question: Gather | Prepare | Commit


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a witness stands at the end of the epoch."""

    report: bytes
    """Envelope of its `EpochReport`."""
    closed_root: bytes
    """Names the operations of the epoch that it stored before it closed."""
    closed_count: int
    lock: EpochLock | None

    def __post_init__(self) -> None:
        require_ids(RecordId(self.closed_root))
        if len(self.report) > REPORT_BYTES_MAX:
            raise InvalidRecord(f"a report has at most {REPORT_BYTES_MAX} bytes")


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The signature over the `EpochVote` that was asked for."""

    signature: bytes

    def __post_init__(self) -> None:
        if len(self.signature) != SIGNATURE_BYTES:
            raise InvalidRecord(f"a signature has {SIGNATURE_BYTES} bytes")


@variant(3)
@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """No vote, and why."""

    demur: Demur
    lock: EpochLock | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochAnswer:
    """What a witness answers to a leader."""

    answer: Standing | Approval | Objection


# --- what replicas ask ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsQuery:
    """Asks for the certificates of the ends of epochs, from `first` on."""

    first: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsReport:
    """Certificates in their order; fewer than there are when the answer would be too long."""

    certificates: tuple[EpochCertificate, ...]

    def __post_init__(self) -> None:
        if len(self.certificates) > EPOCHS_PER_ANSWER:
            raise InvalidRecord(f"at most {EPOCHS_PER_ANSWER} epochs come in one answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutQuery:
    """Asks which operations a set holds, page by page."""

    epoch: int
    root: bytes
    after: bytes
    """The last id of the page before, or nothing."""

    def __post_init__(self) -> None:
        require_ids(RecordId(self.root))


@dataclass(frozen=True, slots=True, kw_only=True)
class CutReport:
    """Operation ids in ascending order."""

    operations: tuple[RecordId, ...]
    is_last: bool

    def __post_init__(self) -> None:
        require_ids(*self.operations)
        if len(self.operations) > CUT_IDS_PER_ANSWER:
            raise InvalidRecord(f"at most {CUT_IDS_PER_ANSWER} operations come in one answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchesQuery:
    """Asks for batches of one epoch that hold these operations."""

    epoch: int
    operations: tuple[RecordId, ...]

    def __post_init__(self) -> None:
        require_ids(*self.operations)
        if not 1 <= len(self.operations) <= BATCHES_ASKED_MAX:
            raise InvalidRecord(f"1 to {BATCHES_ASKED_MAX} operations are asked for at once")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeQuery:
    """Asks a witness which of these batches of the current epoch it stores."""

    epoch: int
    batches: tuple[bytes, ...]

    def __post_init__(self) -> None:
        require_ids(*self.batches)
        if len(self.batches) > ACKNOWLEDGEMENTS_ASKED_MAX:
            raise InvalidRecord(f"at most {ACKNOWLEDGEMENTS_ASKED_MAX} batches are asked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcknowledgeReport:
    """Those of them that it stores durably, and stands up for when the epoch ends."""

    batches: tuple[bytes, ...]

    def __post_init__(self) -> None:
        require_ids(*self.batches)
        if len(self.batches) > ACKNOWLEDGEMENTS_ASKED_MAX:
            raise InvalidRecord(f"at most {ACKNOWLEDGEMENTS_ASKED_MAX} batches are asked for")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchesReport:
    """Some of the batches, as many as fit; ask again for the rest."""

    batches: tuple[CertifiedBatch, ...]

    def __post_init__(self) -> None:
        if len(self.batches) > BATCHES_ASKED_MAX:
            raise InvalidRecord(f"at most {BATCHES_ASKED_MAX} batches come in one answer")
