"""What of libp2p 0.8.1 we replace before it may face a network, and why each part.

As shipped, one packet of a stranger ends the process (B2 to B5), 250 closed
connections make it deaf (B1), and a peer that ignores flow control fills the
memory (B6). Each replacement below has an attack in `tests/net/test_attacks.py`
that the stock library does not survive. They reach into private names, so the
version is pinned and every name is checked first.
"""

import functools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any
from weakref import WeakKeyDictionary

import libp2p.security.noise.io as noise
import trio
from libp2p.abc import IMuxedStream, INetStream
from libp2p.host import basic_host
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.io.trio import TrioTCPStream
from libp2p.network import swarm
from libp2p.network.connection import swarm_connection
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux import yamux
from libp2p.transport.tcp import tcp

from p2pgrid.errors import Unusable
from p2pgrid.limits.net import (
    BUFFERED_BYTES_MAX,
    CONNECTION_BUFFERED_BYTES_MAX,
    FRAME_WRITE_SECONDS_MAX,
    STREAMS_BURST,
    STREAMS_PER_CONNECTION_MAX,
    STREAMS_PER_SECOND,
    WINDOW_BYTES_MAX,
    WINDOW_OVERRUN_BYTES_MAX,
)
from p2pgrid.net.libp2p_door import handle_inbound_connection
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.tcp_info import measured_us
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

LIBP2P_VERSION = "0.8.1"
_READ_BYTES = 256 * KIB


# --- streams --------------------------------------------------------------------------------------


def _guarded(
    original: Callable[[basic_host.BasicHost, INetStream], Awaitable[None]],
) -> Callable[[basic_host.BasicHost, INetStream], Awaitable[None]]:
    """B2: an exception of a stream handler cancelled the connection, the swarm and the host."""

    async def guarded(self: basic_host.BasicHost, net_stream: INetStream) -> None:
        try:
            await original(self, net_stream)
        except Exception as error:  # noqa: BLE001 - see above
            log.debug("a handler of %s failed: %r", net_stream.get_protocol(), error)
            await reset_quietly(net_stream)

    return guarded


def _limited(
    original: Callable[[swarm_connection.SwarmConn, IMuxedStream], Awaitable[None]],
) -> Callable[[swarm_connection.SwarmConn, IMuxedStream], Awaitable[None]]:
    """Without a limit for each connection, one peer took all 2,048 streams of a host.

    Those that come and go cost 3 ms of CPU each to agree on a protocol, so there is a pace too.
    """
    live: Counter[int] = Counter()
    paces: WeakKeyDictionary[swarm_connection.SwarmConn, TokenBucket] = WeakKeyDictionary()

    async def limited(self: swarm_connection.SwarmConn, muxed_stream: IMuxedStream) -> None:
        now = trio.current_time()
        pace = paces.setdefault(
            self, TokenBucket(per_second=STREAMS_PER_SECOND, burst=STREAMS_BURST, now=now)
        )
        if live[id(self)] >= STREAMS_PER_CONNECTION_MAX or not pace.take(now):
            await reset_quietly(muxed_stream)
            return
        live[id(self)] += 1
        try:
            await original(self, muxed_stream)
        finally:
            live[id(self)] -= 1
            if not live[id(self)]:
                del live[id(self)]

    return limited


async def reset_quietly(stream: Any) -> None:  # noqa: ANN401 - both kinds of libp2p streams
    """Tell the peer that a stream is over, if it still listens."""
    with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
        try:
            await stream.reset()
        except Exception as error:  # noqa: BLE001 - it is gone already, then
            log.debug("a stream could not be reset: %r", error)


# --- connections ----------------------------------------------------------------------------------


def _refuse_second_listener(sock: trio.socket.SocketType) -> None:
    """Instead of SO_REUSEPORT, with which a second node on a port got half the connections."""
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
    if sock.family == trio.socket.AF_INET6:  # so that 0.0.0.0 may have the same port
        sock.setsockopt(trio.socket.IPPROTO_IPV6, trio.socket.IPV6_V6ONLY, 1)


