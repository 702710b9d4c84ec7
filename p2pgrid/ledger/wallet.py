"""A wallet: the next operation of an account, without ever signing two for one place.

Rule 1: one operation at a time. It is stored before it is sent, and sent again
as it is until it has a certificate, also after a restart.
Rule 2: what cannot be certified now is not signed: a signed operation holds
its place for ever, so a mistyped amount would block the account.
Rule 3: the head that this wallet itself has seen certified is never forgotten, so
that a peer with an old view cannot make it sign for a place that is taken.
"""

from dataclasses import dataclass

from p2pgrid.errors import InsufficientBalance, Refused
from p2pgrid.model.ids import AccountId, RecordId, short
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    CloseEscrow,
    Operation,
    Payload,
    SettleEscrow,
)
from p2pgrid.units import Amount, TimestampMs, format_tft

_SEQUENCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain of an account stands."""

    sequence: int = 0
    """Of the next operation."""
    previous: RecordId = NO_PREVIOUS
    """The last certified operation."""
    time_ms: TimestampMs = TimestampMs(0)
    """When that was signed."""


def head_after(identity: RecordId, operation: Operation) -> Head:
    """The head once `operation` is certified."""
    return Head(operation.sequence + 1, identity, operation.time_ms)


def write_head(head: Head) -> bytes:
    """A head as the store keeps it."""
    numbers = (head.sequence, head.time_ms)
    return b"".join(one.to_bytes(_SEQUENCE_BYTES, "big") for one in numbers) + head.previous


def read_head(data: bytes) -> Head:
    """The head that `write_head` wrote."""
    sequence, time_ms = data[:_SEQUENCE_BYTES], data[_SEQUENCE_BYTES : 2 * _SEQUENCE_BYTES]
    return Head(
        int.from_bytes(sequence, "big"),
        RecordId(data[2 * _SEQUENCE_BYTES :]),
        TimestampMs(int.from_bytes(time_ms, "big")),
    )


def newest(*heads: Head) -> Head:
    """The one that is furthest along."""
    return max(heads, key=lambda head: head.sequence)


def least_fee(
    payload: Payload, account: AccountId, consumer: AccountId | None, fee: Amount
) -> Amount:
    """What an operation must pay: nothing when a node closes an escrow of somebody else."""
    is_closing = isinstance(payload, SettleEscrow | CloseEscrow)
    return Amount(0) if is_closing and account != consumer else fee


def next_operation(
    account: AccountId, payload: Payload, head: Head, *, fee: Amount, now_ms: TimestampMs
) -> Operation:
    """The operation that follows `head`. Its time never goes back, whatever the clock does."""
    return Operation(
        account=account,
        sequence=head.sequence,
        previous=head.previous,
        time_ms=max(now_ms, head.time_ms),
        fee=fee,
        payload=payload,
    )


def require_funds(operation: Operation, balance: int) -> None:
    """Raise InsufficientBalance when `balance` does not cover an operation."""
    if operation.debit > 0 and balance < operation.debit:
        raise InsufficientBalance(
            f"account {short(operation.account)} holds {format_tft(balance)} TFT; "
            f"this takes {format_tft(operation.debit)} TFT with the fee of "
            f"{format_tft(operation.fee)} TFT"
        )


def still_pending(operation: Operation) -> Refused:
    """The error for an account whose last operation has no certificate yet."""
    return Refused(
        f"operation {operation.sequence} of account {short(operation.account)} is not certified "
        "yet; it is sent again until it is, and the next has to wait"
    )
