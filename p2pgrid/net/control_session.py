"""Both ends of a control stream, as trio tasks. What is said there: `control`."""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Protocol

import trio

from p2pgrid.errors import BrokenProtocol, GridError, Refused, Unreachable
from p2pgrid.limits.net import (
    CONTROL_QUEUE_FRAMES,
    HANDLER_SECONDS_MAX,
    HEAVY_REQUESTS_PER_PEER_MAX,
    KEEPALIVE_ANSWER_SECONDS_MAX,
    KEEPALIVE_SECONDS,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_OVERHEAD_BYTES,
    REQUESTS_PER_PEER_MAX,
)
from p2pgrid.model.ids import NodeId, short
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
    error_of,
    failure_of,
    message_bytes,
)
from p2pgrid.net.desk import Desk
from p2pgrid.net.fairness import is_heavy
from p2pgrid.net.network import RequestHandler

log = logging.getLogger(__name__)

_STREAM_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


class ControlStream(Protocol):
    """A byte stream; `trio.abc.Stream` is one."""

    async def send_all(self, data: bytes) -> None:
        """Write everything. Raises BrokenResourceError or ClosedResourceError."""
        ...

    async def receive_some(self) -> bytes:
        """Whatever came, b"" at the end. Raises BrokenResourceError or ClosedResourceError."""
        ...


async def say_hello(stream: ControlStream, hello: Hello) -> Hello:
    """As the one who opened the stream: greet, and give the other side's greeting.

    Raises:
        Unreachable: the stream ended first.
        BrokenProtocol: the answer is no greeting.
    """
    try:
        await stream.send_all(message_bytes(hello))
        return await _receive_hello(stream)
    except _STREAM_ENDED as error:
        raise Unreachable("the control stream ended before the peer greeted") from error


async def answer_hello(stream: ControlStream, hello: Hello) -> Hello:
    """As the one who was called: like `say_hello`, after the other side."""
    try:
        theirs = await _receive_hello(stream)
        await stream.send_all(message_bytes(hello))
    except _STREAM_ENDED as error:
        raise Unreachable("the control stream ended before the peer greeted") from error
    return theirs


async def _receive_hello(stream: ControlStream) -> Hello:
    reader = MessageReader()
    while data := await stream.receive_some():
        match reader.feed(data):
            case []:
                continue
            case [Hello() as hello] if reader.is_between_messages:
                return hello
            case _:
                raise BrokenProtocol("the peer did not greet, or went on before it was greeted")
    raise Unreachable("the control stream ended before the peer greeted")


