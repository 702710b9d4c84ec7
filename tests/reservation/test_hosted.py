"""One reservation's task, with a virtual clock and a machine made of a dictionary."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import StoreFailed
from p2pgrid.limits.reservation import DEPLOY_SECONDS_MAX, UNSETTLED_KEPT_MS
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import CancelEscrow, ReclaimEscrow, SettleEscrow
from p2pgrid.model.reservation import Phase
from p2pgrid.reservation.hosted import HostedReservation, is_paid_by
from p2pgrid.reservation.kept_logs import KeptLogs, kept_log_key
from p2pgrid.reservation.lifecycle import Cancelled, Exited, Funded, Reservation
from p2pgrid.reservation.terms import settle_before_ms
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.units import Amount
from p2pgrid.wire.codec import decode
from tests.reservation.fake_ledger import START_MS, FakeEscrow, now_ms
from tests.reservation.samples import CONSUMER, NODE, request_of, reservation_of
from tests.reservation.world import World


class Hosting:
    """A world with one reservation in it."""

    def __init__(self, *, duration_seconds: int = 60) -> None:
        self.world = World()
        request = request_of(starts_at_ms=START_MS, duration_seconds=duration_seconds)
        self.phases: list[Phase] = []
        self.state = reservation_of(request, held_until_ms=START_MS + 60_000)
        self.hosted = self.make(self.state)

    def make(self, state: Reservation) -> HostedReservation:
        return HostedReservation(
            state,
            self.world.host_parts(),
            KeptLogs(self.world.host_disk),
            lambda after: self.phases.append(after.phase),
        )

    def pay(self) -> RecordId:
        return self.world.ledger.apply(CONSUMER, self.state.terms)

    def escrow(self, identity: RecordId) -> FakeEscrow:
        return self.world.ledger.escrows[identity]

    def stored(self) -> Reservation | None:
        value = self.world.host_disk.get(Table.HOSTED.key(self.state.id))
        return None if value is None else decode(Reservation, value)


async def test_it_runs_until_its_time_is_over(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    await hosting.hosted.send(Funded(escrow))

    await hosting.hosted.run()

    assert hosting.phases[:3] == [Phase.DEPLOYING, Phase.RUNNING, Phase.ENDING]
    assert hosting.phases[-1] is Phase.ENDED
    assert hosting.stored() == hosting.hosted.state
    assert 60 <= trio.current_time() < 65
    assert hosting.escrow(escrow).closing is not None
    assert hosting.hosted.state.to_farm is not None
    assert 56_000 < hosting.hosted.state.to_farm <= 57_000  # the start took three seconds


async def test_a_payment_that_nobody_tells_of_is_found(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    hosting.pay()

    await hosting.hosted.run()

    assert hosting.phases[-1] is Phase.ENDED


async def test_a_payment_found_only_after_the_quote_s_end_counts(
    autojump_clock: MockClock,
) -> None:
    """The node was down meanwhile; the capacity is still held."""
    hosting = Hosting(duration_seconds=300)
    hosting.pay()
    await trio.sleep(100)

    await hosting.hosted.run()

    assert hosting.phases[0] is Phase.DEPLOYING


async def test_an_unpaid_quote_leaves_nothing(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    other = replace(hosting.state.terms, price_per_hour=Amount(1))
    hosting.world.ledger.apply(CONSUMER, other)  # the same hash, but not what was asked for

    await hosting.hosted.run()

    assert hosting.phases == [Phase.EXPIRED]
    assert hosting.stored() is None


async def test_a_cancellation_on_the_ledger_is_enough(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(20)
        hosting.world.ledger.apply(CONSUMER, CancelEscrow(escrow=escrow))

    closing = hosting.escrow(escrow).closing
    assert closing is not None
    assert 10_000 < closing.to_farm < 20_000
    assert trio.current_time() < 30


async def test_it_stops_when_its_money_is_gone(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(20)
        hosting.world.ledger.apply(CONSUMER, ReclaimEscrow(escrow=escrow))

    assert not hosting.world.machine.running
    assert trio.current_time() < 30
    assert hosting.hosted.state.to_farm == 0


async def test_what_is_closed_already_is_not_settled_again(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    settlement = SettleEscrow(escrow=escrow, to_farm=Amount(0), evidence=bytes(32))
    hosting.world.ledger.apply(AccountId(NODE), settlement)
    state = replace(hosting.state, phase=Phase.ENDING, escrow=escrow, stopped_ms=now_ms())

    await hosting.make(state).run()

    assert hosting.world.ledger.settlements == 1
    assert hosting.world.ledger.refused == 0


async def test_a_slow_start_fails_and_is_refunded(autojump_clock: MockClock) -> None:
    hosting = Hosting(duration_seconds=3600)
    hosting.world.machine.deploy_seconds = 10 * DEPLOY_SECONDS_MAX
    escrow = hosting.pay()

    await hosting.hosted.run()

    closing = hosting.escrow(escrow).closing
    assert hosting.hosted.state.phase is Phase.FAILED
    assert closing is not None
    assert closing.to_farm == 0
    assert trio.current_time() < DEPLOY_SECONDS_MAX + 10


async def test_cancelling_stops_a_start_before_removing(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    hosting.world.machine.deploy_seconds = 50
    hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(10)
        await hosting.hosted.send(Cancelled(now_ms()))

    assert not hosting.world.machine.running
    assert hosting.hosted.state.to_farm == 0
    assert trio.current_time() < 20


async def test_a_start_that_waited_for_its_turn_does_not_follow_a_removal(
    autojump_clock: MockClock,
) -> None:
    hosting = Hosting()
    hosted = hosting.make(replace(hosting.state, phase=Phase.ENDING))

    await hosted._deploy()

    assert not hosting.world.machine.running


async def test_an_exit_ends_it_and_its_log_stays(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(10)
        await hosting.hosted.send(Exited("web", 3))

    assert hosting.hosted.state.exit_code == 3
    assert hosting.world.host_disk.get(kept_log_key(hosting.state.id, "web")) == b"hello\n"


async def test_no_quorum_delays_a_settlement_and_loses_nothing(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(30)
        hosting.world.ledger.is_down = True
        await trio.sleep(500)
        assert hosting.hosted.state.phase is Phase.ENDING
        assert hosting.hosted.state.is_torn_down
        hosting.world.ledger.is_down = False

    assert hosting.escrow(escrow).closing is not None


class FullDisk(MemoryStore):
    """Refuses to write for a while."""

    failures = 3

    async def commit(self, changes: Sequence[Change]) -> None:
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise StoreFailed("no space left on device")
        await super().commit(changes)


async def test_nothing_is_done_before_it_is_stored(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    hosting.pay()
    parts = replace(hosting.world.host_parts(), store=FullDisk())
    hosted = HostedReservation(hosting.state, parts, KeptLogs(parts.store), lambda _: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosted.run)
        await trio.sleep(10)
        assert hosted.state.escrow is None
        assert not hosting.world.machine.running

    assert hosted.state.is_over
    assert hosted.state.to_farm is not None


async def test_stopping_does_not_cut_a_removal_short(autojump_clock: MockClock) -> None:
    hosting = Hosting()
    hosting.pay()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.hosted.run)
        await trio.sleep(10)
        await hosting.hosted.send(Cancelled(now_ms()))
        await trio.sleep(0.1)
        assert hosting.world.machine.running
        nursery.cancel_scope.cancel()

    assert not hosting.world.machine.running


@pytest.mark.parametrize("field", ["deposit", "price_per_hour", "ends_at_ms", "grace_seconds"])
def test_only_the_exact_terms_pay(field: str) -> None:
    state = Hosting().state
    terms = replace(state.terms, **{field: getattr(state.terms, field) + 1})

    assert is_paid_by(state, FakeEscrow(RecordId(bytes(32)), CONSUMER, state.terms))
    assert not is_paid_by(state, FakeEscrow(RecordId(bytes(32)), CONSUMER, terms))
    assert not is_paid_by(state, FakeEscrow(RecordId(bytes(32)), AccountId(b"x" * 32), state.terms))


def ending(hosting: Hosting, escrow: RecordId) -> Reservation:
    """After a time without the ledger: all is removed, only the settlement is left."""
    return replace(
        hosting.state,
        phase=Phase.ENDING,
        escrow=escrow,
        running_since_ms=hosting.state.terms.starts_at_ms,
        stopped_ms=hosting.state.terms.ends_at_ms,
        is_torn_down=True,
    )


@pytest.mark.parametrize(("before_ms", "settlements"), [(1_000, 1), (0, 0), (-10_000_000, 0)])
async def test_nothing_is_settled_near_the_moment_of_reclaiming(
    autojump_clock: MockClock, before_ms: int, settlements: int
) -> None:
    """A reclaim that wins would leave a settlement that nobody certifies, before all others."""
    hosting = Hosting()
    escrow = hosting.pay()
    last_ms = settle_before_ms(hosting.state.terms)
    await trio.sleep((last_ms - before_ms - START_MS) / 1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hosting.make(ending(hosting, escrow)).run)
        await trio.sleep(200)
        if not settlements:
            hosting.world.ledger.apply(CONSUMER, ReclaimEscrow(escrow=escrow))

    assert hosting.world.ledger.settlements == settlements
    assert hosting.world.ledger.refused == 0
    assert not hosting.world.ledger.blocked
    assert hosting.phases[-1] is Phase.ENDED


async def test_a_deposit_that_nobody_wants_keeps_no_reservation_alive(
    autojump_clock: MockClock,
) -> None:
    hosting = Hosting()
    escrow = hosting.pay()
    await trio.sleep((settle_before_ms(hosting.state.terms) - START_MS) / 1000)

    await hosting.make(ending(hosting, escrow)).run()

    assert hosting.escrow(escrow).closing is None
    assert hosting.phases == [Phase.ENDED]
    assert now_ms() < settle_before_ms(hosting.state.terms) + UNSETTLED_KEPT_MS + 100_000
