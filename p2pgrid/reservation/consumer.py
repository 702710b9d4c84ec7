"""The consumer's side of reservations: asks nodes, pays, follows, cancels; forgets nothing paid."""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import (
    GridError,
    InsufficientBalance,
    NoFittingNode,
    NotFound,
    PeerError,
    Refused,
    Unreachable,
)
from p2pgrid.limits import reservation as limits
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.ids import AccountId, NetworkId, RecordId, short
from p2pgrid.model.operation import CancelEscrow, ReclaimEscrow
from p2pgrid.model.reservation import Cancellation, Phase, Quote, ReservationRequest, Status
from p2pgrid.net.network import Method, Network
from p2pgrid.reservation.lifecycle import OVER
from p2pgrid.reservation.matching import Candidate
from p2pgrid.reservation.messages import FundedNotice, LogAnswer, LogQuery, ReservationQuery
from p2pgrid.reservation.rental import (
    Order,
    Rental,
    closed,
    funded,
    given_up,
    quoted,
    told,
    unpaid,
)
from p2pgrid.reservation.seams import Ledger
from p2pgrid.reservation.terms import check_quote
from p2pgrid.store.store import Store, Table
from p2pgrid.units import SECOND_MS, TimestampMs, format_tft
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, sign, verify

log = logging.getLogger(__name__)

OnProgress = Callable[[str, int, int], None]
"""(what is being done, done, total); total 0 when unknown."""

_NONCE_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerParts:
    """All that the consumer's side needs, besides the network."""

    store: Store
    ledger: Ledger
    key: SigningKey
    network_id: NetworkId
    now_ms: Callable[[], TimestampMs]

    @property
    def consumer(self) -> AccountId:
        """Who pays."""
        return AccountId(bytes(self.key.verify_key))


