"""The bulk lane over TCP. What is said there: `bulk`."""

import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Protocol, TypeVar

import trio

from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits.net import (
    BULK_CONNECTIONS_MAX,
    BULK_CONNECTIONS_PER_PEER_MAX,
    BULK_CONNECTIONS_PER_PREFIX_MAX,
    BULK_DIAL_SECONDS_MAX,
    BULK_GREETING_SECONDS_MAX,
    BULK_GREETINGS_PER_ADDRESS_MAX,
    BULK_IDLE_SECONDS_MAX,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.bulk import (
    KEY_BYTES,
    LENGTH_BYTES,
    TOKEN_BYTES,
    BulkOffer,
    Tokens,
    client_ends,
    server_ends,
)
from p2pgrid.net.bulk_frames import FramedBulkStream, Pipe
from p2pgrid.net.network import BulkHandler, BulkStream
from p2pgrid.net.prefix import prefix_of_host
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

_DRAIN_BYTES = 64 * KIB
_Counted = TypeVar("_Counted")


class SocketPipe:
    """A TCP connection as a `Pipe`."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._socket = stream.socket

    async def write(self, length: bytes, sealed: bytes) -> None:
        """See `Pipe.write`."""
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

    async def read_into(self, room: memoryview) -> int:
        """See `Pipe.read_into`."""
        try:
            with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                return await self._socket.recv_into(room)
        except (OSError, trio.ClosedResourceError, trio.TooSlowError) as error:
            raise Unreachable(f"the bulk connection broke off: {error!r}") from error

    async def drain(self) -> None:
        """See `Pipe.drain`."""
        try:
            await self._stream.send_eof()
            while await self._stream.receive_some(_DRAIN_BYTES):
                pass
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable(f"the bulk connection broke off: {error!r}") from error

    def break_off(self) -> None:
        """See `Pipe.break_off`."""
        self._socket.close()


async def dial_bulk(hosts: Iterable[str], offer: BulkOffer) -> FramedBulkStream:
    """Connect to whoever made `offer`, at one of its IP addresses. Raises Unreachable.

    We are connected to him there already, so an answer is never far: what takes longer
    than BULK_DIAL_SECONDS_MAX is held back by a firewall.
    """
    for host in hosts:
        port = offer.port6 if ip_address(host.partition("%")[0]).version == 6 else offer.port4
        if not port:
            continue
        try:
            with trio.fail_after(BULK_DIAL_SECONDS_MAX):
                stream = await trio.open_tcp_stream(host, port)
                await stream.send_all(offer.token)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            log.debug("bulk port %d of %s: %r", port, host, error)
        else:
            return FramedBulkStream(SocketPipe(stream), *client_ends(offer.key))
    raise Unreachable("the peer's bulk port cannot be reached; a firewall may be in between")


class BulkServer:
    """Hands out tokens, and serves the connections that show them."""

    def __init__(self) -> None:
        self.handler: BulkHandler | None = None
        self._tokens = Tokens()
        self._ports = {4: 0, 6: 0}
        self._greeting: Counter[str] = Counter()
        self._served: Counter[NodeId] = Counter()
        self._served_of_prefix: Counter[str] = Counter()

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
            _take_off(self._greeting, origin)
        await self.serve(token, SocketPipe(stream), origin)

    async def serve(
        self, token: bytes, pipe: Pipe, origin: str, peer: NodeId | None = None
    ) -> None:
        """Serve whoever shows a good token.

        Args:
            token: what it showed.
            pipe: on which it did.
            origin: where it came from, for the log.
            peer: who it is, where that is known without a token; one of another is not good then.
        """
        grant = self._tokens.redeem(token, trio.current_time())
        if grant is None or peer not in {None, grant.peer}:
            log.debug("a bulk connection from %s showed no good token", origin)
            return
        prefix = prefix_of_host(origin)
        if self.handler is None or not self._has_room(grant.peer, prefix):
            log.debug("no room for a bulk connection of %s", short(grant.peer))
            return
        self._served[grant.peer] += 1
        self._served_of_prefix[prefix] += 1
        try:
            stream = FramedBulkStream(pipe, *server_ends(grant.key))
            await serve_bulk_stream(self.handler, grant.peer, stream)
        finally:
            _take_off(self._served, grant.peer)
            _take_off(self._served_of_prefix, prefix)

    def _has_room(self, peer: NodeId, prefix: str) -> bool:
        return (
            self._served[peer] < BULK_CONNECTIONS_PER_PEER_MAX
            and self._served_of_prefix[prefix] < BULK_CONNECTIONS_PER_PREFIX_MAX
            and self._served.total() < BULK_CONNECTIONS_MAX
        )


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


def _take_off(counts: Counter[_Counted], one: _Counted) -> None:
    counts[one] -= 1
    if not counts[one]:
        del counts[one]
