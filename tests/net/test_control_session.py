"""Sessions end as they should, whatever the peer says, does not say, or breaks off."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from p2pgrid.errors import (
    BrokenProtocol,
    GridError,
    Unreachable,
)
from p2pgrid.limits.net import (
    CONTROL_QUEUE_FRAMES,
    HANDLER_SECONDS_MAX,
    KEEPALIVE_ANSWER_SECONDS_MAX,
    KEEPALIVE_SECONDS,
    REQUESTS_PER_PEER_MAX,
)
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.control import (
    Answer,
    Cancel,
    Failure,
    Hello,
    Message,
    MessageReader,
    Ping,
    Pong,
    Request,
    message_bytes,
)
from p2pgrid.net.control_session import Asker, Server, Service, answer_hello, say_hello
from p2pgrid.net.desk import Desk
from p2pgrid.net.network import RequestHandler

PEER = NodeId(b"p" * 32)
HELLO = Hello(NetworkId(b"n" * 16), ("/ip4/192.0.2.1/tcp/1/p2p/x",))


class Wire:
    """The other end of a stream, spoken by hand."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._reader = MessageReader()
        self._read: list[Message] = []

    async def say(self, *said: Message) -> None:
        for message in said:
            await self.stream.send_all(message_bytes(message))

    async def hear(self) -> Message | None:
        """The next message; None at the end."""
        while not self._read:
            data = await self.stream.receive_some(65536)
            if not data:
                return None
            self._read = self._reader.feed(data)
        return self._read.pop(0)


@asynccontextmanager
async def asking() -> AsyncGenerator[tuple[Asker, Wire, trio.Nursery]]:
    ours, theirs = trio.testing.memory_stream_pair()
    asker = Asker(ours, PEER)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asker.run)
        yield asker, Wire(theirs), nursery
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(**handlers: RequestHandler) -> AsyncGenerator[tuple[Wire, trio.Event]]:
    """The wire, and what is set once the server has ended, with or without complaint."""
    ours, theirs = trio.testing.memory_stream_pair()
    service, ended = Service(handlers, Desk(lambda peer: "")), trio.Event()

    async def run() -> None:
        try:
            await Server(ours, PEER, service).run()
        except BrokenProtocol:
            await ours.aclose()
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        yield Wire(theirs), ended
        nursery.cancel_scope.cancel()


async def wait_for_ever(peer: NodeId, body: bytes) -> bytes:
    return await trio.sleep_forever()


async def failing(
    call: Callable[[], Awaitable[bytes]], expected: type[GridError], done: trio.Event
) -> None:
    with pytest.raises(expected):
        await call()
    done.set()


async def test_greetings_cross() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    other = Hello(NetworkId(b"o" * 16), ())
    got: list[Hello] = []
    async with trio.open_nursery() as nursery:

        async def call() -> None:
            got.append(await say_hello(ours, HELLO))

        nursery.start_soon(call)
        got.append(await answer_hello(theirs, other))

    assert sorted(got, key=lambda one: one.network) == [HELLO, other]


@pytest.mark.parametrize("said", [Ping(), Answer(1, b"")])
async def test_who_does_not_greet_breaks_the_protocol(said: Message) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await Wire(theirs).say(said)
    with pytest.raises(BrokenProtocol):
        await answer_hello(ours, HELLO)


async def test_who_does_not_wait_for_the_greeting_breaks_the_protocol() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(message_bytes(HELLO) + message_bytes(Request(1, "m", b"")))
    with pytest.raises(BrokenProtocol):
        await answer_hello(ours, HELLO)


async def test_who_hangs_up_before_greeting_is_unreachable() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    with pytest.raises(Unreachable):
        await say_hello(ours, HELLO)


