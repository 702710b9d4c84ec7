"""The bulk lane over TCP. What is said there: `bulk`."""

import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Protocol

import trio

from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits.net import (
    BULK_CONNECTIONS_MAX,
    BULK_CONNECTIONS_PER_PEER_MAX,
    BULK_GREETING_SECONDS_MAX,
    BULK_GREETINGS_PER_ADDRESS_MAX,
    BULK_IDLE_SECONDS_MAX,
    BULK_LINGER_SECONDS_MAX,
    DIAL_SECONDS_MAX,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.bulk import (
    KEY_BYTES,
    LENGTH_BYTES,
    SEALED_BYTES_MAX,
    TOKEN_BYTES,
    BulkOffer,
    Opener,
    Sealer,
    Tokens,
    client_ends,
    sealed_bytes,
    server_ends,
)
from p2pgrid.net.network import BulkHandler, BulkStream
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

_END = b""
_DRAIN_BYTES = 64 * KIB


class SocketBulkStream:
    """See `BulkStream`; one task may send while another receives."""

    def __init__(self, stream: trio.SocketStream, sealer: Sealer, opener: Opener) -> None:
        self._stream = stream
        self._socket = stream.socket
        self._sealer = sealer
        self._opener = opener
        self._buffer = memoryview(bytearray(LENGTH_BYTES + SEALED_BYTES_MAX))
        self._filled = 0
        self._is_cut = False
        self._is_at_end = False
        self._is_closed = False
        self._turn = trio.Lock()

    async def send(self, frame: bytes) -> None:
        """See `BulkStream.send`. Raises ValueError for a frame that is empty or too long."""
        if not frame:
            raise ValueError("an empty frame would say that this is the end")
        await self._send(frame)

    async def receive(self) -> bytes:
        """See `BulkStream.receive`."""
        if self._is_at_end:
            return _END
        await self._fill(LENGTH_BYTES)
        count = LENGTH_BYTES + sealed_bytes(self._buffer[:LENGTH_BYTES])
        await self._fill(count)
        self._filled = 0
        frame = self._opener.open(self._buffer[LENGTH_BYTES:count])
        self._is_at_end = frame == _END
        return frame

    async def aclose(self) -> None:
        """See `BulkStream.aclose`."""
        if self._is_closed:
            return
        self._is_closed = True
        with trio.CancelScope(deadline=trio.current_time() + BULK_LINGER_SECONDS_MAX, shield=True):
            try:
                await self._send(_END)
                await self._stream.send_eof()
                while await self._stream.receive_some(_DRAIN_BYTES):
                    pass  # closing with unread bytes would destroy what we sent last
            except (Unreachable, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                log.debug("a bulk connection was closed by both sides: %r", error)
        self.break_off()

    def break_off(self) -> None:
        """Close without saying that this is the end."""
        self._is_closed = True
        self._socket.close()

    async def _send(self, frame: bytes) -> None:
        async with self._turn:
            if self._is_cut:
                raise Unreachable("a frame was cut off; this bulk connection is of no more use")
            pieces = self._sealer.seal(frame)
            self._is_cut = True
            await self._write(*pieces)
            self._is_cut = False

    async def _write(self, length: bytes, sealed: bytes) -> None:
        rest = memoryview(sealed)
        try:
            with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                sent = await self._socket.sendmsg([length, rest])
            if sent < LENGTH_BYTES:
                rest, sent = memoryview(length[sent:] + sealed), LENGTH_BYTES
            rest = rest[sent - LENGTH_BYTES :]
            while rest:
                with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                    rest = rest[await self._socket.send(rest) :]
        except (OSError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise Unreachable(f"the bulk connection broke off: {error!r}") from error

    async def _fill(self, count: int) -> None:
        """Have `count` bytes in the buffer. Cancelled, it goes on where it was."""
        while self._filled < count:
            try:
                with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                    got = await self._socket.recv_into(self._buffer[self._filled : count])
            except (OSError, trio.ClosedResourceError, trio.TooSlowError) as error:
                raise Unreachable(f"the bulk connection broke off: {error!r}") from error
            if not got:
                raise Unreachable("the bulk connection broke off")
            self._filled += got


async def dial_bulk(hosts: Iterable[str], offer: BulkOffer) -> SocketBulkStream:
    """Connect to whoever made `offer`, at one of its IP addresses. Raises Unreachable."""
    for host in hosts:
        port = offer.port6 if ip_address(host.partition("%")[0]).version == 6 else offer.port4
        if not port:
            continue
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                stream = await trio.open_tcp_stream(host, port)
                await stream.send_all(offer.token)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            log.debug("bulk port %d of %s: %r", port, host, error)
        else:
            return SocketBulkStream(stream, *client_ends(offer.key))
    raise Unreachable("the peer's bulk port cannot be reached; a firewall may be in between")


class BulkServer:
    """Hands out tokens, and serves the connections that show them."""

    def __init__(self) -> None:
        self.handler: BulkHandler | None = None
        self._tokens = Tokens()
        self._ports = {4: 0, 6: 0}
        self._greeting: Counter[str] = Counter()
        self._served: Counter[NodeId] = Counter()

    @asynccontextmanager
    async def open(self, hosts: Iterable[tuple[str, int]]) -> AsyncGenerator[None]:
        """Listen during the block.

        Args:
            hosts: (IP address, preferred port) pairs. One port is used for all
                addresses of a family; any free one when the preferred is taken.
        """
        async with trio.open_nursery() as nursery:
            for family, (host, port) in _one_for_each_family(hosts).items():
                listeners = await _listen(host, port)
                self._ports[family] = listeners[0].socket.getsockname()[1]
                await nursery.start(trio.serve_listeners, self._greet, listeners)
            yield
            nursery.cancel_scope.cancel()

    def offer(self, peer: NodeId) -> BulkOffer:
        """A fresh token and key for `peer`."""
        token, key = os.urandom(TOKEN_BYTES), os.urandom(KEY_BYTES)
        self._tokens.issue(token, key, peer, trio.current_time())
        return BulkOffer(self._ports[4], self._ports[6], token, key)

    async def _greet(self, stream: trio.SocketStream) -> None:
        """Wait for the token; then serve."""
        try:
            origin = str(stream.socket.getpeername()[0])
        except OSError:
            return
        if self._greeting[origin] >= BULK_GREETINGS_PER_ADDRESS_MAX:
            return
        self._greeting[origin] += 1
        try:
            token = await _receive_token(stream)
        finally:
            self._greeting[origin] -= 1
            if not self._greeting[origin]:
                del self._greeting[origin]
        grant = self._tokens.redeem(token, trio.current_time())
        if grant is None:
            log.debug("a bulk connection from %s showed no good token", origin)
            return
        await self._serve(grant.peer, SocketBulkStream(stream, *server_ends(grant.key)))

    async def _serve(self, peer: NodeId, stream: SocketBulkStream) -> None:
        has_room = (
            self._served[peer] < BULK_CONNECTIONS_PER_PEER_MAX
            and self._served.total() < BULK_CONNECTIONS_MAX
        )
        if self.handler is None or not has_room:
            log.debug("no room for a bulk connection of %s", short(peer))
            return
        self._served[peer] += 1
        try:
            await serve_bulk_stream(self.handler, peer, stream)
        finally:
            self._served[peer] -= 1
            if not self._served[peer]:
                del self._served[peer]


class ServedStream(BulkStream, Protocol):
    """What a handler serves."""

    def break_off(self) -> None:
        """Close so that the other side does not take what it got for all."""
        ...


async def serve_bulk_stream(handler: BulkHandler, peer: NodeId, stream: ServedStream) -> None:
    """Let `handler` work; close after it, and let none of its failures out."""
    try:
        await handler(peer, stream)
        await stream.aclose()
    except GridError as error:
        log.debug("a bulk connection of %s ended: %s", short(peer), error)
    except Exception:
        # A bug in the handler must not end the node.
        log.exception("the bulk handler failed on %s", short(peer))
    finally:
        stream.break_off()


async def _receive_token(stream: trio.SocketStream) -> bytes:
    """Whatever came of a token in the time that it may take."""
    token = b""
    with trio.move_on_after(BULK_GREETING_SECONDS_MAX):
        try:
            while len(token) < TOKEN_BYTES:
                data = await stream.receive_some(TOKEN_BYTES - len(token))
                if not data:
                    break
                token += data
        except trio.BrokenResourceError:
            return b""
    return token


def _one_for_each_family(hosts: Iterable[tuple[str, int]]) -> dict[int, tuple[str, int]]:
    """A wildcard where a family has several addresses."""
    chosen: dict[int, tuple[str, int]] = {}
    for host, port in hosts:
        version = ip_address(host).version
        known = chosen.setdefault(version, (host, port))
        if known[0] != host:
            chosen[version] = ("::" if version == 6 else "0.0.0.0", known[1])  # noqa: S104 - as asked
    return chosen


async def _listen(host: str, port: int) -> Sequence[trio.SocketListener]:
    try:
        return await trio.open_tcp_listeners(port, host=host)
    except OSError as error:
        log.debug("bulk port %d is taken (%s); any other will do", port, error)
        return await trio.open_tcp_listeners(0, host=host)
