"""Bulk streams between two nodes in memory."""

from collections.abc import Callable

import trio

from p2pgrid.errors import Unreachable
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import NodeId

_FRAMES_UNDER_WAY = 4
"""What the sockets of a real connection would hold, about."""

_Frame = tuple[float, bytes]
"""When it arrives, and what."""


class MemoryBulkStream:
    """See `BulkStream`."""

    def __init__(
        self,
        owner: NodeId,
        group: set["MemoryBulkStream"],
        delay_seconds: Callable[[], float],
        ends: tuple[trio.MemorySendChannel[_Frame], trio.MemoryReceiveChannel[_Frame]],
    ) -> None:
        self.owner = owner
        self.other_has_ended = False
        self.other: MemoryBulkStream
        self._group = group
        self._delay_seconds = delay_seconds
        self._send, self._receive = ends
        self._is_closed = False

    async def send(self, frame: bytes) -> None:
        """See `BulkStream.send`."""
        if not frame or len(frame) > BULK_FRAME_BYTES:
            raise ValueError(f"frame of {len(frame)} bytes, not 1 to {BULK_FRAME_BYTES}")
        try:
            await self._send.send((trio.current_time() + self._delay_seconds(), frame))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise Unreachable("the bulk connection broke off") from error

    async def receive(self) -> bytes:
        """See `BulkStream.receive`."""
        try:
            arrives_at, frame = await self._receive.receive()
        except trio.EndOfChannel:
            if self.other_has_ended:
                return b""
            raise Unreachable("the bulk connection broke off") from None
        except trio.ClosedResourceError as error:
            raise Unreachable("the bulk connection broke off") from error
        await trio.sleep_until(arrives_at)
        return frame

    async def aclose(self) -> None:
        """See `BulkStream.aclose`."""
        if not self._is_closed:
            self.other.other_has_ended = True
            self.break_off()
        await trio.lowlevel.checkpoint()

    def break_off(self) -> None:
        """Close without an end."""
        self._is_closed = True
        self._group.discard(self)
        self._send.close()
        self._receive.close()


def open_pair(
    group: set[MemoryBulkStream],
    delay_seconds: Callable[[], float],
    client: NodeId,
    server: NodeId,
) -> tuple[MemoryBulkStream, MemoryBulkStream]:
    """Both ends of a new stream. They stay in `group` until they are closed."""
    to_server = trio.open_memory_channel[_Frame](_FRAMES_UNDER_WAY)
    to_client = trio.open_memory_channel[_Frame](_FRAMES_UNDER_WAY)
    ours = MemoryBulkStream(client, group, delay_seconds, (to_server[0], to_client[1]))
    theirs = MemoryBulkStream(server, group, delay_seconds, (to_client[0], to_server[1]))
    ours.other, theirs.other = theirs, ours
    group |= {ours, theirs}
    return ours, theirs