class ConsumerService:
    """Makes and follows the reservations of one key. `run` it, so that nothing paid is left."""

    def __init__(self, network: Network, parts: ConsumerParts) -> None:
        self._network = network
        self._parts = parts
        self._rentals: dict[RecordId, Rental] = {}
        self._abandoned: list[RecordId] = []
        self._writing = trio.Lock()
        """Held while a change is stored, so that changes reach the disk in their order."""
        self._closing = trio.Lock()
        """Held from the last look at an escrow until what we sign about it is certified: what
        can never be certified blocks all that we sign after it."""
        for key, value in parts.store.scan(Table.RENTED):
            try:
                rental = decode(Rental, value, bytes_max=limits.RESERVATION_BYTES_MAX)
            except PeerError as error:
                log.warning("a stored rental is unreadable, %s: %s", key.hex(), error)
                continue
            if rental.phase is Phase.REQUESTED:  # cut short before anything was promised or paid
                self._abandoned.append(rental.id)
            else:
                self._rentals[rental.id] = rental

    async def run(self) -> None:
        """Go on with what a crash cut short, and follow what runs, until cancelled."""
        for identity in self._abandoned:
            await self._forget(identity)
        while True:
            now_ms = self._parts.now_ms()
            for rental in self.rentals():
                if not rental.is_done_with(now_ms):
                    await self._go_on_quietly(rental.id)
            await trio.sleep(limits.RENTAL_WATCH_SECONDS)

    async def _go_on_quietly(self, identity: RecordId) -> None:
        try:
            await self._go_on(identity)
        except GridError as error:
            log.info("rental %s: %s", short(identity), error)

    def rentals(self) -> tuple[Rental, ...]:
        """All reservations of ours, the newest first."""
        return tuple(
            sorted(self._rentals.values(), key=lambda one: (-one.request.starts_at_ms, one.id))
        )

    # --- making one -------------------------------------------------------------------------------

    async def reserve(
        self, candidates: Sequence[Candidate], order: Order, on_progress: OnProgress
    ) -> Rental:
        """Reserve on the first of `candidates` that agrees, pay, and wait until it runs.

        Raises:
            NoFittingNode: all refused, with their reasons; nothing is paid.
            InsufficientBalance: nothing is paid.
            Refused: the node failed to start it; the deposit is back.
            Unreachable: it is paid, but the node or the ledger does not answer; `run` goes on.
        """
        refusals: list[tuple[str, GridError]] = []
        for place, candidate in enumerate(candidates):
            on_progress("asking nodes", place, len(candidates))
            try:
                rental = await self._agree(candidate, order)
            except (Refused, Unreachable, NotFound, PeerError) as error:
                refusals.append((short(candidate.node), error))
                continue
            on_progress("paying", 0, 0)
            await self._pay(rental)
            return await self._wait_until_running(rental.id, on_progress)
        if refusals and all(isinstance(error, InsufficientBalance) for _, error in refusals):
            raise refusals[0][1]
        told_why = "; ".join(f"{n}: {error}" for n, error in refusals) or "no node was offered"
        raise NoFittingNode(f"no node took the reservation ({told_why})")

    async def _agree(self, candidate: Candidate, order: Order) -> Rental:
        """Get a quote that may be paid, and store it. Leaves nothing behind when it fails."""
        parts, now_ms = self._parts, self._parts.now_ms()
        request = sign(
            ReservationRequest(
                consumer=parts.consumer,
                node=candidate.node,
                nonce=secrets.token_bytes(_NONCE_BYTES),
                valid_until_ms=TimestampMs(now_ms + limits.QUOTE_SECONDS * SECOND_MS),
                starts_at_ms=now_ms,
                duration_seconds=order.duration_seconds,
                grace_seconds=order.grace_seconds,
                workloads=order.workloads,
            ),
            parts.key,
            parts.network_id,
        )
        rental = Rental(id=request.id, request=request.record, node_addresses=candidate.addresses)
        await self._add(rental)
        quote = await self._ask_price(rental, request, order)
        if isinstance(quote, GridError):
            await self._forget(rental.id)
            raise quote
        return await self._change(rental.id, lambda one: quoted(one, request, quote))

    async def _ask_price(
        self, rental: Rental, request: Signed[ReservationRequest], order: Order
    ) -> Signed[Quote] | GridError:
        """A quote that may be paid, or why there is none."""
        try:
            answer = await self._ask(rental, Method.RESERVATION_REQUEST, request.envelope)
            quote = verify(Quote, answer, self._parts.network_id)
            check_quote(quote, request, order.price_per_hour_max, self._parts.now_ms())
        except GridError as error:
            return error
        return quote

    async def _pay(self, rental: Rental) -> Rental:
        assert rental.terms is not None, "paying without a quote"
        try:
            escrow = await self._parts.ledger.spend(rental.terms, self._parts.key)
        except InsufficientBalance as error:
            poor = error
        except GridError as error:
            raise type(error)(
                f"the payment is not certified: {error}; if it still is, later, "
                f"reservation {short(rental.id)} goes on by itself"
            ) from error
        else:
            return await self._change(rental.id, lambda one: funded(one, escrow))
        # Not forgotten: should witnesses have said so, the signed payment may still be
        # certified one day; then this is cancelled by itself, as nobody waits for it.
        await self._change(rental.id, lambda one: given_up(one, self._parts.now_ms()))
        raise poor

    async def _wait_until_running(self, identity: RecordId, on_progress: OnProgress) -> Rental:
        deadline = trio.current_time() + limits.START_SECONDS_MAX
        while trio.current_time() < deadline:
            rental = await self._try_refresh(identity)
            on_progress(rental.phase.name.lower(), 0, 0)
            if rental.phase is Phase.FAILED:
                raise Refused(
                    f"the node could not start it: {rental.detail}; "
                    f"{format_tft(rental.refunded or 0)} TFT came back"
                )
            if rental.is_over or rental.phase in (Phase.RUNNING, Phase.PAUSED):
                return rental
            await trio.sleep(limits.STATUS_POLL_SECONDS)
        raise Unreachable(
            f"reservation {short(identity)} is paid but does not run yet; "
            "follow it, or cancel it to get the deposit back"
        )

    # --- following one ----------------------------------------------------------------------------

    async def status(self, identity: RecordId) -> Rental:
        """How it stands now, by the ledger and, as far as it answers, by the node."""
        return await self._try_refresh(identity)

    async def logs(self, identity: RecordId, name: str, offset: int) -> LogAnswer:
        """What a container wrote after its first `offset` bytes. Raises Unreachable, NotFound."""
        query = encode(LogQuery(identity, name, offset))
        answer = await self._ask(self._find(identity), Method.RESERVATION_LOGS, query)
        return decode(LogAnswer, answer, bytes_max=FRAME_BYTES_MAX)

    async def cancel(self, identity: RecordId) -> Rental:
        """End it now, and wait until the ledger shows what was paid and what came back.

        Raises:
            Unreachable: accrual is stopped, but the node does not settle; see `reclaim`.
        """
        if self._find(identity).is_over:
            return self._find(identity)
        await self._change(identity, lambda one: replace(one, is_cancelled=True))
        deadline = trio.current_time() + limits.SETTLE_SECONDS_MAX
        while trio.current_time() < deadline:
            rental = await self._go_on(identity)
            if rental.is_over:
                await self._see_it_gone(rental)
                return rental
            await trio.sleep(limits.STATUS_POLL_SECONDS)
        rental = self._find(identity)
        raise Unreachable(
            f"reservation {short(identity)} is cancelled, but its node "
            f"{short(rental.request.node)} does not settle it; what it does not earn comes back "
            "when it does, or all of it by reclaiming after the end of the reservation"
        )

    async def _see_it_gone(self, rental: Rental) -> None:
        """Wait until the node says that nothing runs any more, for a short while."""
        query = encode(ReservationQuery(rental.id))
        with trio.move_on_after(limits.GONE_SECONDS_MAX):
            while rental.escrow is not None:  # else it never ran
                try:
                    answer = await self._ask(rental, Method.RESERVATION_STATUS, query)
                    if verify(Status, answer, self._parts.network_id).record.phase in OVER:
                        return
                except GridError:
                    return  # the ledger's word is enough
                await trio.sleep(limits.STATUS_POLL_SECONDS)

    async def reclaim(self, identity: RecordId) -> Rental:
        """Take the whole deposit back from a node that never settled.

        Raises:
            Refused: it is too early for that, or there is no deposit.
        """
        rental = await self._refresh_money(identity)
        if rental.reclaimable_ms is None or rental.escrow is None:
            raise Refused("there is no deposit to reclaim")
        wait_ms = rental.reclaimable_ms - self._parts.now_ms()
        if wait_ms > 0:
            raise Refused(
                f"the node may still settle; reclaim in {-(-wait_ms // SECOND_MS)} seconds"
            )
        await self._sign(ReclaimEscrow(escrow=rental.escrow))
        return await self._refresh_money(identity)

    # --- steps, each of which may be repeated -----------------------------------------------------

    async def _go_on(self, identity: RecordId) -> Rental:
        """Do what is due for a rental: find its payment, cancel it, learn how it stands."""
        rental = await self._refresh_money(identity)
        if rental.is_over or not rental.is_cancelled:
            return await self._try_refresh(identity)
        await self._stop_accrual(rental)
        notice = Cancellation(
            consumer=self._parts.consumer, reservation=identity, time_ms=self._parts.now_ms()
        )
        envelope = sign(notice, self._parts.key, self._parts.network_id).envelope
        try:
            await self._ask(rental, Method.RESERVATION_CANCEL, envelope)
        except GridError as error:  # the ledger tells the node as well
            log.info("cancelling %s: %s", short(identity), error)
        return await self._try_refresh(identity)

    async def _stop_accrual(self, rental: Rental) -> None:
        """Cancel on the ledger, once. Without it the node's word alone would stop the bill."""
        try:
            if rental.escrow is not None:
                await self._sign(CancelEscrow(escrow=rental.escrow))
        except GridError as error:
            log.warning("rental %s is not cancelled on the ledger yet: %s", short(rental.id), error)

    async def _sign(self, payload: CancelEscrow | ReclaimEscrow) -> None:
        """Spend it, unless a last look at the ledger shows that it has become pointless."""
        async with self._closing:
            escrow = await self._parts.ledger.escrow(payload.escrow)
            if escrow is None or escrow.closing is not None:
                return
            if isinstance(payload, ReclaimEscrow) or escrow.cancelled_at_ms is None:
                await self._parts.ledger.spend(payload, self._parts.key)

    async def _try_refresh(self, identity: RecordId) -> Rental:
        """What the ledger and the node say; what we knew already of whichever does not answer."""
        for learn in (self._refresh_money, self._refresh_status):
            try:
                if (await learn(identity)).is_over:
                    break
            except GridError as error:
                log.debug("rental %s: %s", short(identity), error)
        return self._find(identity)

    async def _refresh_money(self, identity: RecordId) -> Rental:
        """Learn from the ledger whether it is paid, and how the deposit was split."""
        rental, ledger = self._find(identity), self._parts.ledger
        if rental.may_be_paid and rental.terms is not None:
            found = await ledger.find_escrow(self._parts.consumer, rental.terms.terms_hash)
            if found is None:
                return await self._change(identity, lambda one: unpaid(one, self._parts.now_ms()))
            rental = await self._change(identity, lambda one: funded(one, found.id))
        if rental.escrow is None or rental.is_over:
            return rental
        escrow = await ledger.escrow(rental.escrow)
        if escrow is None or escrow.closing is None:
            return rental
        if not rental.is_over:
            await self._hear_last_word(rental)
        paid, refunded = escrow.closing.to_farm, escrow.closing.refund
        return await self._change(identity, lambda one: closed(one, paid, refunded))

    async def _hear_last_word(self, rental: Rental) -> None:
        """The ledger says how much was paid; only the node can say why it ended."""
        try:
            await self._refresh_status(rental.id)
        except GridError as error:
            log.debug("rental %s ended unexplained: %s", short(rental.id), error)

    async def _refresh_status(self, identity: RecordId) -> Rental:
        """Learn from the node how it stands; also tells it of the payment, again and again."""
        rental = self._find(identity)
        if rental.escrow is None:
            return rental
        notice = encode(FundedNotice(rental.id, rental.escrow))
        answer = await self._ask(rental, Method.RESERVATION_FUNDED, notice)
        status = verify(Status, answer, self._parts.network_id)
        return await self._change(rental.id, lambda one: told(one, status.record))

    async def _ask(self, rental: Rental, method: Method, body: bytes) -> bytes:
        """One request to the rental's node, within a bounded time."""
        self._network.learn_addresses(rental.request.node, rental.node_addresses)
        try:
            with trio.fail_after(REQUEST_SECONDS_MAX):
                return await self._network.request(rental.request.node, method, body)
        except trio.TooSlowError as error:
            raise Unreachable(f"node {short(rental.request.node)} does not answer") from error

    # --- what is known ----------------------------------------------------------------------------

    def _find(self, identity: RecordId) -> Rental:
        rental = self._rentals.get(identity)
        if rental is None:
            raise NotFound(f"no reservation {short(identity)} of yours")
        return rental

    async def _add(self, rental: Rental) -> None:
        async with self._writing:
            await self._parts.store.commit([(Table.RENTED.key(rental.id), encode(rental))])
            self._rentals[rental.id] = rental

    async def _change(self, identity: RecordId, change: Callable[[Rental], Rental]) -> Rental:
        """Store a rental's next state, then let it be seen."""
        async with self._writing:
            before = self._find(identity)
            after = change(before)
            if after != before:
                await self._parts.store.commit([(Table.RENTED.key(identity), encode(after))])
                self._rentals[identity] = after
            return after

    async def _forget(self, identity: RecordId) -> None:
        async with self._writing:
            await self._parts.store.commit([(Table.RENTED.key(identity), None)])
            self._rentals.pop(identity, None)
