"""Frames of the bulk lane on any stream of bytes. What is said there: `bulk`."""

import logging
from typing import Protocol

import trio

from p2pgrid.errors import Unreachable
from p2pgrid.limits.net import BULK_LINGER_SECONDS_MAX
from p2pgrid.net.bulk import LENGTH_BYTES, SEALED_BYTES_MAX, Opener, Sealer, sealed_bytes

log = logging.getLogger(__name__)

_END = b""


class Pipe(Protocol):
    """A stream of bytes. Everything raises Unreachable when it breaks off, or nothing moves."""

    async def write(self, length: bytes, sealed: bytes) -> None:
        """Write both, one after the other."""
        ...

    async def read_into(self, room: memoryview) -> int:
        """Read what is there, at least a byte; 0 at the end. Cancelled, it loses nothing."""
        ...

    async def drain(self) -> None:
        """Say that nothing more is written, and wait until the other side has closed."""
        ...

    def break_off(self) -> None:
        """Close at once; fine when it is closed."""
        ...


class FramedBulkStream:
    """See `BulkStream`; one task may send while another receives."""

    def __init__(self, pipe: Pipe, sealer: Sealer, opener: Opener) -> None:
        self._pipe = pipe
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
                await self._pipe.drain()  # closing with unread bytes would destroy what we sent
            except Unreachable as error:
                log.debug("a bulk connection was closed by both sides: %r", error)
        self.break_off()

    def break_off(self) -> None:
        """Close without saying that this is the end."""
        self._is_closed = True
        self._pipe.break_off()

    async def _send(self, frame: bytes) -> None:
        async with self._turn:
            if self._is_cut:
                raise Unreachable("a frame was cut off; this bulk connection is of no more use")
            pieces = self._sealer.seal(frame)
            self._is_cut = True
            await self._pipe.write(*pieces)
            self._is_cut = False

    async def _fill(self, count: int) -> None:
        """Have `count` bytes in the buffer. Cancelled, it goes on where it was."""
        while self._filled < count:
            got = await self._pipe.read_into(self._buffer[self._filled : count])
            if not got:
                raise Unreachable("the bulk connection broke off")
            self._filled += got