class _Waiting:
    """One request that has no answer yet."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.is_sent = False
        self.outcome: bytes | GridError = Unreachable("no answer")

    def finish(self, outcome: bytes | GridError) -> None:
        self.outcome = outcome
        self.done.set()


class Asker:
    """Sends requests to one peer over a stream that has been greeted on."""

    def __init__(self, stream: ControlStream, peer: NodeId) -> None:
        self._stream = stream
        self._peer = peer
        self._waiting: dict[int, _Waiting] = {}
        self._last_number = 0
        self._slots = trio.Semaphore(REQUESTS_PER_PEER_MAX)
        self._send, self._receive = trio.open_memory_channel[Message](CONTROL_QUEUE_FRAMES)
        self._cancelled: list[Cancel] = []
        self._heard = trio.Event()
        self._doubted = trio.Event()
        self._ended: GridError | None = None
        self._is_hopeless = False

    @property
    def must_hang_up(self) -> bool:
        """Whether the connection is of no more use either."""
        return self._is_hopeless

    @property
    def ended(self) -> GridError | None:
        """Why no more requests can be sent; None while they can."""
        return self._ended

    @property
    def is_busy(self) -> bool:
        """Whether answers are waited for."""
        return bool(self._waiting)

    def doubt(self) -> None:
        """Ask the peer now whether it is still there: something suggests that it is not."""
        self._doubted.set()

    async def request(self, method: str, body: bytes) -> bytes:
        """The peer's answer. Raises what its handler raised, Unreachable, BrokenProtocol."""
        if len(body) > REQUEST_BODY_BYTES_MAX:
            raise ValueError(f"body of {len(body)} bytes, the limit is {REQUEST_BODY_BYTES_MAX}")
        async with self._slots:
            if self._ended is not None:
                raise _again(self._ended)
            outcome = await self._exchange(method, body)
        if isinstance(outcome, GridError):
            raise _again(outcome)
        return outcome

    async def run(self) -> None:
        """Write, read and look after the stream until it ends; then every request fails."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, nursery.cancel_scope)
                nursery.start_soon(self._watch, nursery.cancel_scope)
                await self._read()
                nursery.cancel_scope.cancel()
        finally:
            if self._ended is None:
                self._ended = Unreachable(f"the connection to {short(self._peer)} broke off")
            for waiting in self._waiting.values():
                waiting.finish(self._ended)
            self._receive.close()

    async def _exchange(self, method: str, body: bytes) -> bytes | GridError:
        self._last_number += 1
        number = self._last_number
        waiting = self._waiting[number] = _Waiting()
        try:
            await self._send.send(Request(number, method, body))
            await waiting.done.wait()
        except trio.BrokenResourceError:
            return self._ended or waiting.outcome
        finally:
            del self._waiting[number]
            if waiting.is_sent and not waiting.done.is_set():
                self._cancel(Cancel(number))
        return waiting.outcome

    def _cancel(self, message: Cancel) -> None:
        try:
            self._send.send_nowait(message)
        except trio.WouldBlock:
            self._cancelled.append(message)  # the writer is awake: its queue is full
        except trio.BrokenResourceError:
            return

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            async for message in self._receive:
                if self._is_wanted(message):
                    await self._stream.send_all(message_bytes(message))
                cancelled, self._cancelled = self._cancelled, []
                for cancel in cancelled:
                    await self._stream.send_all(message_bytes(cancel))
        except _STREAM_ENDED:
            scope.cancel()

    def _is_wanted(self, message: Message) -> bool:
        """Whether to send it: a request may have been cancelled while it was queued."""
        if not isinstance(message, Request):
            return True
        waiting = self._waiting.get(message.number)
        if waiting is not None:
            waiting.is_sent = True
        return waiting is not None

    async def _read(self) -> None:
        reader = MessageReader()
        try:
            while data := await self._stream.receive_some():
                self._heard.set()
                for message in reader.feed(data):
                    self._take(message)
        except BrokenProtocol as error:
            self._ended = BrokenProtocol(f"{short(self._peer)}: {error}")
            self._is_hopeless = True
        except _STREAM_ENDED as error:
            log.debug("the control stream to %s ended: %r", short(self._peer), error)

    def _take(self, message: Message) -> None:
        match message:
            case Answer(number) | Failure(number) if number > self._last_number:
                raise BrokenProtocol("an answer to a request that was never sent")
            case Answer(number, body):
                self._finish(number, body)
            case Failure(number):
                self._finish(number, error_of(message))
            case Pong():
                pass
            case Hello() | Request() | Cancel() | Ping():
                raise BrokenProtocol(f"{type(message).__name__} where only answers may be")

    def _finish(self, number: int, outcome: bytes | GridError) -> None:
        waiting = self._waiting.get(number)
        if waiting is not None:  # else it was cancelled meanwhile
            waiting.finish(outcome)

    async def _watch(self, scope: trio.CancelScope) -> None:
        """Ask after silence; give the stream up when no answer comes."""
        while True:
            self._heard = trio.Event()
            with trio.move_on_after(KEEPALIVE_SECONDS):
                await self._doubted.wait()
            if self._heard.is_set() and not self._doubted.is_set():
                continue
            self._doubted = trio.Event()
            self._heard = trio.Event()
            with trio.move_on_after(KEEPALIVE_ANSWER_SECONDS_MAX) as waited:
                await self._send.send(Ping())
                await self._heard.wait()
            if waited.cancelled_caught:
                self._ended = Unreachable(f"{short(self._peer)} fell silent")
                self._is_hopeless = True
                scope.cancel()


def _again(error: GridError) -> GridError:
    """A fresh exception: one instance raised in several tasks would mix their tracebacks."""
    return type(error)(*error.args)


class Service:
    """What a node answers with, and in which order."""

    def __init__(self, handlers: Mapping[str, RequestHandler], desk: Desk) -> None:
        self.desk = desk
        self._handlers = handlers

    async def answer(self, peer: NodeId, request: Request) -> Answer | Failure:
        """The reply to a request, in its turn. Raises nothing."""
        async with self.desk.turn(peer, request.method) as meter:
            return await meter.run(_work(self._handlers, peer, request))


class Server:
    """Answers the requests of one peer over a stream that has been greeted on."""

    def __init__(self, stream: ControlStream, peer: NodeId, service: "Service") -> None:
        self._stream = stream
        self._peer = peer
        self._service = service
        self._running: dict[int, trio.CancelScope] = {}
        self._slots = trio.Semaphore(REQUESTS_PER_PEER_MAX)
        self._heavy_slots = trio.Semaphore(HEAVY_REQUESTS_PER_PEER_MAX)
        self._send, self._receive = trio.open_memory_channel[Message](CONTROL_QUEUE_FRAMES)

    @property
    def is_busy(self) -> bool:
        """Whether requests are being worked on."""
        return bool(self._running)

    async def run(self) -> None:
        """Serve until the stream ends; handlers under way are cancelled then.

        Raises BrokenProtocol: the peer said something that is no request.
        """
        broken: BrokenProtocol | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, nursery.cancel_scope)
            try:
                await self._read(nursery)
            except BrokenProtocol as error:
                broken = error  # to be raised bare, not in the nursery's group
            except _STREAM_ENDED as error:
                log.debug("the control stream of %s ended: %r", short(self._peer), error)
            nursery.cancel_scope.cancel()
        if broken is not None:
            raise broken

    async def _read(self, nursery: trio.Nursery) -> None:
        reader = MessageReader()
        while data := await self._stream.receive_some():
            for message in reader.feed(data):
                await self._take(message, nursery)

    async def _take(self, message: Message, nursery: trio.Nursery) -> None:
        match message:
            case Request(number) if number in self._running:
                raise BrokenProtocol("two requests of one number")
            case Request(number):
                # What more this peer asks waits in its own socket.
                await self._slots.acquire()
                await self._service.desk.make_room(self._peer, _size(message))
                self._running[number] = trio.CancelScope()
                nursery.start_soon(self._handle, message)
            case Cancel(number):
                if number in self._running:
                    self._running[number].cancel()
            case Ping():
                await self._send.send(Pong())
            case Hello() | Answer() | Failure() | Pong():
                raise BrokenProtocol(f"{type(message).__name__} where only requests may be")

    async def _handle(self, request: Request) -> None:
        try:
            with self._running[request.number]:
                async with self._heavy_slots if is_heavy(request.method) else nullcontext():
                    await self._send.send(await self._service.answer(self._peer, request))
        finally:
            del self._running[request.number]
            self._service.desk.give_back(self._peer, _size(request))
            self._slots.release()

    async def _write(self, scope: trio.CancelScope) -> None:
        try:
            async for message in self._receive:
                await self._stream.send_all(message_bytes(message))
        except _STREAM_ENDED:
            scope.cancel()


def _size(request: Request) -> int:
    return REQUEST_OVERHEAD_BYTES + len(request.body)


async def _work(
    handlers: Mapping[str, RequestHandler], peer: NodeId, request: Request
) -> Answer | Failure:
    """Let the handler of its method work on a request. Raises nothing."""
    handler = handlers.get(request.method)
    if handler is None:
        return failure_of(request.number, Refused(f"{request.method!r} is not served here"))
    try:
        with trio.fail_after(HANDLER_SECONDS_MAX):
            body = await handler(peer, request.body)
        if len(body) <= REQUEST_BODY_BYTES_MAX:
            return Answer(request.number, body)
        log.error("%s: answer of %d bytes is too long", request.method, len(body))
        return failure_of(request.number, RuntimeError())
    except trio.TooSlowError:
        log.warning("%s of %s took over %g s", request.method, short(peer), HANDLER_SECONDS_MAX)
        return failure_of(request.number, Unreachable("the peer took too long; ask another"))
    except GridError as error:
        log.debug("%s of %s: %r", request.method, short(peer), error)
        return failure_of(request.number, error)
    except Exception as error:
        # A bug in one handler must not end the node: it is logged, and the asker learns no more.
        log.exception("%s of %s failed", request.method, short(peer))
        return failure_of(request.number, error)
