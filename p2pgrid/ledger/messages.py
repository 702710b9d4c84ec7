"""What peers say to each other about the ledger, besides votes.

Records hold no negative numbers, so balances and amounts travel as two sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.ledger.certificate import WitnessSet, set_of, verify_proof
from p2pgrid.ledger.evidence import last_epoch_of, verify_evidence
from p2pgrid.ledger.state import Account, Cancel, Escrow, concluded
from p2pgrid.ledger.views import HistoryEntry
from p2pgrid.limits.ledger import HISTORY_ENTRIES_MAX
from p2pgrid.model.certificate import CertifiedBatch, CertifiedOperation, Equivocation
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import AccountId, NetworkId, NodeId, RecordId, require_ids
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    OpenEscrow,
    Operation,
    ReclaimEscrow,
    SettleEscrow,
)
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import variant


@variant(1)
@dataclass(frozen=True, slots=True)
class BatchItem:
    """A certified batch in the set that peers share."""

    batch: CertifiedBatch


@variant(2)
@dataclass(frozen=True, slots=True)
class EvidenceItem:
    """A proof of equivocation in the set that peers share."""

    evidence: Equivocation


@variant(3)
@dataclass(frozen=True, slots=True)
class EpochItem:
    """How an epoch ended; gossiped only. Who missed it asks for it."""

    certificate: EpochCertificate


@dataclass(frozen=True, slots=True)
class LedgerItem:
    """What is gossiped, and what reconciliation brings."""

    item: BatchItem | EvidenceItem | EpochItem


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountQuery:
    """Asks how an account stands."""

    account: AccountId

    def __post_init__(self) -> None:
        require_ids(self.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReport:
    """How an account stands. Its head is proven, so it may be old but not invented."""

    received: int
    spent: int
    sequence: int
    head: CertifiedOperation | None
    conviction: Equivocation | None
    """The proof, when it signed two operations for one place and gets no vote for that now."""


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class ById:
    """An escrow by its id."""

    escrow: RecordId


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class ByTerms:
    """The escrow that an account opened with certain terms; the lowest id of several."""

    consumer: AccountId
    terms_hash: bytes


@dataclass(frozen=True, slots=True)
class EscrowQuery:
    """Asks for one escrow."""

    which: ById | ByTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class EscrowReport:
    """Everything certified about one escrow, with proofs."""

    opening: CertifiedOperation | None
    """None: no such escrow is known."""
    cancel: CertifiedOperation | None
    closing: CertifiedOperation | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Asks what happened to an account, the newest first."""

    account: AccountId
    limit: int

    def __post_init__(self) -> None:
        require_ids(self.account)
        if not 1 <= self.limit <= HISTORY_ENTRIES_MAX:
            raise InvalidRecord(f"a history has 1 to {HISTORY_ENTRIES_MAX} entries")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One entry as it travels."""

    operation: RecordId
    time_ms: TimestampMs
    kind: str
    counterparty: AccountId | None
    credit: int
    debit: int
    fee: int
    memo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryReport:
    """What happened to an account. Not proven: peers' answers are compared."""

    rows: tuple[HistoryRow, ...]

    def __post_init__(self) -> None:
        if len(self.rows) > HISTORY_ENTRIES_MAX:
            raise InvalidRecord(f"a history has at most {HISTORY_ENTRIES_MAX} entries")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceQuery:
    """Asks who was caught; `after` names the last culprit of the page before, or nobody."""

    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReport:
    """Proofs, which the asker checks, in order of their culprits."""

    evidence: tuple[Equivocation, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """Asks how the ledger stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """How the ledger stands at one peer."""

    operations: int
    waiting: int
    batches: int
    in_escrow: int
    burnt: int
    alarms: tuple[tuple[bytes, tuple[RecordId, ...]], ...]
    """(slot, operations), not proven."""


def history_row(entry: HistoryEntry) -> HistoryRow:
    """An entry as it travels."""
    return HistoryRow(
        operation=entry.operation,
        time_ms=entry.time_ms,
        kind=entry.kind,
        counterparty=entry.counterparty,
        credit=max(entry.amount, 0),
        debit=max(-entry.amount, 0),
        fee=entry.fee,
        memo=entry.memo,
    )


def history_entry(row: HistoryRow) -> HistoryEntry:
    """The entry that travelled."""
    return HistoryEntry(
        operation=row.operation,
        time_ms=row.time_ms,
        kind=row.kind,
        counterparty=row.counterparty,
        amount=row.credit - row.debit,
        fee=row.fee,
        status="certified",
        memo=row.memo,
    )


# --- what a light peer makes of reports -----------------------------------------------------------


def _verify(
    proof: CertifiedOperation, witness_sets: Sequence[WitnessSet], network: NetworkId
) -> tuple[RecordId, Operation]:
    return verify_proof(proof, set_of(proof.certificate.epoch, witness_sets), network)


def epoch_of_report(report: AccountReport | EscrowReport) -> int:
    """The last epoch that one must know to check a report."""
    match report:
        case AccountReport():
            accused = 0 if report.conviction is None else last_epoch_of(report.conviction)
            head = 0 if report.head is None else report.head.certificate.epoch
            return max(accused, head)
        case EscrowReport():
            proofs = report.opening, report.cancel, report.closing
            return max((one.certificate.epoch for one in proofs if one is not None), default=0)


def account_of_report(
    report: AccountReport,
    account: AccountId,
    witness_sets: Sequence[WitnessSet],
    network: NetworkId,
) -> Account:
    """The account that a peer reports; its head and conviction are verified. Raises PeerError."""
    if report.conviction is not None:
        verify_evidence(report.conviction, witness_sets, network)
        if report.conviction.culprit != NodeId(account):
            raise BrokenProtocol("a peer convicts somebody else than was asked for")
    if report.head is None:
        if report.sequence != 0:
            raise BrokenProtocol("a peer claims operations that it does not prove")
        return Account(report.received, report.spent)
    identity, operation = _verify(report.head, witness_sets, network)
    if operation.account != account or operation.sequence + 1 != report.sequence:
        raise BrokenProtocol("a peer proves another operation than the head it claims")
    return Account(report.received, report.spent, report.sequence, identity, operation.time_ms)


def escrow_of_report(
    report: EscrowReport,
    query: EscrowQuery,
    witness_sets: Sequence[WitnessSet],
    network: NetworkId,
) -> Escrow | None:
    """The escrow that a peer proves, or None when it knows none. Raises PeerError."""
    if report.opening is None:
        return None
    identity, operation = _verify(report.opening, witness_sets, network)
    terms = operation.payload
    if not isinstance(terms, OpenEscrow) or not _answers(query, identity, operation, terms):
        raise BrokenProtocol("a peer answers with another escrow than the one asked for")
    proofs = [
        _verify(one, witness_sets, network)
        for one in (report.cancel, report.closing)
        if one is not None
    ]
    cancels: list[Cancel] = []
    closing: tuple[RecordId, Operation] | None = None
    for at, one in proofs:
        match one.payload:
            case CancelEscrow(escrow=escrow) if escrow == identity:
                cancels.append((one.account, one.time_ms, at))
            case SettleEscrow(escrow=escrow) | CloseEscrow(escrow=escrow) if escrow == identity:
                closing = at, one
            case ReclaimEscrow(escrow=escrow) if escrow == identity:
                closing = at, one
            case _:
                raise BrokenProtocol("a peer proves something about another escrow")
    return concluded(Escrow(identity, operation.account, terms), cancels, closing)


def _answers(
    query: EscrowQuery, identity: RecordId, operation: Operation, terms: OpenEscrow
) -> bool:
    match query.which:
        case ById(escrow=escrow):
            return escrow == identity
        case ByTerms(consumer=consumer, terms_hash=terms_hash):
            return (operation.account, terms.terms_hash) == (consumer, terms_hash)
