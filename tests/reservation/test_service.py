"""The node's answers: idempotent, for the right consumer only, never more than there is."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from nacl.signing import SigningKey
from trio.testing import MockClock

from p2pgrid.errors import BadSignature, GridError, MalformedRecord, NotFound, Refused
from p2pgrid.limits.reservation import ENDED_KEPT_MS
from p2pgrid.model.ids import FlistId, RecordId
from p2pgrid.model.reservation import (
    Cancellation,
    Phase,
    Quote,
    ReservationRequest,
    Status,
)
from p2pgrid.net.network import Method, Network
from p2pgrid.reservation.messages import FundedNotice, LogAnswer, LogQuery, ReservationQuery
from p2pgrid.reservation.service import HostService
from p2pgrid.reservation.terms import escrow_terms
from p2pgrid.store.store import Table
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, sign, verify
from tests.reservation.fake_ledger import START_MS, now_ms
from tests.reservation.samples import (
    CONSUMER,
    CONSUMER_KEY,
    NETWORK,
    NODE,
    container,
    request_of,
)
from tests.reservation.world import CANDIDATE, FakeExit, World

STRANGER_KEY = SigningKey(b"s" * 32)


class Asking:
    """A consumer that speaks to the node by hand."""

    def __init__(self, world: World, network: Network) -> None:
        self.world = world
        self._network = network
        network.learn_addresses(NODE, CANDIDATE.addresses)

    @property
    def host(self) -> HostService:
        assert self.world.host is not None
        return self.world.host

    async def ask(self, method: Method, body: bytes) -> bytes:
        return await self._network.request(NODE, method, body)

    async def quote(self, request: Signed[ReservationRequest]) -> Signed[Quote]:
        return verify(Quote, await self.ask(Method.RESERVATION_REQUEST, request.envelope), NETWORK)

    async def tell_paid(self, reservation: RecordId, escrow: RecordId) -> Status:
        body = encode(FundedNotice(reservation, escrow))
        return self._status(await self.ask(Method.RESERVATION_FUNDED, body))

    async def status(self, reservation: RecordId) -> Status:
        body = encode(ReservationQuery(reservation))
        return self._status(await self.ask(Method.RESERVATION_STATUS, body))

    async def cancel(self, reservation: RecordId, key: SigningKey = CONSUMER_KEY) -> Status:
        notice = Cancellation(consumer=CONSUMER, reservation=reservation, time_ms=now_ms())
        if key is not CONSUMER_KEY:
            notice = replace(notice, consumer=type(CONSUMER)(bytes(key.verify_key)))
        envelope = sign(notice, key, NETWORK).envelope
        return self._status(await self.ask(Method.RESERVATION_CANCEL, envelope))

    async def logs(self, reservation: RecordId, name: str = "web", offset: int = 0) -> LogAnswer:
        body = encode(LogQuery(reservation, name, offset))
        answer = await self.ask(Method.RESERVATION_LOGS, body)
        return decode(LogAnswer, answer, bytes_max=1 << 20)

    def _status(self, envelope: bytes) -> Status:
        return verify(Status, envelope, NETWORK).record

    async def reserve(self, *, duration_seconds: int = 3600) -> tuple[RecordId, RecordId]:
        """Quote and payment; (reservation, escrow)."""
        nonce = secrets.token_bytes(16)
        request = request_of(starts_at_ms=now_ms(), duration_seconds=duration_seconds, nonce=nonce)
        terms = escrow_terms(request, await self.quote(request))
        escrow = self.world.ledger.apply(CONSUMER, terms)
        await self.tell_paid(request.id, escrow)
        return request.id, escrow


@asynccontextmanager
async def asking(
    world: World | None = None, key: SigningKey = CONSUMER_KEY
) -> AsyncGenerator[Asking]:
    world = world or World()
    async with trio.open_nursery() as nursery:
        if world.host is None:
            nursery.start_soon(world.run_host)
        async with world.hub.open(key) as network:
            await trio.sleep(0.1)
            yield Asking(world, network)
        nursery.cancel_scope.cancel()


async def test_a_paid_reservation_runs_and_a_cancelled_one_is_settled(
    autojump_clock: MockClock,
) -> None:
    async with asking() as consumer:
        reservation, escrow = await consumer.reserve()
        await trio.sleep(10)
        status = await consumer.status(reservation)
        assert (status.phase, status.addresses) == (Phase.RUNNING, ("fd00::0",))
        assert consumer.host.used() == container().needs

        await consumer.cancel(reservation)
        await trio.sleep(10)

        assert (await consumer.status(reservation)).phase is Phase.ENDED
        closing = consumer.world.ledger.escrows[escrow].closing
        assert closing is not None
        assert closing.to_farm > 0
        consumer.world.check_nothing_is_left()


async def test_the_same_request_gets_the_same_quote(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        request = request_of(starts_at_ms=START_MS)
        first = await consumer.quote(request)
        await trio.sleep(5)

        assert (await consumer.quote(request)).envelope == first.envelope
        assert len(consumer.host.reservations()) == 1


async def test_the_same_request_at_once_holds_room_once(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        request = request_of(starts_at_ms=START_MS, workloads=[container(cores=4)])
        quotes = []

        async def ask() -> None:
            quotes.append((await consumer.quote(request)).id)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)

        assert len(quotes) == 5
        assert len(set(quotes)) == 1


async def test_requests_at_once_never_get_more_room_than_there_is(
    autojump_clock: MockClock,
) -> None:
    async with asking() as consumer:
        refusals = []

        async def ask(number: int) -> None:
            request = request_of(
                starts_at_ms=START_MS,
                workloads=[container(cores=3)],
                nonce=number.to_bytes(16, "big"),
            )
            try:
                await consumer.quote(request)
            except Refused as error:
                refusals.append(str(error))

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(ask, number)

        assert refusals == ["this node has only 1 cores left"] * 3


async def test_an_unpaid_quote_frees_its_room(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        await consumer.quote(request_of(starts_at_ms=START_MS, workloads=[container(cores=4)]))
        assert consumer.host.used().millicores == 0
        with pytest.raises(Refused, match="only 0 cores left"):
            await consumer.quote(request_of(starts_at_ms=now_ms()))
        await trio.sleep(75)

        other = request_of(starts_at_ms=now_ms())
        assert (await consumer.quote(other)).record.request == other.id


async def test_a_payment_after_the_quote_s_end_is_given_back(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        request = request_of(starts_at_ms=START_MS)
        terms = escrow_terms(request, await consumer.quote(request))
        await trio.sleep(75)
        escrow = consumer.world.ledger.apply(CONSUMER, terms)

        with pytest.raises(NotFound):
            await consumer.tell_paid(request.id, escrow)

        consumer.world.check_nothing_is_left()
        with pytest.raises(NotFound):  # and again changes nothing
            await consumer.tell_paid(request.id, escrow)
        assert consumer.world.ledger.settlements == 1


async def test_a_second_payment_is_given_back(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        reservation, escrow = await consumer.reserve()
        await trio.sleep(5)
        again = consumer.world.ledger.apply(CONSUMER, consumer.world.ledger.escrows[escrow].terms)

        await consumer.tell_paid(reservation, again)

        closing = consumer.world.ledger.escrows[again].closing
        assert closing is not None
        assert closing.to_farm == 0
        assert consumer.world.ledger.escrows[escrow].closing is None


async def test_strangers_learn_and_change_nothing(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        reservation, escrow = await consumer.reserve()
        await trio.sleep(10)
        async with asking(consumer.world, STRANGER_KEY) as stranger:
            with pytest.raises(NotFound):
                await stranger.status(reservation)
            with pytest.raises(NotFound):
                await stranger.logs(reservation)
            with pytest.raises(NotFound):
                await stranger.cancel(reservation, STRANGER_KEY)
            with pytest.raises(Refused, match="not yours"):
                await stranger.tell_paid(reservation, escrow)
            with pytest.raises(NotFound, match="not certified"):
                await stranger.tell_paid(reservation, RecordId(b"x" * 32))
        assert (await consumer.status(reservation)).phase is Phase.RUNNING


async def test_what_is_not_signed_or_broken_is_refused(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        request = request_of(starts_at_ms=START_MS)
        other_grid = sign(request.record, CONSUMER_KEY, type(NETWORK)(b"another grid 16b"))
        with pytest.raises(BadSignature):
            await consumer.ask(Method.RESERVATION_REQUEST, other_grid.envelope)
        for method in (
            Method.RESERVATION_REQUEST,
            Method.RESERVATION_FUNDED,
            Method.RESERVATION_STATUS,
            Method.RESERVATION_CANCEL,
            Method.RESERVATION_LOGS,
        ):
            with pytest.raises(MalformedRecord):
                await consumer.ask(method, b"\x00garbage")
        assert not consumer.host.reservations()


async def test_without_the_image_or_an_offer_nothing_is_quoted(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        unknown = replace(container(), flist=FlistId(b"?" * 32))
        with pytest.raises(Refused, match="nobody who has the flist"):
            await consumer.quote(request_of(starts_at_ms=START_MS, workloads=[unknown]))
        consumer.world.offer = None
        with pytest.raises(Refused, match="offers nothing"):
            await consumer.quote(request_of(starts_at_ms=START_MS))


async def test_logs_are_followed_and_outlive_the_container(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        reservation, _ = await consumer.reserve()
        assert await consumer.logs(reservation) == LogAnswer(b"", 0)
        await trio.sleep(10)
        assert await consumer.logs(reservation) == LogAnswer(b"hello\n", 6)
        consumer.world.machine.log += b"bye\n"
        assert await consumer.logs(reservation, offset=6) == LogAnswer(b"bye\n", 10)
        with pytest.raises(NotFound, match="there are web"):
            await consumer.logs(reservation, "wob")

        await consumer.world.machine.exits_in.send(FakeExit(reservation, "web", None))
        await trio.sleep(10)

        assert (await consumer.status(reservation)).exit_code == 255
        assert await consumer.logs(reservation) == LogAnswer(b"hello\nbye\n", 10)


async def test_whoever_announces_is_woken_when_used_capacity_changes(
    autojump_clock: MockClock,
) -> None:
    async with asking() as consumer:
        seen = []

        async def announce() -> None:
            while True:
                await consumer.host.used_changes.receive()
                seen.append(consumer.host.used().millicores)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(announce)
            reservation, _ = await consumer.reserve()
            await trio.sleep(10)
            await consumer.cancel(reservation)
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

        assert seen == [1000, 0]


async def test_ended_reservations_are_forgotten_in_time(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        made = []
        for wait_seconds in (60, ENDED_KEPT_MS / 1000, 60):
            made.append((await consumer.reserve(duration_seconds=60))[0])
            await trio.sleep(30 + wait_seconds)

        assert [one.id for one in consumer.host.reservations()] == made[-1:]
        assert len(list(consumer.world.host_disk.scan(Table.HOSTED))) == 1
        assert len(list(consumer.world.host_disk.scan(Table.KEPT_LOG))) == 1


async def test_what_runs_goes_on_over_a_restart_unless_its_time_is_over(
    autojump_clock: MockClock,
) -> None:
    world = World()
    async with asking(world) as consumer:
        await consumer.reserve(duration_seconds=60)
        staying, _ = await consumer.reserve(duration_seconds=3600)
        await trio.sleep(10)
        assert len(world.machine.running) == 2
    world.host = None
    await trio.sleep(100)

    async with asking(world) as consumer:
        await trio.sleep(1)
        assert list(world.machine.running) == [staying]
        assert (await consumer.status(staying)).phase is Phase.RUNNING
        await consumer.cancel(staying)
        await trio.sleep(10)
        world.check_nothing_is_left()


async def test_an_unreadable_state_does_not_stop_the_node(autojump_clock: MockClock) -> None:
    world = World()
    await world.host_disk.commit([(Table.HOSTED.key(b"x" * 32), b"\x00broken")])

    async with asking(world) as consumer:
        reservation, _ = await consumer.reserve()
        await trio.sleep(10)
        assert (await consumer.status(reservation)).phase is Phase.RUNNING


async def test_a_consumer_that_dies_after_paying_is_served_and_billed(
    autojump_clock: MockClock,
) -> None:
    world = World()
    async with asking(world) as consumer:
        request = request_of(starts_at_ms=START_MS, duration_seconds=60)
        terms = escrow_terms(request, await consumer.quote(request))
        escrow = world.ledger.apply(CONSUMER, terms)
        await trio.sleep(20)
        assert world.machine.running
        await trio.sleep(60)

    closing = world.ledger.escrows[escrow].closing
    assert closing is not None
    assert closing.to_farm > 0
    world.check_nothing_is_left()


async def test_errors_reach_the_consumer_as_their_class(autojump_clock: MockClock) -> None:
    async with asking() as consumer:
        with pytest.raises(GridError) as caught:
            await consumer.quote(request_of(starts_at_ms=START_MS - 10**8))

    assert type(caught.value) is Refused
