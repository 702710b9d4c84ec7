"""What every `Network` does, in memory and on libp2p alike."""

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
import trio
from nacl.signing import SigningKey

from p2pgrid.errors import (
    BadInput,
    BrokenProtocol,
    GridError,
    InsufficientBalance,
    NotFound,
    Refused,
    StoreFailed,
    Unreachable,
)
from p2pgrid.limits import (
    BULK_FRAME_BYTES,
    GOSSIP_BYTES_MAX,
    REJECTS_BURST,
    REQUEST_BODY_BYTES_MAX,
    REQUESTS_PER_PEER_MAX,
)
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import (
    BulkStream,
    GossipMessage,
    Method,
    Network,
    PeerDown,
    PeerUp,
    Topic,
    Verdict,
)

GRID = NetworkId(b"one grid........")
OTHER_GRID = NetworkId(b"another grid....")
SECONDS_MAX = 15


class World(Protocol):
    """Opens nodes that can reach each other."""

    def __call__(
        self, number: int, *, grid: NetworkId = GRID
    ) -> AbstractAsyncContextManager[Network]: ...


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


@pytest.fixture(params=["memory", "libp2p"])
def world(request: pytest.FixtureRequest) -> World:
    hub = MemoryHub(latency_seconds=0.001)

    @asynccontextmanager
    async def open_in_memory(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        async with hub.open(key(number), network_id=grid) as network:
            yield network

    @asynccontextmanager
    async def open_on_libp2p(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        listen = ["/ip4/127.0.0.1/tcp/0"]
        async with open_libp2p(
            key=key(number), listen=listen, network_id=grid, mdns=False
        ) as network:
            yield network

    return open_in_memory if request.param == "memory" else open_on_libp2p


@pytest.fixture(autouse=True)
async def _in_time() -> AsyncGenerator[None]:
    with trio.fail_after(SECONDS_MAX):
        yield


@asynccontextmanager
async def pair(world: World) -> AsyncGenerator[tuple[Network, Network]]:
    """Two connected nodes."""
    async with world(1) as left, world(2) as right:
        await left.connect(right.addresses()[0])
        await until(lambda: left.id in right.peers())
        yield left, right


async def until(condition: Callable[[], bool]) -> None:
    """For what nothing tells of."""
    while not condition():  # noqa: ASYNC110 - the adapter under test has no such event
        await trio.sleep(0.005)


async def connect_and_ask(left: Network, right: Network) -> None:
    """A refusal may show at either."""
    await left.connect(right.addresses()[0])
    await left.request(right.id, Method.EXPLORER_QUERY, b"")


async def echo(peer: NodeId, body: bytes) -> bytes:
    return body


def accept(forwarder: NodeId, data: bytes) -> Verdict:
    return Verdict.ACCEPT


# --- requests -------------------------------------------------------------------------------------


async def test_a_request_is_answered_with_who_asked(world: World) -> None:
    async def whoami(peer: NodeId, body: bytes) -> bytes:
        return peer + body

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, whoami)
        left.serve(Method.LEDGER_VOTE, whoami)

        assert await left.request(right.id, Method.EXPLORER_QUERY, b"!") == left.id + b"!"
        assert await right.request(left.id, Method.LEDGER_VOTE, b"?") == right.id + b"?"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Refused("not you"), Refused),
        (InsufficientBalance("3 TFT are missing"), InsufficientBalance),
        (NotFound("no such record"), NotFound),
    ],
)
async def test_an_error_of_the_handler_arrives_as_its_class(
    world: World, raised: GridError, expected: type[GridError]
) -> None:
    async def refuse(peer: NodeId, body: bytes) -> bytes:
        raise raised

    async with pair(world) as (left, right):
        right.serve(Method.LEDGER_SUBMIT, refuse)

        with pytest.raises(expected, match=str(raised)) as caught:
            await left.request(right.id, Method.LEDGER_SUBMIT, b"")

        assert type(caught.value) is expected


