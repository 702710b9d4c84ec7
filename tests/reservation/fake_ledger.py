"""The ledger that the tests of this folder pay with: the witnesses' rules, without witnesses."""

from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import dataclass, replace

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import InsufficientBalance, Refused, Unreachable
from p2pgrid.model.accrual import accrued
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    OpenEscrow,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
)
from p2pgrid.units import SECOND_MS, TFT, Amount, TimestampMs
from tests.reservation.samples import CONSUMER

START_MS = 1_700_000_000_000
FEE = Amount(10_000)
BALANCE = Amount(1000 * TFT)


def now_ms() -> TimestampMs:
    """Trio's virtual clock as a time of day."""
    return TimestampMs(START_MS + int(trio.current_time() * SECOND_MS))


@dataclass(frozen=True)
class FakeAccount:
    balance: int
    is_convicted: bool


@dataclass(frozen=True)
class FakeClosing:
    to_farm: Amount
    refund: Amount


@dataclass(frozen=True)
class FakeEscrow:
    id: RecordId
    consumer: AccountId
    terms: OpenEscrow
    cancelled_at_ms: TimestampMs | None = None
    closing: FakeClosing | None = None


class FakeLedger:
    """The witnesses' rules about escrows, without witnesses."""

    def __init__(self) -> None:
        self.balances: dict[AccountId, int] = {CONSUMER: BALANCE}
        self.burnt = 0
        self.escrows: dict[RecordId, FakeEscrow] = {}
        self.settlements = 0
        self.refused = 0
        self.is_down = False
        self.convicted: set[AccountId] = set()
        self.blocked: set[AccountId] = set()
        """Those who signed what can never be certified; they can sign nothing after it."""

    @property
    def total(self) -> int:
        """Never changes."""
        locked = sum(e.terms.deposit for e in self.escrows.values() if e.closing is None)
        return sum(self.balances.values()) + locked + self.burnt

    def preview(self, account: AccountId, payload: Payload) -> None:
        """What a peer checks before it signs. Raises Refused: it would not be certified now."""
        if account in self.blocked:
            raise Refused("an operation before it is still pending")
        trial = copy(self)
        trial.balances, trial.escrows = dict(self.balances), dict(self.escrows)
        trial.apply(account, payload)
        if isinstance(payload, CancelEscrow):
            escrow = self._open(payload.escrow)
            assert escrow.cancelled_at_ms is None, "signed a second cancel"

    def apply(self, account: AccountId, payload: Payload) -> RecordId:
        """Certify one operation. Raises Refused."""
        match payload:
            case OpenEscrow() as terms:
                self._debit(account, terms.deposit + FEE)
                identity = RecordId(len(self.escrows).to_bytes(32, "big"))
                self.escrows[identity] = FakeEscrow(identity, account, terms)
                return identity
            case CancelEscrow(escrow=identity):
                escrow = self.escrows[identity]
                if (
                    escrow.closing is None and escrow.cancelled_at_ms is not None
                ) or escrow.consumer != account:
                    raise Refused("cancelled already, or not yours")
                self._debit(account, FEE)
                if escrow.closing is None and escrow.cancelled_at_ms is None:
                    self.escrows[identity] = replace(escrow, cancelled_at_ms=now_ms())
            case SettleEscrow(escrow=identity, to_farm=to_farm):
                escrow = self._open(identity)
                assert account == AccountId(escrow.terms.node)
                self._require_due(escrow, to_farm)
                self.settlements += 1
                self._close(escrow, to_farm)
            case ReclaimEscrow(escrow=identity):
                self._debit(account, FEE)
                self._close(self._open(identity), Amount(0))
            case _:
                raise AssertionError(payload)
        return RecordId(bytes(32))

    def _debit(self, account: AccountId, amount: int) -> None:
        fee = FEE
        if self.balances.get(account, 0) < amount:
            raise InsufficientBalance("not enough")
        self.balances[account] -= amount
        self.burnt += fee

    def _open(self, identity: RecordId) -> FakeEscrow:
        escrow = self.escrows[identity]
        if escrow.closing is not None:
            raise Refused("closed already")
        return escrow

    def _require_due(self, escrow: FakeEscrow, to_farm: Amount) -> None:
        terms = escrow.terms
        until_ms = min(now_ms(), terms.ends_at_ms, escrow.cancelled_at_ms or terms.ends_at_ms)
        due = accrued(
            terms.price_per_hour, terms.deposit, terms.starts_at_ms, TimestampMs(until_ms)
        )
        if to_farm > due:
            raise Refused(f"{to_farm} is more than {due}")

    def _close(self, escrow: FakeEscrow, to_farm: Amount) -> None:
        refund = Amount(escrow.terms.deposit - to_farm)
        self.escrows[escrow.id] = replace(escrow, closing=FakeClosing(to_farm, refund))
        for account, amount in ((escrow.terms.farm, to_farm), (escrow.consumer, refund)):
            self.balances[account] = self.balances.get(account, 0) + amount


class LedgerAccess:
    """One process's way to the ledger; each payment has a step before and after it."""

    def __init__(self, ledger: FakeLedger, step: Callable[[], Awaitable[None]]) -> None:
        self._ledger = ledger
        self._step = step
        self.on_sign: Callable[[], None] = lambda: None
        """Called when an operation is signed: what it does to the ledger comes first."""

    async def spend(self, payload: Payload, key: SigningKey) -> RecordId:
        account = AccountId(bytes(key.verify_key))
        try:
            self._ledger.preview(account, payload)
        except Refused:
            self._ledger.refused += 1
            raise
        self.on_sign()
        await trio.sleep(0.2)
        if self._ledger.is_down:
            raise Unreachable("no quorum")
        await self._step()
        try:
            identity = self._ledger.apply(account, payload)
        except Refused:
            self._ledger.refused += 1
            self._ledger.blocked.add(account)
            raise
        await self._step()
        return identity

    async def account(self, account: AccountId) -> FakeAccount:
        await trio.lowlevel.checkpoint()
        balance = self._ledger.balances.get(account, 0)
        return FakeAccount(balance, account in self._ledger.convicted)

    async def escrow(self, escrow: RecordId) -> FakeEscrow | None:
        await trio.lowlevel.checkpoint()
        return self._ledger.escrows.get(escrow)

    async def find_escrow(self, consumer: AccountId, terms_hash: bytes) -> FakeEscrow | None:
        await trio.lowlevel.checkpoint()
        for _, escrow in sorted(self._ledger.escrows.items()):
            if escrow.consumer == consumer and escrow.terms.terms_hash == terms_hash:
                return escrow
        return None
