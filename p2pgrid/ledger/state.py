"""The state of the ledger: a function of the set of certified operations, and of nothing else.

Rule 1: merge is union. Order of arrival, duplicates, entry node and the
certificate that came first leave no trace.
Rule 2: an operation takes effect when all before it in its account's chain
have; until then it waits. Effects on an escrow wait for the escrow as well.
Rule 3: on every partial set, balances + open escrows + burnt = genesis. A
balance may be negative while a cause is missing: that is never an error.
Rule 4: two certified operations in one slot are an alarm, and only the one with the
lower id counts. That happens only when a third of the witnesses cheat.

What has been received and what has been spent are kept apart, and both only grow.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    CancelEscrow,
    CloseEscrow,
    OpenEscrow,
    Operation,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
    slot_of,
)
from p2pgrid.units import Amount, TimestampMs


@dataclass(frozen=True, slots=True)
class Account:
    """What the certified operations known here make of one account."""

    received: int = 0
    spent: int = 0
    sequence: int = 0
    """Of its next operation."""
    head: RecordId = NO_PREVIOUS
    """Its last operation in effect."""
    time_ms: TimestampMs = TimestampMs(0)
    """When that was signed."""

    @property
    def balance(self) -> int:
        """What it can spend; negative only while a cause is missing here."""
        return self.received - self.spent


@dataclass(frozen=True, slots=True)
class Closing:
    """How an escrow ended; the two add up to the deposit."""

    operation: RecordId
    to_farm: Amount
    refund: Amount


@dataclass(frozen=True, slots=True)
class Escrow:
    """A deposit: open, or paid out."""

    id: RecordId
    consumer: AccountId
    terms: OpenEscrow
    cancelled_at_ms: TimestampMs | None = None
    closing: Closing | None = None


Cancel = tuple[AccountId, TimestampMs, RecordId]
"""Who cancelled an escrow, when, and by which operation."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Two certified operations in one slot; the lower id is in effect."""

    slot: bytes
    operations: tuple[RecordId, ...]


@dataclass(slots=True)
class _Derived:
    """All that follows from the certified operations; thrown away and folded anew on an alarm."""

    accounts: dict[AccountId, Account]
    escrows: dict[RecordId, Escrow] = field(default_factory=dict)
    waiting: dict[tuple[AccountId, int], tuple[RecordId, Operation]] = field(default_factory=dict)
    cancels: dict[RecordId, list[Cancel]] = field(default_factory=dict)
    closings: dict[RecordId, tuple[RecordId, Operation]] = field(default_factory=dict)
    applied: set[RecordId] = field(default_factory=set)
    touched: dict[AccountId, dict[RecordId, None]] = field(default_factory=dict)
    by_terms: dict[tuple[AccountId, bytes], list[RecordId]] = field(default_factory=dict)
    burnt: int = 0
    locked: int = 0


