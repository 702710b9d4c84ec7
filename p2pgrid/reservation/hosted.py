"""Gives one reservation's state machine its clock, disk, ledger and machine."""

import logging
from collections.abc import Awaitable, Callable
from math import inf
from typing import TypeVar

import trio

from p2pgrid.errors import GridError, Refused, Unreachable
from p2pgrid.limits import reservation as limits
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.ids import short
from p2pgrid.model.operation import SettleEscrow
from p2pgrid.model.reservation import Phase
from p2pgrid.model.workload import Container
from p2pgrid.reservation.kept_logs import KeptLogs
from p2pgrid.reservation.lifecycle import (
    PAID_FOR,
    Cancelled,
    Deploy,
    Deployed,
    Effect,
    Event,
    Failed,
    Funded,
    Pause,
    Reservation,
    Settle,
    Settled,
    TearDown,
    Tick,
    TornDown,
    step,
    todo,
)
from p2pgrid.reservation.seams import EscrowView, HostParts
from p2pgrid.reservation.terms import settle_before_ms
from p2pgrid.store.store import Table
from p2pgrid.units import SECOND_MS, Amount
from p2pgrid.wire.codec import encode

log = logging.getLogger(__name__)

_T = TypeVar("_T")


def is_paid_by(state: Reservation, escrow: EscrowView) -> bool:
    """Whether an escrow pays for this reservation, to the letter."""
    return escrow.consumer == state.request.consumer and escrow.terms == state.terms