@pytest.mark.parametrize(
    "bug", [KeyError("secret"), StoreFailed("disk secret"), trio.EndOfChannel()]
)
async def test_a_failing_handler_says_nothing_and_the_node_lives_on(
    world: World, bug: Exception
) -> None:
    async def fail(peer: NodeId, body: bytes) -> bytes:
        raise bug

    async with pair(world) as (left, right):
        right.serve(Method.LEDGER_SUBMIT, fail)
        right.serve(Method.LEDGER_VOTE, echo)

        with pytest.raises(Unreachable) as caught:
            await left.request(right.id, Method.LEDGER_SUBMIT, b"")

        assert "secret" not in str(caught.value)
        assert await left.request(right.id, Method.LEDGER_VOTE, b"alive") == b"alive"


async def test_an_unknown_method_is_refused(world: World) -> None:
    async with pair(world) as (left, right):
        with pytest.raises(Refused, match="not served"):
            await left.request(right.id, Method.RESERVATION_LOGS, b"")


async def test_requests_overtake_each_other(world: World) -> None:
    """And more than REQUESTS_PER_PEER_MAX at once all get their answer."""
    last_may_go = trio.Event()

    async def wait_for_last(peer: NodeId, body: bytes) -> bytes:
        if body == b"0":
            await last_may_go.wait()
        return body

    answers: list[bytes] = []
    async with pair(world) as (left, right), trio.open_nursery() as nursery:
        right.serve(Method.EXPLORER_QUERY, wait_for_last)

        async def ask(number: int) -> None:
            answers.append(await left.request(right.id, Method.EXPLORER_QUERY, b"%d" % number))

        count = REQUESTS_PER_PEER_MAX + 20
        for number in range(count):
            nursery.start_soon(ask, number)
        await until(lambda: len(answers) == count - 1)
        last_may_go.set()
        await until(lambda: len(answers) == count)

    assert answers[-1] == b"0"
    assert sorted(map(int, answers)) == list(range(count))


async def test_at_most_so_many_requests_of_a_peer_are_worked_on_at_once(world: World) -> None:
    running = most = done = 0
    may_end = trio.Event()

    async def count(peer: NodeId, body: bytes) -> bytes:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await may_end.wait()
        running -= 1
        done += 1
        return b""

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, count)
        async with trio.open_nursery() as nursery:
            for _ in range(2 * REQUESTS_PER_PEER_MAX):
                nursery.start_soon(left.request, right.id, Method.EXPLORER_QUERY, b"")
            await until(lambda: running == REQUESTS_PER_PEER_MAX)
            may_end.set()

    assert (most, done) == (REQUESTS_PER_PEER_MAX, 2 * REQUESTS_PER_PEER_MAX)


async def test_the_longest_bodies_travel_both_ways(world: World) -> None:
    body = bytes(range(256)) * (REQUEST_BODY_BYTES_MAX // 256)
    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, echo)

        assert await left.request(right.id, Method.EXPLORER_QUERY, body) == body


async def test_a_longer_body_is_not_sent_and_a_longer_answer_not_given(world: World) -> None:
    async def too_long(peer: NodeId, body: bytes) -> bytes:
        return bytes(REQUEST_BODY_BYTES_MAX + 1)

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, too_long)

        with pytest.raises(ValueError, match="limit"):
            await left.request(right.id, Method.EXPLORER_QUERY, bytes(REQUEST_BODY_BYTES_MAX + 1))
        with pytest.raises(Unreachable):
            await left.request(right.id, Method.EXPLORER_QUERY, b"")


async def test_who_stops_waiting_stops_the_handler(world: World) -> None:
    started, stopped = trio.Event(), trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, wait)
        right.serve(Method.LEDGER_VOTE, echo)
        async with trio.open_nursery() as asking:
            asking.start_soon(left.request, right.id, Method.EXPLORER_QUERY, b"")
            await started.wait()
            asking.cancel_scope.cancel()
        await stopped.wait()

        assert await left.request(right.id, Method.LEDGER_VOTE, b"alive") == b"alive"


async def test_requests_to_a_peer_that_leaves_fail(world: World) -> None:
    started, failed = trio.Event(), trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        started.set()
        return await trio.sleep_forever()

    async def ask(asker: Network, peer: NodeId) -> None:
        with pytest.raises(Unreachable):
            await asker.request(peer, Method.EXPLORER_QUERY, b"")
        failed.set()

    async with world(1) as left, trio.open_nursery() as nursery:
        async with world(2) as right:
            right.serve(Method.EXPLORER_QUERY, wait)
            await left.connect(right.addresses()[0])
            nursery.start_soon(ask, left, right.id)
            await started.wait()
        await failed.wait()
        await ask(left, right.id)

        assert left.peers() == ()