class BufferedTcpStream(TrioTCPStream):
    """Reads whole packets into a buffer instead of 2 and then n bytes.

    `read(n)` waits for all n bytes. libp2p's exact readers give up after 101
    pieces, which a slow link reaches within one frame.
    """

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__(stream)
        self._buffer = bytearray()
        self._start = 0

    async def read(self, n: int | None = None) -> bytes:
        """`n` bytes, fewer only at the end of the stream; whatever is there for None."""
        wanted = 1 if n is None else n
        async with self.read_lock:
            while len(self._buffer) - self._start < wanted:
                data = await self._receive()
                if not data:
                    break
                self._buffer = self._buffer[self._start :] + data
                self._start = 0
            start = self._start
            end = len(self._buffer) if n is None else min(len(self._buffer), start + n)
            self._start = end
            return bytes(memoryview(self._buffer)[start:end])

    async def _receive(self) -> bytes:
        try:
            return await self.stream.receive_some(_READ_BYTES)
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(f"reset by the peer: {error}", transport="tcp") from error
        except trio.ClosedResourceError:
            return b""

    def get_remote_address(self) -> tuple[str, int] | None:
        """Host and port; libp2p gave None for IPv6, whose socket names have four parts."""
        if self._cached_remote_address is None:
            try:
                host, port = self.stream.socket.getpeername()[:2]
            except OSError:
                return None
            self._cached_remote_address = (host, port)
        return self._cached_remote_address

    def round_trip_us(self) -> int | None:
        """Microseconds to the far end and back; None when nobody knows."""
        return measured_us(self.stream.socket)


# --- Yamux ----------------------------------------------------------------------------------------


class WindowOverrun(trio.TooSlowError):
    """A peer ignores flow control. `TooSlowError` is what makes Yamux close the connection."""


class Buffered:
    """Bytes that arrived on any connection of this process and nobody has read yet."""

    def __init__(self) -> None:
        self._noted: WeakKeyDictionary[yamux.Yamux, int] = WeakKeyDictionary()

    def allows(self, connection: yamux.Yamux) -> bool:
        """Whether a connection on which bytes have just arrived may be left open.

        When all together are too many, one that has more than its share goes.
        """
        own = self._note(connection)
        if sum(self._noted.values()) > BUFFERED_BYTES_MAX:  # of which much may have been read
            total = sum(map(self._note, list(self._noted)))
            if total > BUFFERED_BYTES_MAX and own >= total / len(self._noted):
                return False
        return own <= CONNECTION_BUFFERED_BYTES_MAX

    def _note(self, connection: yamux.Yamux) -> int:
        count = sum(map(len, connection.stream_buffers.values()))
        if count:
            self._noted[connection] = count
        else:
            self._noted.pop(connection, None)
        return count


buffered = Buffered()


class StrictYamuxStream(yamux.YamuxStream):
    """Holds the peer to its window (B6), and asks for more only when half of it is used."""

    _overrun_bytes = 0
    _recv_window = 0

    @property
    def recv_window(self) -> int:
        """Bytes that the peer may still send, as libp2p counts them."""
        return self._recv_window

    @recv_window.setter
    def recv_window(self, window: int) -> None:
        if window < self._recv_window:
            self._check(window)
        self._recv_window = window

    def _check(self, window: int) -> None:
        self._overrun_bytes += max(0, -window)  # libp2p sets a negative window to 0 right after
        if self._overrun_bytes > WINDOW_OVERRUN_BYTES_MAX:
            raise WindowOverrun(f"{self.conn.peer_id} overran a window")
        if not buffered.allows(self.conn):
            raise WindowOverrun(f"{self.conn.peer_id} sends faster than anyone reads")

    async def reset(self) -> None:
        """Forget what nobody will read: libp2p kept streams with such bytes for a minute."""
        await super().reset()
        async with self.conn.streams_lock:
            self.conn.stream_buffers.get(self.stream_id, bytearray()).clear()
            self.conn._finalize_stream_locked(self, fully_closed=True)  # noqa: SLF001 - libp2p's

    async def _auto_tune_and_send_window_update(self, *, bytes_read: int = 0) -> None:
        """Measured: a third of the CPU of a request went into an update after every read."""
        self._pending_recv_release += bytes_read
        if self._pending_recv_release < self.target_recv_window // 2:
            return
        increment = self._pending_recv_release
        self._pending_recv_release = 0
        if self.target_recv_window < WINDOW_BYTES_MAX:
            increment += self.target_recv_window
            self.target_recv_window *= 2
        self.recv_window += increment
        await self.send_window_update(increment)