async def test_answers_find_their_requests_in_any_order() -> None:
    got: dict[str, bytes] = {}
    async with asking() as (asker, wire, nursery):

        async def ask(method: str) -> None:
            got[method] = await asker.request(method, b"")

        for method in "ab":
            nursery.start_soon(ask, method)
        asked = [await wire.hear(), await wire.hear()]
        for request in reversed(asked):
            assert isinstance(request, Request)
            await wire.say(Answer(request.number, request.method.encode()))
        await trio.testing.wait_all_tasks_blocked()

    assert got == {"a": b"a", "b": b"b"}


@pytest.mark.parametrize(
    "said",
    [
        Answer(9, b""),
        Failure(9, "Refused", ""),
        Hello(HELLO.network, ()),
        Request(1, "m", b""),
        Ping(),
    ],
)
async def test_nonsense_in_place_of_an_answer_fails_every_request(said: Message) -> None:
    done = trio.Event()
    async with asking() as (asker, wire, nursery):
        nursery.start_soon(failing, lambda: asker.request("m", b""), BrokenProtocol, done)
        await wire.hear()
        await wire.say(said)
        await done.wait()

        assert asker.must_hang_up
        with pytest.raises(BrokenProtocol):
            await asker.request("m", b"")


async def test_garbage_in_place_of_an_answer_fails_every_request() -> None:
    done = trio.Event()
    async with asking() as (asker, wire, nursery):
        nursery.start_soon(failing, lambda: asker.request("m", b""), BrokenProtocol, done)
        await wire.hear()
        await wire.stream.send_all(b"\xff" * 40)
        await done.wait()

        assert asker.must_hang_up


async def test_a_stream_that_ends_fails_every_request() -> None:
    done = trio.Event()
    async with asking() as (asker, wire, nursery):
        nursery.start_soon(failing, lambda: asker.request("m", b""), Unreachable, done)
        await wire.hear()
        await wire.stream.aclose()
        await done.wait()

        assert not asker.must_hang_up
        with pytest.raises(Unreachable):
            await asker.request("m", b"")


async def test_a_peer_that_falls_silent_fails_every_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    done = trio.Event()
    async with asking() as (asker, wire, nursery):
        nursery.start_soon(failing, lambda: asker.request("m", b""), Unreachable, done)
        started = trio.current_time()
        await done.wait()

        assert trio.current_time() - started <= KEEPALIVE_SECONDS + KEEPALIVE_ANSWER_SECONDS_MAX
        assert asker.must_hang_up
        assert isinstance(await wire.hear(), Request)
        assert await wire.hear() == Ping()


async def test_a_doubted_peer_is_asked_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with asking() as (asker, wire, _):
        await trio.testing.wait_all_tasks_blocked()
        started = trio.current_time()
        asker.doubt()

        assert await wire.hear() == Ping()
        assert trio.current_time() == started


async def test_a_peer_that_answers_pings_may_take_its_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    got: list[bytes] = []
    async with asking() as (asker, wire, nursery):

        async def ask() -> None:
            got.append(await asker.request("m", b""))

        nursery.start_soon(ask)
        request = await wire.hear()
        assert isinstance(request, Request)
        for _ in range(20):
            assert await wire.hear() == Ping()
            await wire.say(Pong())
        await wire.say(Answer(request.number, b"late"))
        await trio.testing.wait_all_tasks_blocked()

    assert got == [b"late"]


