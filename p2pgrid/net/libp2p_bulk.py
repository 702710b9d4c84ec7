"""The bulk lane on streams of libp2p, for peers whose bulk port cannot be reached.

    client                                     server
    stream of BULK_PROTOCOL: token, 32 bytes ──▶
    frame, frame, …, end                     ◀─▶    frame, frame, …, end

The same tokens and frames as over TCP. It is slow, 0.1 GB/s at best and ten times the CPU,
and shares the connection with requests, but it goes wherever libp2p goes. A reader that pauses
for 5 s loses the stream: that is libp2p's rule.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from p2pgrid.errors import Unreachable
from p2pgrid.limits.net import (
    BULK_CONNECTIONS_PER_PEER_MAX,
    BULK_GREETING_SECONDS_MAX,
    BULK_IDLE_SECONDS_MAX,
    DIAL_SECONDS_MAX,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.address import node_of_peer_id, peer_id_bytes
from p2pgrid.net.bulk import TOKEN_BYTES, BulkOffer, client_ends
from p2pgrid.net.bulk_frames import FramedBulkStream
from p2pgrid.net.bulk_socket import BulkServer
from p2pgrid.net.libp2p_host import remote_host
from p2pgrid.net.libp2p_patches import reset_quietly
from p2pgrid.net.libp2p_streams import Libp2pStream
from p2pgrid.net.network import BULK_PROTOCOL
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

_PROTOCOL = TProtocol(BULK_PROTOCOL)
_PIECE_BYTES = 64 * KIB
"""Written at once: requests of the same connection come between two of them."""


class StreamPipe:
    """A stream of libp2p as a `Pipe`."""

    def __init__(self, stream: Libp2pStream, reset: Callable[[Libp2pStream], None]) -> None:
        """Read and write `stream`; `reset` gives it up, without waiting for that."""
        self._stream = stream
        self._reset = reset
        self._left = memoryview(b"")
        self._is_closed = False

    async def write(self, length: bytes, sealed: bytes) -> None:
        """See `Pipe.write`."""
        rest = memoryview(length + sealed)
        try:
            while rest:
                with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                    await self._stream.send_all(bytes(rest[:_PIECE_BYTES]))
                rest = rest[_PIECE_BYTES:]
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            raise Unreachable(f"the bulk stream broke off: {error!r}") from error

    async def read_into(self, room: memoryview) -> int:
        """See `Pipe.read_into`."""
        if self._is_closed:
            raise Unreachable("the bulk stream is closed")
        if not self._left:
            try:
                with trio.fail_after(BULK_IDLE_SECONDS_MAX):
                    self._left = memoryview(await self._stream.receive_some())
            except (trio.BrokenResourceError, trio.TooSlowError) as error:
                raise Unreachable(f"the bulk stream broke off: {error!r}") from error
        count = min(len(room), len(self._left))
        room[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    async def drain(self) -> None:
        """See `Pipe.drain`."""
        try:
            await self._stream.send_eof()
            while await self._stream.receive_some():
                pass
        except trio.BrokenResourceError as error:
            raise Unreachable(f"the bulk stream broke off: {error!r}") from error

    def break_off(self) -> None:
        """See `Pipe.break_off`."""
        if not self._is_closed:
            self._is_closed = True
            self._reset(self._stream)


class StreamLane:
    """Opens and serves such streams."""

    def __init__(self, host: IHost, server: BulkServer) -> None:
        self._host = host
        self._server = server
        self._greeting: Counter[NodeId] = Counter()
        self._nursery: trio.Nursery | None = None

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Serve during the block."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._host.set_stream_handler(_PROTOCOL, self._serve)
            try:
                yield
            finally:
                self._nursery = None
                nursery.cancel_scope.cancel()

    async def dial(self, peer: NodeId, offer: BulkOffer) -> FramedBulkStream:
        """A stream to whoever made `offer`, over the connection to him. Raises Unreachable."""
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                opened = await self._host.new_stream(ID(peer_id_bytes(peer)), [_PROTOCOL])
        except Exception as error:
            # libp2p raises what its layers happen to raise.
            raise Unreachable(f"{short(peer)} takes no bulk stream: {error!r}") from error
        stream = Libp2pStream(opened)
        try:
            await stream.send_all(offer.token)
        except trio.BrokenResourceError as error:
            self._reset(stream)
            raise Unreachable(f"the bulk stream to {short(peer)} broke off: {error!r}") from error
        return FramedBulkStream(StreamPipe(stream, self._reset), *client_ends(offer.key))

    def _reset(self, stream: Libp2pStream) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(stream.aclose)

    async def _serve(self, net_stream: INetStream) -> None:
        """The handler of inbound streams. Without a good token nobody gets further."""
        peer = node_of_peer_id(net_stream.muxed_conn.peer_id.to_bytes())
        if peer is None or self._greeting[peer] >= BULK_CONNECTIONS_PER_PEER_MAX:
            await reset_quietly(net_stream)
            return
        stream = Libp2pStream(net_stream)
        try:
            token = await self._receive_token(peer, stream)
            pipe = StreamPipe(stream, self._reset)
            await self._server.serve(token, pipe, remote_host(self._host, peer), peer)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            log.debug("a bulk stream of %s showed no token: %r", short(peer), error)
        finally:
            await stream.aclose()

    async def _receive_token(self, peer: NodeId, stream: Libp2pStream) -> bytes:
        """Its bytes and no more: frames may follow at once."""
        self._greeting[peer] += 1
        try:
            with trio.fail_after(BULK_GREETING_SECONDS_MAX):
                return await stream.receive_exactly(TOKEN_BYTES)
        finally:
            self._greeting[peer] -= 1
            if not self._greeting[peer]:
                del self._greeting[peer]