class PatientYamux(yamux.Yamux):
    """Writes whole frames or hangs up.

    A cancelled write would leave half a Noise message behind and the next one
    would not decrypt; a peer that takes nothing would block every writer for ever.
    """

    async def _write_frame(self, data: bytes) -> None:
        async with self._write_lock:
            with trio.CancelScope(
                deadline=trio.current_time() + FRAME_WRITE_SECONDS_MAX, shield=True
            ) as scope:
                await self.secured_conn.write(data)
            if scope.cancelled_caught:
                await self.secured_conn.close()
                raise ConnectionClosedError("the peer takes no more bytes", transport="tcp")
        await trio.lowlevel.checkpoint()


# --- what replaces what ---------------------------------------------------------------------------

_REPLACEMENTS: tuple[tuple[Any, str, Callable[[Any], Any]], ...] = (
    (basic_host.BasicHost, "_swarm_stream_handler", _guarded),
    (swarm_connection.SwarmConn, "_handle_muxed_stream", _limited),
    (swarm.Swarm, "_do_handle_inbound_connection", lambda _: handle_inbound_connection),
    (swarm, "_HAPPY_EYEBALLS_DELAY", lambda _: 0.0),  # B8: every connect took 250 ms
    (muxer_multistream, "Yamux", lambda _: PatientYamux),  # it takes this one, whatever is offered
    (yamux, "YamuxStream", lambda _: StrictYamuxStream),
    (yamux, "MAX_MESSAGE_SIZE", lambda _: noise.MAX_PLAINTEXT_LENGTH),  # one frame, one message
    (tcp, "TrioTCPStream", lambda _: BufferedTcpStream),
    (tcp, "_set_reuse_flags", lambda _: _refuse_second_listener),
)
"""Owner, name, and what makes the replacement of the original."""

_OVERRIDDEN = (
    (yamux.Yamux, "_write_frame"),
    (yamux.YamuxStream, "_auto_tune_and_send_window_update"),
    (yamux.YamuxStream, "reset"),
    (yamux.Yamux, "_finalize_stream_locked"),
    (swarm.Swarm, "upgrade_inbound_raw_conn"),
)
"""Names that the classes above rely on."""


@functools.cache
def apply_patches() -> None:
    """Replace the parts named above, once. Call before any host is made.

    Raises:
        Unusable: another version of libp2p is installed.
    """
    check_version(version("libp2p"))
    # It logs every peer that is away or leaves as an error, which no operator can act on.
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    for owner, name, replace in _REPLACEMENTS:
        setattr(owner, name, replace(getattr(owner, name)))


def check_version(installed: str) -> None:
    """Raise Unusable unless `installed` is the libp2p whose private parts we know."""
    names = [(owner, name) for owner, name, _ in _REPLACEMENTS] + list(_OVERRIDDEN)
    missing = [name for owner, name in names if not hasattr(owner, name)]
    if installed != LIBP2P_VERSION or missing:
        raise Unusable(
            f"libp2p {installed} is installed, but p2pgrid replaces private parts of "
            f"{LIBP2P_VERSION}{' and misses ' if missing else ''}{', '.join(missing)}; "
            f"install libp2p=={LIBP2P_VERSION}"
        )
