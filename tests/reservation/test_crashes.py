"""Wherever consumer or node die: money adds up, nobody pays twice, nothing is left running."""

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import GridError
from p2pgrid.model.accrual import accrued
from p2pgrid.model.reservation import Phase
from p2pgrid.reservation.consumer import ConsumerService
from p2pgrid.reservation.rental import Order
from p2pgrid.units import TimestampMs
from tests.reservation.samples import container
from tests.reservation.world import CANDIDATE, World

RUN_SECONDS = 20
STEPS_MAX = 60
"""More than either side takes; the tests check that the last of them was not reached."""


def order(duration_seconds: int = 3600) -> Order:
    return Order(workloads=(container(),), duration_seconds=duration_seconds)


async def reserve_once_and_cancel(service: ConsumerService) -> None:
    """What a person would do, who starts the program again after each crash."""
    for _ in range(30):
        rentals = service.rentals()
        if any(one.paid is not None and one.phase is Phase.ENDED for one in rentals):
            return
        try:
            under_way = [one.id for one in rentals if not one.is_over]
            if under_way:
                await service.status(under_way[0])
                identity = under_way[0]
            else:
                identity = (await service.reserve([CANDIDATE], order(), lambda *_: None)).id
            await trio.sleep(RUN_SECONDS)
            await service.cancel(identity)
        except GridError:
            await trio.sleep(5)


async def reserve_once_and_wait(service: ConsumerService) -> None:
    for _ in range(60):
        if any(one.is_over for one in service.rentals() if one.paid is not None):
            return
        if all(one.is_over for one in service.rentals()):
            try:
                await service.reserve([CANDIDATE], order(60), lambda *_: None)
            except GridError:
                await trio.sleep(5)
        await trio.sleep(5)


def check_payments(world: World, *, seconds_max: int) -> None:
    """At most one deposit was earned, and no more than the time it could have run."""
    earned = [one for one in world.ledger.escrows.values() if one.closing and one.closing.to_farm]
    assert len(earned) <= 1
    for one in earned:
        assert one.closing is not None
        end_ms = TimestampMs(one.terms.starts_at_ms + seconds_max * 1000)
        assert one.closing.to_farm <= accrued(
            one.terms.price_per_hour, one.terms.deposit, one.terms.starts_at_ms, end_ms
        )


async def test_without_a_crash_the_running_time_is_paid(autojump_clock: MockClock) -> None:
    world = World()

    await world.play(reserve_once_and_cancel, settle_seconds=5)

    world.check_nothing_is_left()
    (escrow,) = world.ledger.escrows.values()
    assert escrow.closing is not None
    ran = escrow.closing.to_farm * 3600 / escrow.terms.price_per_hour
    assert RUN_SECONDS - 1 < ran < RUN_SECONDS + 2
    assert 0 < world.host_process.steps < STEPS_MAX
    assert 0 < world.consumer_process.steps < STEPS_MAX


@pytest.mark.parametrize("side", ["host", "consumer"])
async def test_a_death_at_any_step_of_a_cancelled_life(
    autojump_clock: MockClock, side: str
) -> None:
    deaths = 0
    for step in range(1, STEPS_MAX):
        world = World(
            host_dies=step if side == "host" else None,
            consumer_dies=step if side == "consumer" else None,
        )

        await world.play(reserve_once_and_cancel, settle_seconds=150)

        world.check_nothing_is_left()
        check_payments(world, seconds_max=200)
        deaths += world.host_process.deaths + world.consumer_process.deaths
    assert deaths > 10


async def test_a_death_of_the_node_at_any_step_of_a_whole_term(autojump_clock: MockClock) -> None:
    for step in range(1, STEPS_MAX):
        world = World(host_dies=step)

        await world.play(reserve_once_and_wait, settle_seconds=150)

        world.check_nothing_is_left()
        check_payments(world, seconds_max=60)


@pytest.mark.parametrize("step", range(1, 12))
async def test_both_die(autojump_clock: MockClock, step: int) -> None:
    for other in range(1, 30, 2):
        world = World(host_dies=other, consumer_dies=step)

        await world.play(reserve_once_and_cancel, settle_seconds=150)

        world.check_nothing_is_left()


@pytest.mark.parametrize("step", range(1, STEPS_MAX, 3))
async def test_a_failing_start_is_refunded_wherever_the_node_dies(
    autojump_clock: MockClock, step: int
) -> None:
    world = World(host_dies=step)
    world.machine.fails = True

    await world.play(reserve_once_and_wait, settle_seconds=150)

    world.check_nothing_is_left()
    assert all(one.closing and one.closing.to_farm == 0 for one in world.ledger.escrows.values())
