"""What an operation's payload must satisfy before a witness votes for it.

These rules use clocks and local knowledge, so they decide voting only. What
a certified operation does to the state depends on the operation alone.

A signed operation holds its place until it is certified, so nothing that others do
after it was signed may make it impossible to certify:

- A cancel is certified also when the escrow was closed or cancelled meanwhile; it
  only burns its fee. An escrow is opened also when its time went by meanwhile.
- A settlement counts as if a cancel came when this witness observed its
  certificate, plus CANCEL_NOTICE_MS. The design note has no such allowance, and
  lets the cancel's vote count as seen: then a consumer could gather the votes, keep
  the certificate, let the node settle, and block its account by publishing.
- Two closings of one escrow by its two sides exclude each other, and no rule for
  votes can save the one that lost. So they are kept apart in time, by the
  wallet: a node signs none later than SETTLE_MARGIN_MS before its consumer may
  reclaim, which is a day after the end and the grace. And witnesses
  finish what they voted for (see `Quorum`), so that no half-voted
  settlement waits for that day. What remains: a node that was cut off between its
  signature and the first vote for all of that time. Whoever gives the other side
  a signature for CloseEscrow must not close that escrow itself.

What the wallet alone refuses, because it is pointless or unwise, is in
`object_to_signing`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from p2pgrid.errors import GridError, InsufficientBalance, Refused
from p2pgrid.ledger.state import Escrow, LedgerState
from p2pgrid.limits.ledger import (
    CANCEL_NOTICE_MS,
    GRACE_SECONDS_MAX,
    RECLAIM_DELAY_MS,
    SETTLE_MARGIN_MS,
)
from p2pgrid.model.accrual import accrued
from p2pgrid.model.certificate import Reason
from p2pgrid.model.ids import AccountId, NetworkId, RecordId, short
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    CloseTerms,
    OpenEscrow,
    Operation,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
)
from p2pgrid.model.reservation import DURATION_SECONDS_MAX
from p2pgrid.units import SECOND_MS, Amount, TimestampMs, format_tft
from p2pgrid.wire.codec import encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import is_signed_by, is_usable_key, message_of, record_id

MAY_PASS = frozenset(
    {
        Reason.BEHIND,
        Reason.FUNDS,
        Reason.TIME,
        Reason.ESCROW_UNKNOWN,
        Reason.TOO_MUCH,
        Reason.TOO_EARLY,
        Reason.CERTIFIED,
    }
)
"""Refusals that another answer, of a witness that has caught up, may take back."""

_WORDS = {
    Reason.CONFLICT: "another operation holds its place; the account signed twice",
    Reason.CONVICTED: "the account signed two operations for one place; it may go on when the "
    "epoch ends",
    Reason.BEHIND: "the operation before it is not known to the witnesses yet; try again",
    Reason.TIME: "its time is ahead of the witnesses' clocks; check this machine's clock",
    Reason.FEE: "its fee is below the least fee of the grid",
    Reason.KEY: "it names an account that is not a usable key; check the account",
    Reason.ESCROW_UNKNOWN: "no such escrow is certified",
    Reason.ESCROW_CLOSED: "the escrow is cancelled or closed already",
    Reason.NOT_A_PARTY: "the account has no right to do this with the escrow",
    Reason.TOO_MUCH: "it claims more than the time used so far costs",
    Reason.TOO_EARLY: "an escrow can be reclaimed one day after its end and grace",
    Reason.TOO_LATE: "its consumer may reclaim the escrow soon, or has; settle earlier",
    Reason.TERMS: "its terms make no sense: check times, grace, node and farm",
    Reason.CHAIN: "it does not follow the operation before it",
    Reason.CERTIFIED: "it is certified already; this node has to catch up",
    Reason.HALTED: "the ledger is halted: two certificates exist for one place",
}


def refused(reason: Reason, operation: Operation) -> GridError:
    """The error for people that says why an operation was not certified."""
    if reason is Reason.FUNDS:
        return InsufficientBalance(
            f"account {short(operation.account)} does not hold {format_tft(operation.debit)} TFT"
        )
    return Refused(f"operation {operation.sequence} is refused: {_WORDS[reason]}")


@dataclass(frozen=True, slots=True)
class Scene:
    """What a payload is judged against."""

    escrow_of: Callable[[RecordId], Escrow | None]
    network: NetworkId
    fee: Amount
    """The least, for operations of consumers."""
    now_ms: TimestampMs
    cancel_seen_ms: Mapping[RecordId, TimestampMs]
    """When this witness first saw the certificate of the cancel of an escrow."""


def named_accounts(operation: Operation) -> tuple[AccountId, ...]:
    """Accounts that come into being with an operation when they are new."""
    match operation.payload:
        case Transfer(outputs=outputs):
            return operation.account, *(account for account, _ in outputs)
        case OpenEscrow(farm=farm, node=node):
            return operation.account, farm, AccountId(node)
        case _:
            return (operation.account,)


def may_pay(operation: Operation, state: LedgerState) -> bool:
    """Whether the certified balance covers an operation, others under way left out."""
    debit = operation.debit
    return debit <= 0 or state.account(operation.account).balance >= debit


def names_usable_keys(operation: Operation, state: LedgerState) -> bool:
    """Whether every account that is new here is a key that all verifiers agree on. 60 µs each."""
    return all(
        state.has_account(account) or is_usable_key(account)
        for account in named_accounts(operation)
    )


def object_to_payload(operation: Operation, scene: Scene) -> Reason | None:
    """Why a witness must not vote for what an operation does, or None."""
    if operation.fee < scene.fee and not _is_free(operation, scene):
        return Reason.FEE
    match operation.payload:
        case Transfer():
            return None
        case OpenEscrow() as terms:
            return _object_to_terms(operation.account, terms)
        case payload:
            escrow = scene.escrow_of(payload.escrow)
            if escrow is None:
                return Reason.ESCROW_UNKNOWN
            return _object_for_escrow(operation, payload, escrow, scene)


def object_to_signing(operation: Operation, scene: Scene) -> Reason | None:
    """Why a wallet must not sign an operation: what a witness objects to, and what is unwise."""
    return object_to_payload(operation, scene) or _object_to_timing(operation, scene)


def _object_to_timing(operation: Operation, scene: Scene) -> Reason | None:
    match operation.payload:
        case Transfer():
            return None
        case OpenEscrow(ends_at_ms=ends_at_ms):
            return None if ends_at_ms > scene.now_ms else Reason.TERMS
        case payload:
            escrow = scene.escrow_of(payload.escrow)
    if escrow is None or escrow.closing is not None:
        return Reason.ESCROW_CLOSED
    match payload:
        case CancelEscrow() if escrow.cancelled_at_ms is not None:
            return Reason.ESCROW_CLOSED
        case SettleEscrow() | CloseEscrow():
            latest_ms = reclaimable_ms(escrow.terms) - SETTLE_MARGIN_MS
            return None if scene.now_ms < latest_ms else Reason.TOO_LATE
        case _:
            return None


def _is_free(operation: Operation, scene: Scene) -> bool:
    """Whether the node closes its escrow: its key holds no money on purpose."""
    match operation.payload:
        case SettleEscrow(escrow=identity) | CloseEscrow(escrow=identity):
            escrow = scene.escrow_of(identity)
            return escrow is None or operation.account == AccountId(escrow.terms.node)
        case _:
            return False


def _object_to_terms(consumer: AccountId, terms: OpenEscrow) -> Reason | None:
    duration_ms = terms.ends_at_ms - terms.starts_at_ms
    is_sane = (
        duration_ms <= DURATION_SECONDS_MAX * SECOND_MS
        and terms.grace_seconds <= GRACE_SECONDS_MAX
        and consumer != AccountId(terms.node)
    )
    return None if is_sane else Reason.TERMS


def _object_for_escrow(
    operation: Operation,
    payload: CancelEscrow | SettleEscrow | CloseEscrow | ReclaimEscrow,
    escrow: Escrow,
    scene: Scene,
) -> Reason | None:
    account, node = operation.account, AccountId(escrow.terms.node)
    match payload:
        case CancelEscrow() if account != escrow.consumer:
            return Reason.NOT_A_PARTY
        case CancelEscrow():
            return None
        case SettleEscrow() if account != node:
            return Reason.NOT_A_PARTY
        case SettleEscrow(to_farm=to_farm):
            return Reason.TOO_MUCH if to_farm > due(escrow, scene) else None
        case CloseEscrow(to_farm=to_farm):
            if to_farm > escrow.terms.deposit:
                return Reason.TOO_MUCH
            is_agreed = account in (escrow.consumer, node) and _is_agreed(
                payload, escrow, account, scene.network
            )
            return None if is_agreed else Reason.NOT_A_PARTY
        case ReclaimEscrow() if account != escrow.consumer:
            return Reason.NOT_A_PARTY
        case ReclaimEscrow():
            return None if scene.now_ms > reclaimable_ms(escrow.terms) else Reason.TOO_EARLY


def reclaimable_ms(terms: OpenEscrow) -> TimestampMs:
    """After this moment the consumer may take the deposit back."""
    return TimestampMs(terms.ends_at_ms + terms.grace_seconds * SECOND_MS + RECLAIM_DELAY_MS)


def due(escrow: Escrow, scene: Scene) -> Amount:
    """The most that the farm may get now: the time used times the price, rounded down.

    The time runs from the start to the end, or to now, or to CANCEL_NOTICE_MS after
    the cancel. The cancel counts from when this witness saw it certified if that
    is later than its own time, so that a consumer neither gains by dating it back
    nor makes a settlement void that was signed before.
    """
    until_ms: int = min(scene.now_ms, escrow.terms.ends_at_ms)
    if escrow.cancelled_at_ms is not None:
        seen_ms = scene.cancel_seen_ms.get(escrow.id, escrow.cancelled_at_ms)
        noticed_ms = max(seen_ms, escrow.cancelled_at_ms) + CANCEL_NOTICE_MS
        until_ms = min(until_ms, noticed_ms)
    terms = escrow.terms
    until = TimestampMs(until_ms)
    return accrued(terms.price_per_hour, terms.deposit, terms.starts_at_ms, until)


def close_message(terms: CloseTerms, network: NetworkId) -> bytes:
    """The 64 bytes that a side signs to let the other close an escrow."""
    kind = RecordKind.CLOSE_TERMS
    return message_of(kind, record_id(kind, encode(terms), network), network)


def _is_agreed(payload: CloseEscrow, escrow: Escrow, closer: AccountId, network: NetworkId) -> bool:
    node = AccountId(escrow.terms.node)
    other = node if closer == escrow.consumer else escrow.consumer
    terms = CloseTerms(escrow=escrow.id, to_farm=payload.to_farm, party=other)
    return is_signed_by(other, close_message(terms, network), payload.other_signature)
