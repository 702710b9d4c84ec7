"""What people and programs see of the ledger: accounts, histories, how it all stands.

An escrow is shown as `state.Escrow`: it says all there is.
"""

from dataclasses import dataclass

from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.state import Account, Alarm, Escrow, LedgerState
from p2pgrid.model.certificate import Equivocation, TwoOperations
from p2pgrid.model.ids import AccountId, NetworkId, NodeId, RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    OpenEscrow,
    Operation,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
)
from p2pgrid.units import TimestampMs


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """One account, as far as is known here."""

    account: AccountId
    balance: int
    """In 10^-7 TFT; negative only while a certified operation is missing here."""
    sequence: int
    """Of the next operation."""
    head: RecordId
    """The last certified operation; zeros before the first."""
    pending: RecordId | None
    """An operation signed here that has no certificate yet."""
    is_convicted: bool
    """It signed two operations for one place: no witness votes for it until the epoch ends."""
    agreeing: int = 1
    """Peers that said the same, of those asked."""
    asked: int = 1
    """A full node asks only itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEntry:
    """What one operation did to one account."""

    operation: RecordId
    time_ms: TimestampMs
    """As its author signed it."""
    kind: str
    counterparty: AccountId | None
    """Whom it came from or went to; None for several, or nobody."""
    amount: int
    """In 10^-7 TFT, negative when it went out; the fee left out."""
    fee: int
    """What this account paid for it."""
    status: str
    """`pending`: signed here, without a certificate yet. `certified`: a quorum voted for it in the
    epoch that is on. `final`: a quorum stores its certificate, or an epoch ended with it, so
    it never goes away."""
    memo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStatus:
    """How the whole ledger stands here."""

    grid: str
    network: NetworkId
    operations: int
    """Certified ones known here."""
    waiting: int
    """Those of them whose predecessor is missing here."""
    batches: int
    supply: int
    """All there is: the sum of the genesis balances."""
    in_accounts: int
    in_escrow: int
    burnt: int
    epoch: int
    witnesses: tuple[NodeId, ...]
    quorum: int
    weight: int
    is_witness: bool
    alarms: tuple[Alarm, ...]
    is_caught_up: bool
    """Whether a peer's ledger has been compared with ours since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochView:
    """One epoch."""

    epoch: int
    started_ms: TimestampMs
    ended_ms: TimestampMs | None
    """None: it is the current one."""
    operations: int | None
    """That it ended with; None as long as it goes on."""
    witnesses: int
    quorum: int
    weight: int
    end: RecordId | None
    """What the end of it is known by."""
    is_settled: bool
    """Whether it has ended and all of it is here; a light peer keeps none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatView:
    """One witness of the current epoch."""

    node: NodeId
    key: bytes
    """What it signs with in this epoch."""
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """A proof against a key, and what it proves."""

    evidence: RecordId
    culprit: NodeId
    role: str
    """`account` or `witness`."""
    first: bytes
    """One operation, its envelope."""
    second: bytes
    """The other."""


def account_view(
    identity: AccountId, account: Account, *, pending: RecordId | None, is_convicted: bool
) -> AccountView:
    """An account as this node knows it."""
    return AccountView(
        account=identity,
        balance=account.balance,
        sequence=account.sequence,
        head=account.head,
        pending=pending,
        is_convicted=is_convicted,
    )


def evidence_view(identity: RecordId, evidence: Equivocation) -> EvidenceView:
    """A proof for people."""
    match evidence.proof:
        case TwoOperations(first=first, second=second):
            role = "account"
        case votes:
            role, first, second = "witness", votes.first.operation, votes.second.operation
    return EvidenceView(
        evidence=identity, culprit=evidence.culprit, role=role, first=first, second=second
    )


def epoch_views(chain: EpochChain, settled: int) -> list[EpochView]:
    """Every epoch up to the current one, the newest first."""
    views: list[EpochView] = []
    for epoch in range(chain.epoch + 1):
        frame, end = chain.frame_of(epoch), chain.end_of(epoch)
        assert frame is not None, "it has begun"
        proposal = None if end is None else end.proposal
        views.append(
            EpochView(
                epoch=epoch,
                started_ms=frame.schedule.starts_ms,
                ended_ms=None if proposal is None else proposal.time_ms,
                operations=None if proposal is None else proposal.operation_count,
                witnesses=len(frame.seats),
                quorum=frame.witnesses.quorum,
                weight=frame.witnesses.total,
                end=None if end is None else end.quorum.vote.proposal,
                is_settled=epoch < settled,
            )
        )
    return views[::-1]


def seat_views(chain: EpochChain) -> list[SeatView]:
    """Who votes now, sorted by node."""
    return [
        SeatView(node=seat.node, key=seat.key, weight=seat.weight) for seat in chain.frame.seats
    ]


def history_of(state: LedgerState, account: AccountId) -> list[HistoryEntry]:
    """What certified operations did to an account, the newest first."""
    entries = [
        _entry(state, account, identity, operation)
        for identity in state.touching(account)
        if (operation := state.operation(identity)) is not None
    ]
    return sorted(entries, key=lambda entry: (entry.time_ms, entry.operation), reverse=True)


def pending_entry(identity: RecordId, operation: Operation) -> HistoryEntry:
    """What an operation will do to its own account once it is certified."""
    payload = operation.payload
    memo = payload.memo if isinstance(payload, Transfer) else b""
    return HistoryEntry(
        operation=identity,
        time_ms=operation.time_ms,
        kind=_KINDS[type(payload)],
        counterparty=_receiver(payload) if isinstance(payload, Transfer) else None,
        amount=-payload.debit,
        fee=operation.fee,
        status="pending",
        memo=memo.decode(errors="replace"),
    )


_KINDS: dict[type, str] = {
    Transfer: "transfer",
    OpenEscrow: "escrow opened",
    CancelEscrow: "escrow cancelled",
    SettleEscrow: "escrow settled",
    CloseEscrow: "escrow closed",
    ReclaimEscrow: "escrow reclaimed",
}


def _receiver(transfer: Transfer) -> AccountId | None:
    receivers = {receiver for receiver, _ in transfer.outputs}
    return receivers.pop() if len(receivers) == 1 else None


def _entry(
    state: LedgerState, account: AccountId, identity: RecordId, operation: Operation
) -> HistoryEntry:
    is_own = operation.account == account
    amount, counterparty = _effect(state, account, identity, operation)
    memo = operation.payload.memo if isinstance(operation.payload, Transfer) else b""
    return HistoryEntry(
        operation=identity,
        time_ms=operation.time_ms,
        kind=_KINDS[type(operation.payload)],
        counterparty=counterparty,
        amount=amount,
        fee=operation.fee if is_own else 0,
        status="certified",
        memo=memo.decode(errors="replace"),
    )


def _effect(
    state: LedgerState, account: AccountId, identity: RecordId, operation: Operation
) -> tuple[int, AccountId | None]:
    """(what the account got, less what it gave; whom from or to)."""
    match operation.payload:
        case Transfer() as transfer:
            got = sum(amount for receiver, amount in transfer.outputs if receiver == account)
            if operation.account != account:
                return got, operation.account
            return got - transfer.debit, _receiver(transfer)
        case OpenEscrow() as terms:
            return -terms.deposit, terms.farm
        case CancelEscrow(escrow=escrow):
            opened = state.escrow(escrow)
            return 0, None if opened is None else opened.terms.farm
        case payload:
            closed = state.escrow(payload.escrow)
            return _payout(closed, account, identity) if closed is not None else (0, None)


def _payout(escrow: Escrow, account: AccountId, closing: RecordId) -> tuple[int, AccountId | None]:
    if escrow.closing is None or escrow.closing.operation != closing:
        return 0, None
    is_farm, is_consumer = account == escrow.terms.farm, account == escrow.consumer
    amount = escrow.closing.to_farm * is_farm + escrow.closing.refund * is_consumer
    return amount, escrow.consumer if is_farm else escrow.terms.farm