class LedgerState:
    """The fold of the certified operations added so far."""

    def __init__(self, genesis: Genesis) -> None:
        self._genesis = genesis
        self._certified: dict[RecordId, Operation] = {}
        self._slots: dict[bytes, RecordId] = {}
        self._alarms: dict[bytes, set[RecordId]] = {}
        self._derived = self._first()

    def _first(self) -> _Derived:
        balances = self._genesis.balances
        return _Derived({account: Account(received=amount) for account, amount in balances})

    # --- questions --------------------------------------------------------------------------------

    @property
    def burnt(self) -> int:
        """Fees paid so far."""
        return self._derived.burnt

    @property
    def locked(self) -> int:
        """Deposits of open escrows."""
        return self._derived.locked

    @property
    def total(self) -> int:
        """Balances, open escrows and what was burnt: always the sum of the genesis balances."""
        derived = self._derived
        balances = sum(account.balance for account in derived.accounts.values())
        return balances + derived.locked + derived.burnt

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Slots with more than one certified operation, sorted."""
        return tuple(
            Alarm(slot, tuple(sorted(operations)))
            for slot, operations in sorted(self._alarms.items())
        )

    @property
    def is_alarmed(self) -> bool:
        """Whether a slot has more than one certified operation."""
        return bool(self._alarms)

    @property
    def operation_count(self) -> int:
        """Certified operations known here."""
        return len(self._certified)

    @property
    def waiting_count(self) -> int:
        """Certified operations whose predecessor is missing here."""
        return len(self._derived.waiting)

    def waiting(self) -> tuple[RecordId, ...]:
        """Certified operations whose predecessor is missing here."""
        return tuple(identity for identity, _ in self._derived.waiting.values())

    def accounts(self) -> dict[AccountId, Account]:
        """Every account known, in a new mapping."""
        return dict(self._derived.accounts)

    def escrows(self) -> dict[RecordId, Escrow]:
        """Every escrow known, in a new mapping."""
        return dict(self._derived.escrows)

    def account(self, account: AccountId) -> Account:
        """One account; an empty one when nothing is known of it."""
        return self._derived.accounts.get(account, _EMPTY)

    def has_account(self, account: AccountId) -> bool:
        """Whether it ever had a balance or made an operation."""
        return account in self._derived.accounts

    def escrow(self, escrow: RecordId) -> Escrow | None:
        """One escrow, or None when its opening has not taken effect here."""
        return self._derived.escrows.get(escrow)

    def find_escrow(self, consumer: AccountId, terms_hash: bytes) -> Escrow | None:
        """The escrow that an account opened with these terms; the lowest id of several."""
        found = self._derived.by_terms.get((consumer, terms_hash))
        return self._derived.escrows[min(found)] if found else None

    def endings(self, escrow: RecordId) -> tuple[RecordId | None, RecordId | None]:
        """The operations in effect that cancelled an escrow, first, and that closed it."""
        found = self._derived.escrows.get(escrow)
        if found is None:
            return None, None
        cancels = [
            (time_ms, identity)
            for account, time_ms, identity in self._derived.cancels.get(escrow, ())
            if account == found.consumer
        ]
        cancel = min(cancels)[1] if cancels else None
        return cancel, None if found.closing is None else found.closing.operation

    def operation(self, identity: RecordId) -> Operation | None:
        """A certified operation."""
        return self._certified.get(identity)

    def certified_in(self, slot: bytes) -> RecordId | None:
        """The operation that has a certificate for `slot`; the lower id on an alarm."""
        return self._slots.get(slot)

    def certified_at(self, account: AccountId, sequence: int) -> tuple[RecordId, Operation] | None:
        """The certified operation at one place of a chain, in effect or waiting."""
        identity = self._slots.get(slot_of(b"account", account, sequence.to_bytes(8, "big")))
        return None if identity is None else (identity, self._certified[identity])

    def is_in_effect(self, identity: RecordId) -> bool:
        """Whether an operation and all before it in its chain are certified."""
        return identity in self._derived.applied

    def touching(self, account: AccountId) -> tuple[RecordId, ...]:
        """Operations in effect that concern `account`, in no order that means anything."""
        return tuple(self._derived.touched.get(account, ()))

    # --- the fold ---------------------------------------------------------------------------------

    def add(self, operations: Iterable[tuple[RecordId, Operation]]) -> bool:
        """Take in certified operations; those known already change nothing.

        Returns:
            Whether any was new. 15 µs for each that was.
        """
        fresh = {identity: one for identity, one in operations if identity not in self._certified}
        alarms = sum(len(ids) for ids in self._alarms.values())
        for identity, operation in fresh.items():
            self._certified[identity] = operation
            self._occupy(identity, operation)
        if sum(len(ids) for ids in self._alarms.values()) != alarms:
            self._fold_anew()
        else:
            losers = self._losers()
            for identity, operation in fresh.items():
                if identity not in losers:
                    self._place(identity, operation)
        return bool(fresh)

    def remove(self, operations: Iterable[RecordId]) -> None:
        """Take out operations whose certificates are void, and fold the others anew."""
        gone = [one for one in operations if self._certified.pop(one, None) is not None]
        if gone:
            kept, self._certified, self._slots, self._alarms = self._certified, {}, {}, {}
            self._derived = self._first()
            self.add(kept.items())

    def without(self, operations: Iterable[RecordId]) -> "LedgerState":
        """What this would be if these had no certificate."""
        gone = set(operations)
        other = LedgerState(self._genesis)
        other.add((one, operation) for one, operation in self._certified.items() if one not in gone)
        return other

    def _occupy(self, identity: RecordId, operation: Operation) -> None:
        for slot in operation.slots:
            other = self._slots.setdefault(slot, identity)
            if other != identity:
                self._alarms.setdefault(slot, {other}).add(identity)
                self._slots[slot] = min(other, identity)

    def _losers(self) -> set[RecordId]:
        return {one for ids in self._alarms.values() for one in ids - {min(ids)}}

    def _fold_anew(self) -> None:
        self._derived = self._first()
        losers = self._losers()
        for identity, operation in self._certified.items():
            if identity not in losers:
                self._place(identity, operation)

    def _place(self, identity: RecordId, operation: Operation) -> None:
        """Let an operation and what waited for it take effect, or let it wait itself."""
        derived, account = self._derived, operation.account
        derived.waiting[account, operation.sequence] = identity, operation
        while True:
            at = self.account(account)
            following = derived.waiting.get((account, at.sequence))
            if following is None or following[1].previous != at.head:
                return
            del derived.waiting[account, at.sequence]
            self._apply(*following)

    def _apply(self, identity: RecordId, operation: Operation) -> None:
        derived, account = self._derived, operation.account
        before = self.account(account)
        derived.accounts[account] = Account(
            received=before.received,
            spent=before.spent + operation.debit,
            sequence=before.sequence + 1,
            head=identity,
            time_ms=operation.time_ms,
        )
        derived.burnt += operation.fee
        derived.applied.add(identity)
        self._touch(account, identity)
        match operation.payload:
            case Transfer(outputs=outputs):
                for receiver, amount in outputs:
                    self._credit(receiver, amount, identity)
            case OpenEscrow() as terms:
                derived.escrows[identity] = Escrow(identity, account, terms)
                derived.by_terms.setdefault((account, terms.terms_hash), []).append(identity)
                derived.locked += terms.deposit
                self._conclude(identity)
            case CancelEscrow(escrow=escrow):
                cancel = account, operation.time_ms, identity
                derived.cancels.setdefault(escrow, []).append(cancel)
                self._conclude(escrow)
            case SettleEscrow(escrow=escrow) | CloseEscrow(escrow=escrow):
                derived.closings[escrow] = identity, operation
                self._conclude(escrow)
            case ReclaimEscrow(escrow=escrow):
                derived.closings[escrow] = identity, operation
                self._conclude(escrow)

    def _credit(self, account: AccountId, amount: int, operation: RecordId) -> None:
        before = self.account(account)
        self._derived.accounts[account] = replace(before, received=before.received + amount)
        self._touch(account, operation)

    def _touch(self, account: AccountId, operation: RecordId) -> None:
        self._derived.touched.setdefault(account, {})[operation] = None

    def _conclude(self, identity: RecordId) -> None:
        """Let what is known of one escrow take effect: its cancel, and its closing once."""
        derived = self._derived
        before = derived.escrows.get(identity)
        if before is None:
            return
        cancels = derived.cancels.get(identity, [])
        after = concluded(before, cancels, derived.closings.get(identity))
        derived.escrows[identity] = after
        closing = after.closing
        if before.closing is None and closing is not None:
            derived.locked -= after.terms.deposit
            self._credit(after.terms.farm, closing.to_farm, closing.operation)
            self._credit(after.consumer, closing.refund, closing.operation)


_EMPTY = Account()


def concluded(
    escrow: Escrow,
    cancels: Iterable[Cancel],
    closing: tuple[RecordId, Operation] | None,
) -> Escrow:
    """An escrow with what is known of its end.

    Args:
        escrow: as it was opened.
        cancels: only the consumer's count, and of those the earliest.
        closing: the certified operation in its closing slot, if any.
    """
    times = [time_ms for account, time_ms, _ in cancels if account == escrow.consumer]
    end = None
    if closing is not None:
        identity, operation = closing
        to_farm = farm_share(escrow, operation.account, operation.payload)
        if to_farm is not None:
            end = Closing(identity, to_farm, Amount(escrow.terms.deposit - to_farm))
    return replace(escrow, cancelled_at_ms=min(times, default=None), closing=end)


def farm_share(escrow: Escrow, by: AccountId, payload: Payload) -> Amount | None:
    """What a closing gives to the farm, or None when it may not close this escrow.

    Knows no clock: how much is due is the witnesses' business, who closes what is not.
    """
    terms = escrow.terms
    match payload:
        case SettleEscrow(to_farm=to_farm) if (
            by == AccountId(terms.node) and to_farm <= terms.deposit
        ):
            return to_farm
        case CloseEscrow(to_farm=to_farm) if (
            by in (AccountId(terms.node), escrow.consumer) and to_farm <= terms.deposit
        ):
            return to_farm
        case ReclaimEscrow() if by == escrow.consumer:
            return Amount(0)
        case _:
            return None