async def test_nobody_known_cannot_be_asked(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(Unreachable):
            await left.request(NodeId(bytes(key(9).verify_key)), Method.EXPLORER_QUERY, b"")


async def test_a_request_dials_a_peer_whose_address_was_learnt(world: World) -> None:
    async with world(1) as left, world(2) as right:
        right.serve(Method.EXPLORER_QUERY, echo)
        left.learn_addresses(right.id, ["nonsense", *right.addresses()])

        assert await left.request(right.id, Method.EXPLORER_QUERY, b"hi") == b"hi"
        assert left.addresses_of(right.id)[0] == right.addresses()[0]


# --- peers ----------------------------------------------------------------------------------------


async def test_both_sides_hear_of_ups_and_downs(world: World) -> None:
    async with world(1) as left:
        left_events = left.peer_events()
        async with world(2) as right:
            right_events = right.peer_events()

            assert await left.connect(right.addresses()[0]) == right.id
            assert await left_events.receive() == PeerUp(right.id)
            assert await right_events.receive() == PeerUp(left.id)
            assert left.peers() == (right.id,)
            assert right.peers() == (left.id,)
            assert right.addresses_of(left.id) == left.addresses()
        assert await left_events.receive() == PeerDown(right.id)
        assert left.peers() == ()


async def test_connecting_twice_is_one_peer(world: World) -> None:
    async with pair(world) as (left, right):
        events = left.peer_events()
        await left.connect(right.addresses()[0])
        await right.connect(left.addresses()[0])

        assert left.peers() == (right.id,)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


async def test_a_peer_comes_back_with_the_same_key(world: World) -> None:
    """Twice, at another address each time."""
    async with world(1) as left:
        for _ in range(2):
            async with world(2) as right:
                right.serve(Method.EXPLORER_QUERY, echo)
                inbox = right.subscribe(Topic.LEDGER, accept)
                await left.connect(right.addresses()[0])

                assert await left.request(right.id, Method.EXPLORER_QUERY, b"hi") == b"hi"
                assert await spread(left, Topic.LEDGER, b"news", inbox) == left.id
            await until(lambda: not left.peers())


async def test_nobody_answers(world: World) -> None:
    async with world(1) as left:
        async with world(2) as right:
            address = right.addresses()[0]
        with pytest.raises(Unreachable):
            await left.connect(address)
        assert left.peers() == ()


async def test_somebody_else_answers(world: World) -> None:
    async with world(1) as left, world(2) as right, world(3) as third:
        transport = right.addresses()[0].rpartition("/p2p/")[0]
        expected = third.addresses()[0].rpartition("/p2p/")[2]

        with pytest.raises(Unreachable):
            await left.connect(f"{transport}/p2p/{expected}")
        assert left.peers() == ()


@pytest.mark.parametrize(
    "address", ["", "/ip4/127.0.0.1/tcp/1", "/p2p/", "/ip4/1.2.3.4/tcp/1/p2p/Qm"]
)
async def test_nonsense_is_no_address(world: World, address: str) -> None:
    async with world(1) as left:
        with pytest.raises(BadInput, match="is not"):
            await left.connect(address)


async def test_a_node_does_not_connect_to_itself(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(BadInput, match="itself"):
            await left.connect(left.addresses()[0])


async def test_grids_do_not_mix(world: World, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def hear(forwarder: NodeId, data: bytes) -> Verdict:
        heard.append(data)
        return Verdict.ACCEPT

    async with world(1) as left, world(2, grid=OTHER_GRID) as right:
        left_events, right_events = left.peer_events(), right.peer_events()
        right.subscribe(Topic.LEDGER, hear)
        left.subscribe(Topic.LEDGER, hear)
        right.serve(Method.EXPLORER_QUERY, echo)
        left.learn_addresses(right.id, right.addresses())

        with caplog.at_level(logging.WARNING), pytest.raises(Unreachable, match="another grid"):
            await left.connect(right.addresses()[0])
        with pytest.raises(Unreachable, match="another grid"):
            await left.request(right.id, Method.EXPLORER_QUERY, b"")
        await left.publish(Topic.LEDGER, b"ours")
        await right.publish(Topic.LEDGER, b"theirs")

        assert "of another grid" in caplog.text
        assert left.peers() == right.peers() == ()
        for events in (left_events, right_events):
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()
    assert heard == []


# --- gossip ---------------------------------------------------------------------------------------


async def spread(
    sender: Network, topic: Topic, data: bytes, inbox: trio.MemoryReceiveChannel[GossipMessage]
) -> NodeId:
    """Publish until it arrives (subscriptions take a while to be known); who passed it on."""
    async with trio.open_nursery() as nursery:

        async def publish() -> None:
            while True:
                await sender.publish(topic, data)
                await trio.sleep(0.1)

        nursery.start_soon(publish)
        while (message := await inbox.receive()).data != data:
            pass
        nursery.cancel_scope.cancel()
    return message.forwarder


async def test_gossip_reaches_subscribers_with_who_passed_it_on(world: World) -> None:
    data = bytes(GOSSIP_BYTES_MAX)
    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.CAPACITY, accept)

        assert await spread(left, Topic.CAPACITY, data, inbox) == left.id


async def test_gossip_is_passed_on_but_not_to_its_author(world: World) -> None:
    async with world(1) as left, world(2) as middle, world(3) as right:
        await left.connect(middle.addresses()[0])
        await middle.connect(right.addresses()[0])
        own = left.subscribe(Topic.LEDGER, accept)
        middle.subscribe(Topic.LEDGER, accept)
        inbox = right.subscribe(Topic.LEDGER, accept)

        assert await spread(left, Topic.LEDGER, b"news", inbox) == middle.id
        with pytest.raises(trio.WouldBlock):
            own.receive_nowait()


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
async def test_what_is_not_accepted_is_neither_given_nor_passed_on(
    world: World, verdict: Verdict
) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        return Verdict.ACCEPT if data == b"good" else verdict

    async with world(1) as left, world(2) as middle, world(3) as right:
        await left.connect(middle.addresses()[0])
        await middle.connect(right.addresses()[0])
        at_middle = middle.subscribe(Topic.LEDGER, judge)
        at_right = right.subscribe(Topic.LEDGER, accept)
        await spread(left, Topic.LEDGER, b"good", at_right)

        await left.publish(Topic.LEDGER, b"bad")
        await spread(left, Topic.LEDGER, b"good", at_right)

        for inbox in (at_middle, at_right):
            while inbox.statistics().current_buffer_used:
                assert inbox.receive_nowait().data == b"good"


async def test_a_raising_validator_harms_nobody(world: World) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        if data == b"bad":
            raise ValueError
        return Verdict.ACCEPT

    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.LEDGER, judge)
        await spread(left, Topic.LEDGER, b"first", inbox)
        await left.publish(Topic.LEDGER, b"bad")

        assert await spread(left, Topic.LEDGER, b"second", inbox) == left.id


async def test_a_peer_that_keeps_sending_invalid_messages_is_hung_up_on(world: World) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        return Verdict.REJECT if data == b"bad" else Verdict.ACCEPT

    async with pair(world) as (left, right):
        events = right.peer_events()
        inbox = right.subscribe(Topic.LEDGER, judge)
        await spread(left, Topic.LEDGER, b"good", inbox)
        for _ in range(REJECTS_BURST):
            await left.publish(Topic.LEDGER, b"bad")
        await spread(left, Topic.LEDGER, b"better", inbox)
        assert right.peers() == (left.id,)

        await left.publish(Topic.LEDGER, b"bad")

        assert await events.receive() == PeerDown(left.id)
        with pytest.raises(Unreachable):
            await connect_and_ask(left, right)


async def test_gossip_that_is_too_long_is_not_sent(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(ValueError, match="limit"):
            await left.publish(Topic.HUB, bytes(GOSSIP_BYTES_MAX + 1))


async def test_a_burst_is_paced_and_arrives_completely(world: World) -> None:
    """libp2p's queues drop all beyond 32 back to back, silently."""
    count = 100
    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.LEDGER, accept)
        await spread(left, Topic.LEDGER, b"first", inbox)
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(left.publish, Topic.LEDGER, b"%d" % number)
        got: set[bytes] = set()
        while len(got) < count:
            got.add((await inbox.receive()).data)
            got.discard(b"first")

    assert got == {b"%d" % number for number in range(count)}


# --- bulk -----------------------------------------------------------------------------------------


async def answer_frames(peer: NodeId, stream: BulkStream) -> None:
    while frame := await stream.receive():
        await stream.send(peer[:4] + frame[:-4])


async def test_bulk_frames_travel_both_ways(world: World) -> None:
    frame = bytes(range(256)) * (BULK_FRAME_BYTES // 256)
    async with pair(world) as (left, right):
        right.serve_bulk(answer_frames)
        stream = await left.open_bulk(right.id)
        for _ in range(5):
            await stream.send(frame)
            assert await stream.receive() == left.id[:4] + frame[:-4]
        await stream.aclose()
        await stream.aclose()


async def test_a_bulk_stream_ends_with_its_handler(world: World) -> None:
    async def give(peer: NodeId, stream: BulkStream) -> None:
        await stream.send(b"one")
        await stream.send(b"two")

    async with pair(world) as (left, right):
        right.serve_bulk(give)
        stream = await left.open_bulk(right.id)

        assert [await stream.receive() for _ in range(4)] == [b"one", b"two", b"", b""]
        await stream.aclose()


async def test_a_bulk_sender_waits_for_a_reader_that_does_not_read(world: World) -> None:
    sent = 0
    may_read = trio.Event()
    got: list[int] = []

    async def read_late(peer: NodeId, stream: BulkStream) -> None:
        await may_read.wait()
        while frame := await stream.receive():
            got.append(len(frame))

    async with pair(world) as (left, right), trio.open_nursery() as nursery:
        right.serve_bulk(read_late)
        stream = await left.open_bulk(right.id)
        count = 200

        async def send() -> None:
            nonlocal sent
            for _ in range(count):
                await stream.send(bytes(BULK_FRAME_BYTES))
                sent += 1
            await stream.aclose()

        nursery.start_soon(send)
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await trio.sleep(0.1)
        assert sent < count
        may_read.set()
        await until(lambda: len(got) == count)

    assert got == [BULK_FRAME_BYTES] * count


async def test_a_bulk_frame_is_neither_empty_nor_too_long(world: World) -> None:
    async with pair(world) as (left, right):
        right.serve_bulk(answer_frames)
        stream = await left.open_bulk(right.id)
        for frame in (b"", bytes(BULK_FRAME_BYTES + 1)):
            with pytest.raises(ValueError, match="frame"):
                await stream.send(frame)

        await stream.send(b"good.")
        assert await stream.receive() == left.id[:4] + b"g"
        await stream.aclose()


async def test_a_failing_bulk_handler_closes_its_stream_only(world: World) -> None:
    async def fail(peer: NodeId, stream: BulkStream) -> None:
        if await stream.receive() == b"fail":
            raise RuntimeError
        await stream.send(b"fine")

    async with pair(world) as (left, right):
        right.serve_bulk(fail)
        streams = [await left.open_bulk(right.id) for _ in range(2)]
        await streams[0].send(b"fail")
        with pytest.raises(Unreachable):  # not b"": what came is not all
            await streams[0].receive()
        await streams[1].send(b"work")

        assert await streams[1].receive() == b"fine"
        for stream in streams:
            await stream.aclose()


async def test_no_bulk_without_a_handler(world: World) -> None:
    async with pair(world) as (left, right):
        with pytest.raises(Unreachable):
            await left.open_bulk(right.id)


async def test_a_bulk_stream_of_a_node_that_leaves_is_not_taken_for_complete(world: World) -> None:
    async with world(1) as left:
        async with world(2) as right:
            right.serve_bulk(answer_frames)
            await left.connect(right.addresses()[0])
            stream = await left.open_bulk(right.id)
        with pytest.raises((Unreachable, BrokenProtocol)):
            await stream.receive()
        await stream.aclose()
