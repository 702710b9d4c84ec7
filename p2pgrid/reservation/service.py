"""The node's side of reservations: answers consumers, and runs one task for each reservation."""

import logging
from collections.abc import Mapping, Sequence

import trio

from p2pgrid.errors import GridError, InvalidRecord, NotFound, PeerError, Refused
from p2pgrid.limits import reservation as limits
from p2pgrid.limits.control import LOG_ANSWER_BYTES_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import AccountId, NodeId, RecordId, short
from p2pgrid.model.operation import SettleEscrow
from p2pgrid.model.reservation import Cancellation, Phase, ReservationRequest, Status
from p2pgrid.model.workload import Workload
from p2pgrid.net.network import Method, Network
from p2pgrid.reservation.admission import (
    Offer,
    check_funds,
    check_request,
    check_room,
    check_share,
    is_large,
    occupied,
    quote_for,
)
from p2pgrid.reservation.billing import Bill
from p2pgrid.reservation.hosted import HostedReservation, is_paid_by
from p2pgrid.reservation.kept_logs import KeptLogs
from p2pgrid.reservation.lifecycle import (
    Cancelled,
    Exited,
    Failed,
    Funded,
    Reservation,
    status_of,
)
from p2pgrid.reservation.log_window import LogWindow
from p2pgrid.reservation.messages import FundedNotice, LogAnswer, LogQuery, ReservationQuery
from p2pgrid.reservation.seams import EscrowView, HostParts
from p2pgrid.reservation.terms import escrow_terms, settle_before_ms
from p2pgrid.store.store import Change, Table
from p2pgrid.units import SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, sign, verify

log = logging.getLogger(__name__)

EXIT_CODES = 256
"""Exit codes of processes are 0 to 255."""

UNSEEN_EXIT_CODE = 255
"""Told when a container ended unseen: not a success, as far as anybody knows."""


