"""The consumer: tries the next node, pays once, always knows what became of its money."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import InsufficientBalance, NoFittingNode, NotFound, Refused, Unreachable
from p2pgrid.limits.ledger import RECLAIM_DELAY_MS
from p2pgrid.model.ids import FlistId, NodeId, RecordId
from p2pgrid.model.reservation import Phase
from p2pgrid.reservation.consumer import ConsumerService, OnProgress
from p2pgrid.reservation.rental import Order
from p2pgrid.store.store import Table
from p2pgrid.units import Amount
from tests.reservation.fake_ledger import BALANCE, FEE
from tests.reservation.samples import CONSUMER, NODE, container
from tests.reservation.world import CANDIDATE, World

ORDER = Order(workloads=(container(),), duration_seconds=3600)


class Recorder:
    """Remembers the phases that a person is shown."""

    def __init__(self) -> None:
        self.phases: list[str] = []

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase not in self.phases[-1:]:
            self.phases.append(phase)


def quiet(phase: str, done: int, total: int) -> None:
    """Show nothing."""


def rented_count(world: World) -> int:
    return len(list(world.consumer_disk.scan(Table.RENTED)))


async def test_reserve_run_cancel(autojump_clock: MockClock) -> None:
    world, progress = World(), Recorder()

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([CANDIDATE], ORDER, progress)
        assert rental.addresses == ("fd00::0",)
        assert (await service.logs(rental.id, "web", 0)).data == b"hello\n"

        over = await service.cancel(rental.id)

        assert over.phase is Phase.ENDED
        assert over.paid is not None
        assert over.refunded is not None
        assert over.terms is not None
        assert over.paid + over.refunded == over.terms.deposit
        assert over.paid < over.refunded
        assert await service.cancel(rental.id) == over
        assert service.rentals() == (over,)

    await world.play(script)

    assert progress.phases == ["asking nodes", "paying", "funded", "deploying", "running"]
    assert world.ledger.burnt == 2 * FEE
    assert world.ledger.refused == 0
    world.check_nothing_is_left()


async def test_who_refuses_or_is_gone_is_passed_over(autojump_clock: MockClock) -> None:
    world = World()
    gone = replace(CANDIDATE, node=NodeId(b"g" * 32), addresses=())

    async def script(service: ConsumerService) -> None:
        rental = await service.reserve([gone, CANDIDATE], ORDER, quiet)
        assert rental.request.node == NODE

    await world.play(script)

    assert rented_count(world) == 1


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (replace(ORDER, price_per_hour_max=Amount(1)), "more than the 0.0000001 allowed"),
        (replace(ORDER, workloads=(container(cores=5),)), "only 4 cores left"),
        (
            replace(ORDER, workloads=(replace(container(), flist=FlistId(b"?" * 32)),)),
            "nobody who has the flist",
        ),
        (replace(ORDER, grace_seconds=60), "leave `grace` out"),
    ],
)
async def test_when_all_refuse_their_reasons_are_told_and_nothing_is_paid(
    autojump_clock: MockClock, order: Order, message: str
) -> None:
    world = World()

    async def script(service: ConsumerService) -> None:
        with pytest.raises(NoFittingNode, match=message):
            await service.reserve([CANDIDATE], order, quiet)

    await world.play(script)

    assert not world.ledger.escrows
    assert rented_count(world) == 0


async def test_without_candidates_it_says_so(autojump_clock: MockClock) -> None:
    async def script(service: ConsumerService) -> None:
        with pytest.raises(NoFittingNode, match="no node was offered"):
            await service.reserve([], ORDER, quiet)

    world = World()
    await world.play(script)
    assert not world.ledger.escrows


async def test_a_poor_consumer_reserves_nothing(autojump_clock: MockClock) -> None:
    world = World()
    world.ledger.balances[CONSUMER] = 1

    async def script(service: ConsumerService) -> None:
        with pytest.raises(InsufficientBalance, match=r"the account has 0\.0000001"):
            await service.reserve([CANDIDATE], ORDER, quiet)
        assert service.rentals() == ()

    await world.play(script)

    assert not world.ledger.escrows


def losing_all_before_paying(world: World) -> OnProgress:
    """Somebody spends all of the account between quote and payment."""

    def lose(phase: str, done: int, total: int) -> None:
        if phase == "paying":
            world.ledger.balances[CONSUMER] = 1

    return lose


async def test_a_consumer_that_becomes_poor_pays_nothing(autojump_clock: MockClock) -> None:
    world = World()

    async def script(service: ConsumerService) -> None:
        with pytest.raises(InsufficientBalance):
            await service.reserve([CANDIDATE], ORDER, losing_all_before_paying(world))
        (rental,) = service.rentals()
        assert rental.phase is Phase.EXPIRED

    await world.play(script)

    assert world.ledger.total == 1
    assert not world.ledger.escrows


async def test_a_payment_given_up_that_is_certified_after_all_comes_back(
    autojump_clock: MockClock,
) -> None:
    world = World()

    async def script(service: ConsumerService) -> None:
        with pytest.raises(InsufficientBalance):
            await service.reserve([CANDIDATE], ORDER, losing_all_before_paying(world))
        world.ledger.balances[CONSUMER] = BALANCE
        (rental,) = service.rentals()
        assert rental.terms is not None
        world.ledger.apply(CONSUMER, rental.terms)

        await trio.sleep(120)

        assert service.rentals()[0].refunded is not None

    await world.play(script)

    world.check_nothing_is_left()


async def test_a_failed_start_says_why_after_the_refund(autojump_clock: MockClock) -> None:
    world = World()
    world.machine.fails = True

    async def script(service: ConsumerService) -> None:
        with pytest.raises(Refused, match=r"no such command; 0\.19\d+ TFT came back"):
            await service.reserve([CANDIDATE], ORDER, quiet)
        assert service.rentals()[0].phase is Phase.FAILED

    await world.play(script)

    world.check_nothing_is_left()


async def test_a_payment_certified_only_later_is_found_and_served(
    autojump_clock: MockClock,
) -> None:
    """The ledger was out of reach; it finishes the pending operation by itself."""
    world = World()
    world.ledger.is_down = True

    async def script(service: ConsumerService) -> None:
        with pytest.raises(Unreachable, match="goes on by itself"):
            await service.reserve([CANDIDATE], ORDER, quiet)
        world.ledger.is_down = False
        (rental,) = service.rentals()
        assert rental.terms is not None
        world.ledger.apply(CONSUMER, rental.terms)

        await trio.sleep(40)

        assert (await service.status(rental.id)).phase is Phase.RUNNING
        await service.cancel(rental.id)

    await world.play(script)

    assert len(world.ledger.escrows) == 1
    world.check_nothing_is_left()


async def test_a_payment_certified_after_the_quote_s_end_comes_back(
    autojump_clock: MockClock,
) -> None:
    world = World()
    world.ledger.is_down = True

    async def script(service: ConsumerService) -> None:
        with pytest.raises(Unreachable):
            await service.reserve([CANDIDATE], ORDER, quiet)
        world.ledger.is_down = False
        await trio.sleep(600)
        (rental,) = service.rentals()
        assert rental.phase is Phase.EXPIRED
        assert rental.terms is not None
        world.ledger.apply(CONSUMER, rental.terms)

        await trio.sleep(120)

        assert service.rentals()[0].refunded == rental.terms.deposit

    await world.play(script)

    world.check_nothing_is_left()


async def test_when_the_node_is_gone_the_deposit_can_be_reclaimed(
    autojump_clock: MockClock,
) -> None:
    world = World()
    rented: list[RecordId] = []

    async def rent(service: ConsumerService) -> None:
        rented.append((await service.reserve([CANDIDATE], ORDER, quiet)).id)

    async def take_back(service: ConsumerService) -> None:
        with pytest.raises(Unreachable, match="does not settle"):
            await service.cancel(rented[0])
        with pytest.raises(Unreachable):
            await service.logs(rented[0], "web", 0)
        with pytest.raises(Refused, match="may still settle"):
            await service.reclaim(rented[0])
        await trio.sleep(3600 + RECLAIM_DELAY_MS / 1000 + 100)

        over = await service.reclaim(rented[0])

        assert (over.paid, over.phase) == (0, Phase.ENDED)
        with pytest.raises(Refused, match="no deposit"):
            await service.reclaim(rented[0])

    await world.play(rent)
    await world.run_consumer(take_back)

    assert all(one.closing for one in world.ledger.escrows.values())


async def test_a_reservation_of_nobody_is_not_found(autojump_clock: MockClock) -> None:
    world = World()
    async with world.consuming() as service:
        for ask in (service.status, service.cancel, service.reclaim):
            with pytest.raises(NotFound):
                await ask(RecordId(b"x" * 32))


async def test_a_node_that_quotes_for_another_key_is_not_paid(autojump_clock: MockClock) -> None:
    """A quote must be signed by the node that was asked."""
    world = World()
    impostor = replace(CANDIDATE, node=NodeId(b"i" * 32), addresses=CANDIDATE.addresses)

    async def script(service: ConsumerService) -> None:
        with pytest.raises(NoFittingNode):
            await service.reserve([impostor], ORDER, quiet)

    await world.play(script)

    assert not world.ledger.escrows


async def test_what_a_crash_cut_short_before_a_quote_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    world = World(consumer_dies=2)  # just after the request was stored

    async def script(service: ConsumerService) -> None:
        if not world.consumer_process.deaths:
            await service.reserve([CANDIDATE], ORDER, quiet)
        await trio.sleep(5)
        assert service.rentals() == ()

    await world.play(script)

    assert world.consumer_process.deaths == 1
    assert rented_count(world) == 0
