"""Spends from the accounts of this machine, one operation of an account at a time."""

import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import (
    Conflicting,
    GridError,
    Refused,
    SignedElsewhere,
    StoreFailed,
    Unreachable,
)
from p2pgrid.ledger.purse import Purse
from p2pgrid.ledger.rules import Scene, object_to_signing, refused
from p2pgrid.ledger.state import Account, Escrow
from p2pgrid.ledger.wallet import (
    Head,
    least_fee,
    newest,
    next_operation,
    require_funds,
    still_pending,
)
from p2pgrid.limits.ledger import LEDGER_PENDING_RETRY_SECONDS
from p2pgrid.model.certificate import Reason
from p2pgrid.model.ids import AccountId, NetworkId, RecordId, short
from p2pgrid.model.operation import OpenEscrow, Operation, Payload, SettleEscrow, Transfer
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.signed import Signed, is_usable_key

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an account stands, as far as can be told now."""

    account: Account
    is_convicted: bool
    is_recent: bool = True
    """Whether what is certified elsewhere has been learnt a moment ago."""


class Books(Protocol):
    """Where spending learns how things stand, and gets operations certified."""

    async def standing(self, account: AccountId) -> Standing:
        """How an account stands. Raises Unreachable when that cannot be told yet."""
        ...

    async def escrow(self, escrow: RecordId) -> Escrow | None:
        """A certified escrow."""
        ...

    async def certify(self, signed: Signed[Operation]) -> None:
        """Return when an operation is certified. Raises GridError."""
        ...


class Spending:
    """Signs what can be certified, and sees to it that it is."""

    def __init__(
        self,
        purse: Purse,
        books: Books,
        network: NetworkId,
        fee: Amount,
        now_ms: Callable[[], TimestampMs],
    ) -> None:
        self._purse = purse
        self._books = books
        self._network = network
        self._fee = fee
        self._now_ms = now_ms
        self._turns: defaultdict[AccountId, trio.Lock] = defaultdict(trio.Lock)

    async def spend(
        self, payload: Payload, key: SigningKey, *, takes_over: bool = True
    ) -> RecordId:
        """Make the next operation of the key's account; return when it is certified.

        An operation that is pending is finished first. When it does the very same
        thing it is the one that was asked for, so that trying again pays once.

        Args:
            payload: what to do.
            key: of the account.
            takes_over: sign also after an operation that was signed on another machine.
                Two that sign at the same time block the account, so people are asked first.

        Raises:
            SignedElsewhere: another machine signed the last operation; nothing was signed.
            Refused: it cannot be certified; nothing was signed, unless it says pending.
            Unreachable: not enough peers answered; what was signed is sent again later.
            StoreFailed: nothing was signed.
        """
        account = AccountId(bytes(key.verify_key))
        async with self._turns[account]:
            pending = self._purse.pending(account)
            if pending is not None:
                if pending.record.payload == payload:
                    await self._finish(pending)
                    return pending.id
                await self._finish_before_next(pending)
            signed = await self._sign(account, payload, key, takes_over=takes_over)
            await self._finish(signed)
            return signed.id

    async def run(self) -> None:
        """Send what is pending again, at the start and now and then, until cancelled."""
        while True:
            for pending in self._purse.all_pending():
                async with self._turns[pending.record.account]:
                    await self._retry(pending)
            await trio.sleep(LEDGER_PENDING_RETRY_SECONDS)

    async def _retry(self, pending: Signed[Operation]) -> None:
        if self._purse.pending(pending.record.account) is not pending:
            return
        try:
            await self._finish(pending)
        except GridError as error:
            log.warning(
                "operation %d of account %s is still pending: %s",
                pending.record.sequence,
                short(pending.record.account),
                error,
            )

    async def _finish(self, signed: Signed[Operation]) -> None:
        conflict = None
        try:
            await self._books.certify(signed)
        except Conflicting as error:
            conflict = error
        if conflict is not None:
            await self._give_up_if_taken(signed)
            raise conflict
        try:
            self._purse.settle([(signed.id, signed.record)])
        except StoreFailed as error:
            log.warning("a certified operation stays pending for now: %s", error)

    async def _give_up_if_taken(self, signed: Signed[Operation]) -> None:
        """Let go of an operation when another one of its account is certified in its place."""
        account = signed.record.account
        standing = await self._books.standing(account)
        if standing.account.sequence > signed.record.sequence:
            log.warning(
                "operation %d of account %s was signed elsewhere as well, and that one counts",
                signed.record.sequence,
                short(account),
            )
            await self._purse.give_up(account)

    async def _finish_before_next(self, pending: Signed[Operation]) -> None:
        try:
            await self._finish(pending)
        except Conflicting:
            raise
        except Refused as error:
            raise still_pending(pending.record) from error

    async def _sign(
        self, account: AccountId, payload: Payload, key: SigningKey, *, takes_over: bool
    ) -> Signed[Operation]:
        standing = await self._books.standing(account)
        known = standing.account
        ours = self._purse.head(account)
        head = newest(Head(known.sequence, known.head, known.time_ms), ours)
        if head.sequence != known.sequence:
            raise Unreachable(
                f"the peers asked do not know the last operation of account {short(account)} yet; "
                "try again in some seconds"
            )
        if head.sequence != ours.sequence:
            self._warn_of_another_signer(account, known, takes_over=takes_over)
        escrow = None
        if not isinstance(payload, Transfer | OpenEscrow):
            escrow = await self._books.escrow(payload.escrow)
        fee = least_fee(payload, account, None if escrow is None else escrow.consumer, self._fee)
        now_ms = self._now_ms()
        operation = next_operation(account, payload, head, fee=fee, now_ms=now_ms)
        require_funds(operation, known.balance)
        if isinstance(payload, SettleEscrow) and not standing.is_recent:
            # A cancel of which we have not heard could make it too much for ever.
            raise Unreachable("no peer answers now; a settlement is signed when one does")
        scene = Scene(lambda _: escrow, self._network, self._fee, now_ms, {})
        reason = object_to_signing(operation, scene)
        if standing.is_convicted:
            reason = Reason.CONVICTED
        elif not _has_usable_receivers(payload):
            reason = Reason.KEY
        if reason is not None:
            raise refused(reason, operation)
        return await self._purse.sign_next(key, payload, head, fee, now_ms)

    def _warn_of_another_signer(
        self, account: AccountId, known: Account, *, takes_over: bool
    ) -> None:
        warning = (
            f"account {short(account)} signed its last operation (number {known.sequence - 1}) on "
            "another machine, or here with data that is gone; if that machine signs at the same "
            "time, the account is blocked until the epoch ends"
        )
        if not takes_over:
            raise SignedElsewhere(warning)
        log.warning("%s", warning)


def _has_usable_receivers(payload: Payload) -> bool:
    match payload:
        case Transfer(outputs=outputs):
            return all(is_usable_key(receiver) for receiver, _ in outputs)
        case OpenEscrow(farm=farm, node=node):
            return is_usable_key(farm) and is_usable_key(node)
        case _:
            return True
