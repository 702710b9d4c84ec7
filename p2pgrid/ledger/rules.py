"""What an operation's payload must satisfy before a witness votes for it.

These rules use clocks and local knowledge, so they decide voting only. What
a certified operation does to the state depends on the operation alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from p2pgrid.errors import GridError, InsufficientBalance, Refused
from p2pgrid.ledger.state import Escrow, LedgerState
from p2pgrid.limits.ledger import CLOCK_AHEAD_MS_MAX, GRACE_SECONDS_MAX, RECLAIM_DELAY_MS
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
    }
)
"""Refusals that another answer, of a witness that has caught up, may take back."""

_WORDS = {
    Reason.CONFLICT: "another operation holds its place; the account signed twice",
    Reason.CONVICTED: "the account once signed two operations for one place",
    Reason.BEHIND: "the operation before it is not known to the witnesses yet; try again",
    Reason.TIME: "its time is ahead of the witnesses' clocks; check this machine's clock",
    Reason.FEE: "its fee is below the least fee of the grid",
    Reason.KEY: "it names an account that is not a usable key; check the account",
    Reason.ESCROW_UNKNOWN: "no such escrow is certified",
    Reason.ESCROW_CLOSED: "the escrow is cancelled or closed already",
    Reason.NOT_A_PARTY: "the account has no right to do this with the escrow",
    Reason.TOO_MUCH: "it claims more than the time used so far costs",
    Reason.TOO_EARLY: "an escrow can be reclaimed 10 minutes after its end and grace",
    Reason.TERMS: "its terms make no sense: check times, grace, node and farm",
    Reason.CHAIN: "it does not follow the operation before it",
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
    """When this witness first saw the cancel of an escrow."""


def named_accounts(operation: Operation) -> tuple[AccountId, ...]:
    """Accounts that come into being with an operation when they are new."""
    match operation.payload:
        case Transfer(outputs=outputs):
            return operation.account, *(account for account, _ in outputs)
        case OpenEscrow(farm=farm, node=node):
            return operation.account, farm, AccountId(node)
        case _:
            return (operation.account,)


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
            return _object_to_terms(operation.account, terms, scene.now_ms)
        case payload:
            escrow = scene.escrow_of(payload.escrow)
            if escrow is None:
                return Reason.ESCROW_UNKNOWN
            if escrow.closing is not None:
                return Reason.ESCROW_CLOSED
            return _object_for_escrow(operation, payload, escrow, scene)


def _is_free(operation: Operation, scene: Scene) -> bool:
    """Whether the node closes its escrow: its key holds no money on purpose."""
    match operation.payload:
        case SettleEscrow(escrow=identity) | CloseEscrow(escrow=identity):
            escrow = scene.escrow_of(identity)
            return escrow is None or operation.account == AccountId(escrow.terms.node)
        case _:
            return False


def _object_to_terms(consumer: AccountId, terms: OpenEscrow, now_ms: int) -> Reason | None:
    duration_ms = terms.ends_at_ms - terms.starts_at_ms
    is_sane = (
        terms.ends_at_ms > now_ms
        and duration_ms <= DURATION_SECONDS_MAX * SECOND_MS
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
            return Reason.ESCROW_CLOSED if escrow.cancelled_at_ms is not None else None
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

    The time runs from the start to the end, or to now, or to the cancel. A cancel
    that this witness saw over two minutes after its own time counts from when
    it was seen, so that a consumer gains nothing by dating it back.
    """
    until_ms = min(scene.now_ms, escrow.terms.ends_at_ms)
    if escrow.cancelled_at_ms is not None:
        seen_ms = scene.cancel_seen_ms.get(escrow.id, escrow.cancelled_at_ms)
        is_late = seen_ms > escrow.cancelled_at_ms + CLOCK_AHEAD_MS_MAX
        until_ms = min(until_ms, seen_ms if is_late else escrow.cancelled_at_ms)
    terms = escrow.terms
    return accrued(terms.price_per_hour, terms.deposit, terms.starts_at_ms, until_ms)


def close_message(terms: CloseTerms, network: NetworkId) -> bytes:
    """The 64 bytes that a side signs to let the other close an escrow."""
    kind = RecordKind.CLOSE_TERMS
    return message_of(kind, record_id(kind, encode(terms), network), network)


def _is_agreed(payload: CloseEscrow, escrow: Escrow, closer: AccountId, network: NetworkId) -> bool:
    node = AccountId(escrow.terms.node)
    other = node if closer == escrow.consumer else escrow.consumer
    terms = CloseTerms(escrow=escrow.id, to_farm=payload.to_farm, party=other)
    return is_signed_by(other, close_message(terms, network), payload.other_signature)