async def test_a_cancelled_request_tells_the_peer_and_its_answer_is_ignored() -> None:
    async with asking() as (asker, wire, _):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(asker.request, "m", b"")
                assert await wire.hear() == Request(1, "m", b"")
                scope.cancel()
        assert await wire.hear() == Cancel(1)
        await wire.say(Answer(1, b"too late"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.request, "n", b"")
            assert await wire.hear() == Request(2, "n", b"")
            await wire.say(Answer(2, b""))

        assert asker.ended is None


async def test_what_is_cancelled_while_nothing_can_be_written_is_never_sent() -> None:
    """Except for what was being written: that is taken back, after it."""
    ours, theirs = trio.testing.memory_stream_pair()
    assert isinstance(ours.send_stream, trio.testing.MemorySendStream)
    may_write = trio.Event()
    deliver = ours.send_stream.send_all_hook
    assert deliver is not None

    async def deliver_late() -> None:
        await may_write.wait()
        await deliver()

    ours.send_stream.send_all_hook = deliver_late
    asker, wire = Asker(ours, PEER), Wire(theirs)
    async with trio.open_nursery() as running:
        running.start_soon(asker.run)
        async with trio.open_nursery() as nursery:
            for _ in range(3 * CONTROL_QUEUE_FRAMES):
                nursery.start_soon(asker.request, "m", b"")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        may_write.set()
        asker.doubt()

        assert await wire.hear() == Request(1, "m", b"")
        assert await wire.hear() == Cancel(1)
        assert await wire.hear() == Ping()
        running.cancel_scope.cancel()


async def echo(peer: NodeId, body: bytes) -> bytes:
    return peer[:1] + body


async def test_the_server_answers_and_refuses_unknown_methods() -> None:
    async with serving(echo=echo) as (wire, _):
        await wire.say(Request(1, "echo", b"x"), Request(2, "what", b""))

        heard = [await wire.hear(), await wire.hear()]
        assert Answer(1, b"px") in heard
        assert any(isinstance(one, Failure) and one.error == "Refused" for one in heard)


async def test_the_server_answers_pings_while_handlers_work() -> None:
    async with serving(wait=wait_for_ever) as (wire, _):
        await wire.say(Request(1, "wait", b""), Ping())

        assert await wire.hear() == Pong()


async def test_a_handler_has_its_time(autojump_clock: trio.testing.MockClock) -> None:
    async with serving(wait=wait_for_ever) as (wire, _):
        started = trio.current_time()
        await wire.say(Request(1, "wait", b""))
        failure = await wire.hear()

        assert isinstance(failure, Failure)
        assert failure.error == "Unreachable"
        assert trio.current_time() - started == pytest.approx(HANDLER_SECONDS_MAX)


async def test_what_a_peer_asks_beyond_the_limit_waits_in_its_socket() -> None:
    """A peer that is not ours may ask more than it should: it must not cost us memory."""
    started: list[bytes] = []
    may_end = trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        started.append(body)
        await may_end.wait()
        return b""

    async with serving(wait=wait) as (wire, _):
        for number in range(2 * REQUESTS_PER_PEER_MAX):
            await wire.say(Request(number, "wait", b""))
        await trio.testing.wait_all_tasks_blocked()
        assert len(started) == REQUESTS_PER_PEER_MAX
        may_end.set()
        for _ in range(2 * REQUESTS_PER_PEER_MAX):
            assert isinstance(await wire.hear(), Answer)


async def test_a_cancelled_request_stops_its_handler_and_frees_its_place() -> None:
    stopped = trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        try:
            return await trio.sleep_forever()
        finally:
            stopped.set()

    async with serving(wait=wait, echo=echo) as (wire, _):
        await wire.say(Request(1, "wait", b""), Cancel(1), Cancel(99))
        await stopped.wait()
        await wire.say(Request(1, "echo", b""))

        assert await wire.hear() == Answer(1, b"p")


@pytest.mark.parametrize(
    "said",
    [(Answer(1, b""),), (Hello(HELLO.network, ()),), (Pong(),), (Request(1, "wait", b""),) * 2],
)
async def test_a_peer_that_says_nonsense_is_hung_up_on(said: tuple[Message, ...]) -> None:
    async with serving(wait=wait_for_ever) as (wire, ended):
        await wire.say(*said)
        await ended.wait()

        assert await wire.hear() is None


async def test_a_peer_that_leaves_ends_its_handlers() -> None:
    stopped = trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        try:
            return await trio.sleep_forever()
        finally:
            stopped.set()

    async with serving(wait=wait) as (wire, ended):
        await wire.say(Request(1, "wait", b""))
        await trio.testing.wait_all_tasks_blocked()
        await wire.stream.aclose()
        await ended.wait()

        assert stopped.is_set()