class HostedReservation:
    """Runs one reservation. Feed it with `send`; read `state`, of which it is the only writer."""

    def __init__(
        self,
        state: Reservation,
        parts: HostParts,
        kept_logs: KeptLogs,
        on_change: Callable[[Reservation], None],
    ) -> None:
        self.state = state
        self._parts = parts
        self._kept_logs = kept_logs
        self._on_change = on_change
        self._machine = trio.Lock()
        """Held while deploying or removing, so that the one cannot overtake the other."""
        self._deploying = trio.CancelScope()
        self._is_settling = False
        self._events_in, self._events = trio.open_memory_channel[Event](limits.EVENTS_MAX)

    def __str__(self) -> str:
        return f"reservation {short(self.state.id)}"

    async def send(self, event: Event) -> None:
        """Hand in what happened. Waits while the inbox is full; what comes late is ignored."""
        try:
            await self._events_in.send(event)
        except trio.BrokenResourceError:
            log.debug("%s is over, ignored: %s", self, event)

    async def run(self) -> None:
        """Live until the reservation is over."""
        with self._events:
            async with trio.open_nursery() as nursery:
                for effect in todo(self.state):  # what a crash may have cut short
                    nursery.start_soon(self._perform, effect)
                while not self.state.is_over:
                    event = await self._next_event()
                    for effect in await self._take(event):
                        nursery.start_soon(self._perform, effect)
                nursery.cancel_scope.cancel()

    async def _take(self, event: Event) -> tuple[Effect, ...]:
        """Store what the event changes, then say what is to be done."""
        after, effects = step(self.state, event, self._parts.now_ms())
        if after == self.state:
            return ()
        key = Table.HOSTED.key(after.id)
        # A quote nobody paid leaves nothing: who pays it later gets the deposit back.
        value = None if after.phase is Phase.EXPIRED else encode(after)
        await self._insist("be stored", lambda: self._parts.store.commit([(key, value)]))
        log.info("%s: %s -> %s", self, type(event).__name__, after.phase.name)
        self.state = after
        self._on_change(after)
        return effects

    async def _next_event(self) -> Event:
        """What was sent, what the ledger shows, or a Tick once one is due."""
        while True:
            wake_at, now_ms = self.state.wake_at, self._parts.now_ms()
            wait_seconds = inf if wake_at is None else max(0, wake_at - now_ms) / SECOND_MS
            event: Event = Tick()
            with trio.move_on_after(min(wait_seconds, limits.ESCROW_WATCH_SECONDS)) as wait:
                event = await self._events.receive()
            if not wait.cancelled_caught:
                return event
            # The ledger first: what was paid in time counts, also when we look late.
            seen = await self._look_at_ledger()
            if seen is not None:
                return seen
            if wake_at is not None and self._parts.now_ms() >= wake_at:
                return Tick()

    async def _look_at_ledger(self) -> Event | None:
        """What nobody told us of: a payment, a cancellation, a closing."""
        state, ledger = self.state, self._parts.ledger
        try:
            with trio.move_on_after(REQUEST_SECONDS_MAX):
                if state.phase is Phase.QUOTED:
                    terms = state.terms.terms_hash
                    found = await ledger.find_escrow(state.request.consumer, terms)
                    is_ours = found is not None and is_paid_by(state, found)
                    return Funded(found.id) if found is not None and is_ours else None
                if state.phase in PAID_FOR and state.escrow is not None and state.to_farm is None:
                    return _news_of(state, await ledger.escrow(state.escrow))
        except GridError as error:
            log.debug("%s: the ledger does not answer: %s", self, error)
        return None

    async def _perform(self, effect: Effect) -> None:
        """Do one thing in the world, and report how it went."""
        match effect:
            case Deploy():
                await self._deploy()
            case Pause():
                await self._insist("be paused", self._pause)
            case TearDown():
                self._deploying.cancel()
                await self._insist("be removed", self._tear_down)
                await self.send(TornDown())
            case Settle() if not self._is_settling:
                self._is_settling = True
                await self.send(Settled(await self._insist("be settled", self._settle)))
            case Settle():
                pass  # the settlement under way reads the new amount when it tries again

    async def _deploy(self) -> None:
        async with self._machine:
            if self.state.phase is not Phase.DEPLOYING:
                return  # removed while this waited
            try:
                with trio.fail_after(limits.DEPLOY_SECONDS_MAX), self._deploying:
                    await self.send(Deployed(await self._start()))
            except (GridError, trio.TooSlowError) as error:
                log.warning("%s cannot be started: %s", self, error)
                await self.send(Failed(str(error) or "starting it took too long"))

    async def _start(self) -> tuple[str, ...]:
        return await self._parts.machine.workloads.deploy(
            self.state.id, self.state.request.workloads
        )

    async def _pause(self) -> None:
        pausing = self._parts.machine.pausing
        async with self._machine:
            if pausing is not None and self.state.phase is Phase.PAUSED:
                await pausing.pause(self.state.id)

    async def _tear_down(self) -> None:
        # Shielded: a node that stops leaves no workload half removed.
        with trio.CancelScope(shield=True), trio.move_on_after(limits.TEARDOWN_SECONDS_MAX) as time:
            async with self._machine:
                await self._keep_logs()
                await self._parts.machine.workloads.tear_down(self.state.id)
        if time.cancelled_caught:
            raise Unreachable(f"not removed within {limits.TEARDOWN_SECONDS_MAX} s")

    async def _keep_logs(self) -> None:
        """Save the ends of the logs, in which the reason of an end can be read."""
        reservation, parts = self.state.id, self._parts
        for workload in self.state.request.workloads:
            if not isinstance(workload, Container):
                continue
            try:
                end = parts.machine.workloads.logs(
                    reservation, workload.name, limits.LOG_KEPT_BYTES_MAX
                )
                await self._kept_logs.keep(reservation, workload.name, end)
            except GridError as error:  # removed already, or it never ran
                log.debug("%s: no log of %s: %s", self, workload.name, error)

    async def _settle(self) -> Amount:
        """Close the escrow, unless it is closed. The amount is the newest: it may have sunk.

        Not once the consumer may soon take the deposit back: where that wins, our
        settlement is never certified, and nothing that this node signs after it.
        """
        bill, now_ms = self.state.bill, self._parts.now_ms()
        escrow = await self._parts.ledger.escrow(bill.escrow)
        if escrow is not None and escrow.closing is not None:
            return escrow.closing.to_farm
        if now_ms >= settle_before_ms(self.state.terms) + limits.UNSETTLED_KEPT_MS:
            return Amount(0)
        if now_ms >= settle_before_ms(self.state.terms):
            raise Refused("it is too late: the consumer may take the deposit back")
        settlement = SettleEscrow(escrow=bill.escrow, to_farm=bill.to_farm, evidence=bill.evidence)
        await self._parts.ledger.spend(settlement, self._parts.key)
        return bill.to_farm

    async def _insist(self, what: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do `work` until it succeeds: stopping half-way would cost somebody money or room."""
        pause_seconds = limits.RESERVATION_RETRY_SECONDS
        while True:
            try:
                return await work()
            except GridError as error:
                log.warning("%s cannot %s, trying again: %s", self, what, error)
            await trio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, limits.RESERVATION_RETRY_SECONDS_MAX)


def _news_of(state: Reservation, escrow: EscrowView | None) -> Event | None:
    """What a paid reservation did not know yet; None when it changes nothing."""
    if escrow is None:
        return None
    if escrow.closing is not None:
        return Settled(escrow.closing.to_farm)
    at_ms = escrow.cancelled_at_ms
    if at_ms is not None and (state.stopped_ms is None or at_ms < state.stopped_ms):
        return Cancelled(at_ms)
    return None
