"""How the consumer ends things: whoever else ends them at that moment, no account is blocked."""

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.limits.ledger import RECLAIM_DELAY_MS
from p2pgrid.limits.reservation import GONE_SECONDS_MAX
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import SettleEscrow
from p2pgrid.model.reservation import Phase
from p2pgrid.reservation.consumer import ConsumerService
from p2pgrid.reservation.rental import Order
from p2pgrid.units import Amount
from tests.reservation.fake_ledger import FEE
from tests.reservation.samples import NODE, container
from tests.reservation.world import CANDIDATE, FakeExit, World

ORDER = Order(workloads=(container(),), duration_seconds=3600)


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


@pytest.mark.parametrize("moment_ms", range(-400, 1300, 50))
async def test_cancelling_at_the_moment_of_the_end_blocks_no_account(
    autojump_clock: MockClock, moment_ms: int
) -> None:
    """The container exits while we cancel: node and consumer both sign about the escrow."""
    world = World()

    async def exit_soon(identity: RecordId) -> None:
        await trio.sleep(5)
        await world.machine.exits_in.send(FakeExit(identity, "web", 0))

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([CANDIDATE], ORDER, quiet)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(exit_soon, rental.id)
            await trio.sleep(5 + moment_ms / 1000)
            nursery.start_soon(service.cancel, rental.id)
            over = await service.cancel(rental.id)
        assert over.terms is not None
        assert (over.paid or 0) + (over.refunded or 0) == over.terms.deposit
        again = await service.reserve([CANDIDATE], ORDER, quiet)
        await service.cancel(again.id)

    await world.play(script)

    world.check_nothing_is_left()


async def test_an_escrow_that_closed_just_before_is_not_cancelled(
    autojump_clock: MockClock,
) -> None:
    """The node does not tell, and what we know of the escrow is old."""
    world = World()

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([CANDIDATE], ORDER, quiet)
        assert rental.escrow is not None
        settlement = SettleEscrow(escrow=rental.escrow, to_farm=Amount(0), evidence=bytes(32))
        world.ledger.apply(AccountId(NODE), settlement)
        await service._stop_accrual(rental)

    burnt = world.ledger.burnt
    await world.play(script)

    assert world.ledger.burnt == burnt + FEE  # of the payment alone
    assert world.ledger.refused == 0


async def test_reclaiming_twice_at_once_signs_once(autojump_clock: MockClock) -> None:
    world = World()
    rented: list[RecordId] = []

    async def rent(service: ConsumerService) -> None:
        rented.append((await service.reserve([CANDIDATE], ORDER, quiet)).id)

    async def take_back(service: ConsumerService) -> None:
        await trio.sleep(3600 + RECLAIM_DELAY_MS / 1000 + 100)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(service.reclaim, rented[0])

    await world.play(rent)
    await world.run_consumer(take_back)

    assert world.ledger.refused == 0
    assert not world.ledger.blocked


async def test_after_a_cancel_nothing_runs_any_more(autojump_clock: MockClock) -> None:
    world = World()
    world.machine.tear_down_seconds = 2  # the settlement takes a tenth of that

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([CANDIDATE], ORDER, quiet)
        await service.cancel(rental.id)
        assert not world.machine.running

    await world.play(script)

    world.check_nothing_is_left()


async def test_a_cancel_does_not_wait_for_long_for_a_node_that_removes_slowly(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.machine.tear_down_seconds = 20

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([CANDIDATE], ORDER, quiet)
        with trio.fail_after(GONE_SECONDS_MAX + 2):
            over = await service.cancel(rental.id)
        assert over.phase is Phase.ENDED
        assert world.machine.running

    await world.play(script, settle_seconds=30)

    world.check_nothing_is_left()