class HostService:
    """Serves reservations on this node. `run` it; ask `used`, `reservations`, `used_changes`."""

    def __init__(self, network: Network, parts: HostParts) -> None:
        self._network = network
        self._parts = parts
        self._live: dict[RecordId, HostedReservation] = {}
        self._ended: dict[RecordId, Reservation] = {}
        self._windows: dict[tuple[RecordId, str], LogWindow] = {}
        self._kept_logs = KeptLogs(parts.store)
        self._giving_back: set[RecordId] = set()
        """Escrows that are being refunded: a second settlement would never be certified."""
        self._large_again_ms = TimestampMs(0)
        """From when on a quote for most of this node may be given again."""
        self._admission = trio.Lock()
        """Held from the check for room until what takes it is stored."""
        self._used = Capacity()
        self._changes_in, self.used_changes = trio.open_memory_channel[None](1)
        """Wakes whoever announces the node's free capacity."""

    def used(self) -> Capacity:
        """What paid reservations take. Unpaid quotes are left out: they come and go."""
        return occupied([one for one in self._states() if one.phase is not Phase.QUOTED])

    def reservations(self) -> tuple[Reservation, ...]:
        """All that live here and those that ended lately, sorted by id."""
        return tuple(sorted((*self._states(), *self._ended.values()), key=lambda one: one.id))

    async def run(self) -> None:
        """Take up what a stop or crash left, then serve until cancelled."""
        live = self._load()
        lost = await self._recover(live)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for one in live:
                started = self._start(one)
                if one.id in lost:
                    await started.send(Failed(f"lost at a restart of its node: {lost[one.id]}"))
            for method, handler in (
                (Method.RESERVATION_REQUEST, self._answer_request),
                (Method.RESERVATION_FUNDED, self._answer_funded),
                (Method.RESERVATION_STATUS, self._answer_status),
                (Method.RESERVATION_CANCEL, self._answer_cancel),
                (Method.RESERVATION_LOGS, self._answer_logs),
            ):
                self._network.serve(method, handler)
            async for exited in self._parts.machine.exits:
                hosted = self._live.get(exited.reservation)
                if hosted is not None:
                    code = UNSEEN_EXIT_CODE if exited.exit_code is None else exited.exit_code
                    await hosted.send(Exited(exited.name, code % EXIT_CODES))

    # --- start and end ----------------------------------------------------------------------------

    def _load(self) -> list[Reservation]:
        live, known = [], []
        for key, value in self._parts.store.scan(Table.HOSTED):
            try:
                one = decode(Reservation, value, bytes_max=limits.RESERVATION_BYTES_MAX)
            except PeerError as error:
                log.warning("a stored reservation is unreadable, %s: %s", key.hex(), error)
                continue
            known.append(one)
            if one.is_over:
                self._ended[one.id] = one
            else:
                live.append(one)
        self._kept_logs.load({one.id: one.ended_ms or one.terms.ends_at_ms for one in known})
        return live

    async def _recover(self, live: Sequence[Reservation]) -> Mapping[RecordId, GridError]:
        now_ms = self._parts.now_ms()
        keep: dict[RecordId, tuple[Workload, ...]] = {
            one.id: one.request.workloads
            for one in live
            if one.phase in (Phase.RUNNING, Phase.PAUSED)
            and one.wake_at is not None
            and now_ms < one.wake_at
        }
        try:
            return await self._parts.machine.workloads.recover(keep)
        except GridError as error:
            log.warning("what ran before the start cannot be taken up: %s", error)
            return dict.fromkeys(keep, error)

    def _start(self, reservation: Reservation) -> HostedReservation:
        hosted = HostedReservation(reservation, self._parts, self._kept_logs, self._note_change)
        self._live[reservation.id] = hosted
        self._nursery.start_soon(self._live_and_leave, hosted)
        return hosted

    async def _live_and_leave(self, hosted: HostedReservation) -> None:
        await hosted.run()
        reservation = hosted.state
        del self._live[reservation.id]
        for workload in reservation.request.workloads:
            self._windows.pop((reservation.id, workload.name), None)
        if reservation.phase is not Phase.EXPIRED:
            self._ended[reservation.id] = reservation
            await self._forget_the_oldest()
            return
        offer = self._parts.offer()
        if offer is not None and is_large(reservation.request, offer):
            pause_ms = limits.LARGE_QUOTE_PAUSE_SECONDS * SECOND_MS
            self._large_again_ms = TimestampMs(self._parts.now_ms() + pause_ms)

    def _note_change(self, _: Reservation) -> None:
        used = self.used()
        if used != self._used:
            self._used = used
            try:
                self._changes_in.send_nowait(None)
            except trio.WouldBlock:
                log.debug("a change of capacity waits to be announced already")

    async def _forget_the_oldest(self) -> None:
        """Keep ended reservations for a while, and not too many."""
        oldest_ms = self._parts.now_ms() - limits.ENDED_KEPT_MS
        newest_first = sorted(self._ended.values(), key=lambda one: -(one.ended_ms or 0))
        changes: list[Change] = []
        for place, one in enumerate(newest_first):
            if place >= limits.ENDED_KEPT_MAX or (one.ended_ms or 0) < oldest_ms:
                del self._ended[one.id]
                changes.append((Table.HOSTED.key(one.id), None))
                changes += self._kept_logs.forget(one.id, (w.name for w in one.request.workloads))
        if changes:
            await self._parts.store.commit(changes)

    # --- answers ----------------------------------------------------------------------------------

    async def _answer_request(self, _: NodeId, body: bytes) -> bytes:
        parts = self._parts
        request = verify(ReservationRequest, body, parts.network_id)
        known = self._live.get(request.id)
        if known is not None:
            return known.state.quote_envelope
        offer = self._require_offer()
        check_request(
            request.record,
            parts.node,
            offer,
            parts.now_ms(),
            can_pause=parts.machine.pausing is not None,
        )
        account = await parts.ledger.account(request.record.consumer)
        if account.is_convicted:
            raise Refused("the account is blocked: it signed two operations for one place")
        # Before anybody is asked for the images:
        self._check_room(request.record, offer, account.balance)
        await self._check_images(request.record)
        async with self._admission:
            known = self._live.get(request.id)
            if known is None:
                known = await self._admit(request, offer, account.balance)
        return known.state.quote_envelope

    def _check_room(self, request: ReservationRequest, offer: Offer, balance: int) -> None:
        """Whether we would hold capacity for `request` now. Raises Refused."""
        states, large_wait_ms = self._states(), self._large_again_ms - self._parts.now_ms()
        check_room(request, offer, states)
        check_share(request, offer, states, large_wait_ms)
        check_funds(request, offer, states, balance)

    async def _admit(
        self, request: Signed[ReservationRequest], offer: Offer, balance: int
    ) -> HostedReservation:
        parts = self._parts
        if request.id in self._ended:
            raise Refused("this reservation was served already; make a new one")
        self._check_room(request.record, offer, balance)
        quote = sign(
            quote_for(request.record, request.id, offer, parts.now_ms()),
            parts.key,
            parts.network_id,
        )
        slack_ms = limits.QUOTE_SLACK_SECONDS * SECOND_MS
        try:
            terms = escrow_terms(request, quote)
        except InvalidRecord as error:
            raise Refused(str(error)) from error
        reservation = Reservation(
            id=request.id,
            request=request.record,
            quote_envelope=quote.envelope,
            terms=terms,
            held_until_ms=TimestampMs(quote.record.valid_until_ms + slack_ms),
        )
        await parts.store.commit([(Table.HOSTED.key(request.id), encode(reservation))])
        return self._start(reservation)

    async def _answer_funded(self, peer: NodeId, body: bytes) -> bytes:
        notice = decode(FundedNotice, body)
        escrow = await self._parts.ledger.escrow(notice.escrow)
        if escrow is None:
            raise NotFound("this payment is not certified as far as this node knows; tell it again")
        if escrow.terms.node != self._parts.node or escrow.consumer != AccountId(peer):
            raise Refused("this payment is not yours, or not for this node")
        hosted = self._payable_by(escrow)
        if hosted is not None:
            if hosted.state.phase is Phase.QUOTED:
                await hosted.send(Funded(escrow.id))
        elif escrow.closing is None and not self._is_settled_here(escrow):
            await self._give_back(notice.reservation, escrow)
        return self._status(self._find(notice.reservation, peer))

    async def _answer_status(self, peer: NodeId, body: bytes) -> bytes:
        return self._status(self._find(decode(ReservationQuery, body).reservation, peer))

    async def _answer_cancel(self, _: NodeId, body: bytes) -> bytes:
        cancellation = verify(Cancellation, body, self._parts.network_id).record
        reservation = self._find(cancellation.reservation, NodeId(cancellation.consumer))
        hosted = self._live.get(reservation.id)
        if hosted is not None:
            # Our own time, unless the ledger says an earlier one: see `HostedReservation`.
            await hosted.send(Cancelled(self._parts.now_ms()))
        return self._status(reservation)

    async def _answer_logs(self, peer: NodeId, body: bytes) -> bytes:
        query = decode(LogQuery, body)
        reservation = self._find(query.reservation, peer)
        names = [workload.name for workload in reservation.request.workloads]
        if query.name not in names:
            raise NotFound(f"no workload {query.name!r} there; there are {', '.join(names)}")
        key = reservation.id, query.name
        end = self._end_of_log(reservation, query.name)
        window = self._windows.get(key, LogWindow()).moved(end, limits.LOG_KEPT_BYTES_MAX)
        if reservation.id in self._live:
            self._windows[key] = window
        data, next_offset = window.read(query.offset, LOG_ANSWER_BYTES_MAX)
        return encode(LogAnswer(data, next_offset))

    def _end_of_log(self, reservation: Reservation, name: str) -> bytes:
        kept = self._kept_logs.get(reservation.id, name)
        if kept is not None:
            return kept
        try:
            return self._parts.machine.workloads.logs(
                reservation.id, name, limits.LOG_KEPT_BYTES_MAX
            )
        except NotFound:
            return b""  # not started yet

    # --- parts of answers -------------------------------------------------------------------------

    def _states(self) -> list[Reservation]:
        return [hosted.state for hosted in self._live.values()]

    def _find(self, reservation: RecordId, consumer: NodeId) -> Reservation:
        """A reservation of that consumer. Others learn not even that it exists."""
        hosted = self._live.get(reservation)
        found = self._ended.get(reservation) if hosted is None else hosted.state
        if found is None or found.request.consumer != AccountId(consumer):
            raise NotFound(f"no reservation {short(reservation)} of yours on this node")
        return found

    def _status(self, reservation: Reservation) -> bytes:
        parts = self._parts
        hosted = self._live.get(reservation.id)
        newest = reservation if hosted is None else hosted.state
        status: Status = status_of(newest, parts.node, parts.now_ms())
        return sign(status, parts.key, parts.network_id).envelope

    def _require_offer(self) -> Offer:
        offer = self._parts.offer()
        if offer is None:
            raise Refused("this node offers nothing now")
        return offer

    async def _check_images(self, request: ReservationRequest) -> None:
        flists = sorted(
            {flist for one in request.workloads if (flist := getattr(one, "flist", None))}
        )
        for flist in flists:
            if not await self._parts.machine.flists.is_reachable(flist):
                raise Refused(f"this node finds nobody who has the flist {short(flist)}")

    def _payable_by(self, escrow: EscrowView) -> HostedReservation | None:
        """The one that waits for this escrow or lives by it, whatever it was told for."""
        for hosted in self._live.values():
            if hosted.state.escrow in (None, escrow.id) and is_paid_by(hosted.state, escrow):
                return hosted
        return None

    def _is_settled_here(self, escrow: EscrowView) -> bool:
        """Whether a reservation of ours lives by this escrow, and so will settle it itself."""
        return any(one.escrow == escrow.id for one in self.reservations())

    async def _give_back(self, reservation: RecordId, escrow: EscrowView) -> None:
        """Refund a deposit that pays for nothing here: a quote expired, or was paid twice.

        Raises:
            Refused: the consumer may soon do so itself; ours might then never be certified.
        """
        if escrow.id in self._giving_back:
            return
        if self._parts.now_ms() >= settle_before_ms(escrow.terms):
            raise Refused("this payment serves nothing here, and it is yours to reclaim now")
        log.warning("payment %s serves nothing here: given back", short(escrow.id))
        bill = Bill(
            reservation=reservation,
            escrow=escrow.id,
            from_ms=escrow.terms.starts_at_ms,
            until_ms=escrow.terms.starts_at_ms,
            price_per_hour=escrow.terms.price_per_hour,
            to_farm=Amount(0),
        )
        settlement = SettleEscrow(escrow=escrow.id, to_farm=Amount(0), evidence=bill.evidence)
        self._giving_back.add(escrow.id)
        try:
            await self._parts.ledger.spend(settlement, self._parts.key)
        finally:
            self._giving_back.discard(escrow.id)
