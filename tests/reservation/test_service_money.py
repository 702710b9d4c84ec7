"""Money at the node's door: who has none holds nothing, and no false word moves a deposit."""

import secrets
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import InsufficientBalance, NotFound, Refused
from p2pgrid.limits.reservation import LARGE_QUOTE_PAUSE_SECONDS
from p2pgrid.model.ids import FlistId, RecordId
from p2pgrid.model.operation import ReclaimEscrow
from p2pgrid.model.reservation import Phase, ReservationRequest
from p2pgrid.reservation.terms import escrow_terms, settle_before_ms
from p2pgrid.store.store import Table
from p2pgrid.wire.signed import Signed
from tests.reservation.fake_ledger import BALANCE, START_MS, now_ms
from tests.reservation.samples import CONSUMER, container, request_of
from tests.reservation.test_service import Asking, asking

NOBODY = RecordId(b"?" * 32)


def request(cores: int = 1) -> Signed[ReservationRequest]:
    nonce = secrets.token_bytes(16)
    return request_of(starts_at_ms=now_ms(), workloads=[container(cores=cores)], nonce=nonce)


async def test_a_penniless_key_holds_nothing_and_asks_nobody(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        consumer.world.ledger.balances[CONSUMER] = 0
        unknown = replace(container(), flist=FlistId(b"?" * 32))
        with pytest.raises(InsufficientBalance, match="deposit and fee"):
            await consumer.quote(request_of(starts_at_ms=START_MS, workloads=[unknown]))
        assert not consumer.host.reservations()
        assert not list(consumer.world.host_disk.scan(Table.HOSTED))


async def test_one_balance_does_not_back_many_quotes_at_once(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        first = await consumer.quote(request())
        consumer.world.ledger.balances[CONSUMER] = 2 * first.record.deposit
        refusals = []

        async def ask() -> None:
            try:
                await consumer.quote(request())
            except InsufficientBalance as error:
                refusals.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)

        assert len(refusals) == 2
        assert len(consumer.host.reservations()) == 1


async def test_who_signed_twice_can_pay_nothing_and_holds_nothing(
    autojump_clock: MockClock,
) -> None:
    async with asking() as consumer:
        consumer.world.ledger.convicted.add(CONSUMER)
        with pytest.raises(Refused, match="account is blocked"):
            await consumer.quote(request())
        assert not consumer.host.reservations()


async def test_quotes_leave_half_of_the_node_to_others(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        await consumer.quote(request())
        await consumer.quote(request())
        with pytest.raises(Refused, match="not paid yet is taken"):
            await consumer.quote(request())
        await trio.sleep(75)
        later = request()
        assert (await consumer.quote(later)).record.request == later.id


async def test_a_hold_of_the_whole_node_cannot_be_renewed_at_once(
    autojump_clock: MockClock,
) -> None:
    async with asking() as consumer:
        await consumer.quote(request(cores=4))
        await trio.sleep(75)
        with pytest.raises(Refused, match="was not paid lately"):
            await consumer.quote(request(cores=4))
        await trio.sleep(LARGE_QUOTE_PAUSE_SECONDS)
        later = request(cores=4)
        assert (await consumer.quote(later)).record.request == later.id


async def paid(consumer: Asking) -> tuple[RecordId, RecordId]:
    """A quote that is paid, of which the node was not told: (reservation, escrow)."""
    asked = request()
    terms = escrow_terms(asked, await consumer.quote(asked))
    return asked.id, consumer.world.ledger.apply(CONSUMER, terms)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize("pause_seconds", [0, 0.01, 0.05, 0.3])
async def test_a_false_notice_beside_the_true_one_moves_no_money(
    autojump_clock: MockClock, order: tuple[int, int], pause_seconds: float
) -> None:
    async with asking() as consumer:
        reservation, escrow = await paid(consumer)
        told = reservation, NOBODY

        async def tell(place: int, name: RecordId) -> None:
            await trio.sleep(pause_seconds * place)
            if name == reservation:
                await consumer.tell_paid(name, escrow)
                return
            with pytest.raises(NotFound):
                await consumer.tell_paid(name, escrow)

        async with trio.open_nursery() as nursery:
            for place, number in enumerate(order):
                nursery.start_soon(tell, place, told[number])
        await trio.sleep(10)

        assert (await consumer.status(reservation)).phase is Phase.RUNNING
        assert consumer.world.ledger.escrows[escrow].closing is None
        assert consumer.world.ledger.settlements == 0


async def test_what_serves_nothing_is_given_back_once_however_often_it_is_told(
    autojump_clock: MockClock,
) -> None:
    """A second settlement would never be certified, and block the node's account."""
    async with asking() as consumer:
        reservation, escrow = await paid(consumer)
        terms = consumer.world.ledger.escrows[escrow].terms
        await consumer.tell_paid(reservation, escrow)
        await trio.sleep(5)
        twice = consumer.world.ledger.apply(CONSUMER, terms)

        async def tell() -> None:
            with pytest.raises(NotFound):
                await consumer.tell_paid(NOBODY, twice)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(tell)

        assert consumer.world.ledger.settlements == 1
        assert consumer.world.ledger.refused == 0
        assert not consumer.world.ledger.blocked


async def test_what_can_soon_be_reclaimed_is_not_given_back(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        asked = request()
        terms = escrow_terms(asked, await consumer.quote(asked))
        await consumer.cancel(asked.id)
        escrow = consumer.world.ledger.apply(CONSUMER, terms)
        last_ms = settle_before_ms(consumer.world.ledger.escrows[escrow].terms)
        await trio.sleep((last_ms - now_ms()) / 1000 + 1)

        with pytest.raises(Refused, match="yours to reclaim"):
            await consumer.tell_paid(NOBODY, escrow)

        consumer.world.ledger.apply(CONSUMER, ReclaimEscrow(escrow=escrow))
        assert consumer.world.ledger.settlements == 0
        assert consumer.world.ledger.total == BALANCE
