"""Frames of gossip that wait for peers to read: bounded for each and in all, never waited for."""

from collections import deque

import trio

from p2pgrid.limits.spreading import GOSSIP_OUTBOX_BYTES_MAX, GOSSIP_OUTBOXES_BYTES_MAX
from p2pgrid.model.ids import NodeId


class Outbox:
    """What waits for the writer of one peer."""

    def __init__(self) -> None:
        self.bytes_held = 0
        self._frames: deque[bytes] = deque()
        self._filled = trio.Event()

    def put(self, data: bytes) -> None:
        """Queue a frame."""
        self._frames.append(data)
        self.bytes_held += len(data)
        self._filled.set()

    async def take(self) -> bytes:
        """The next frame."""
        while not self._frames:
            self._filled = trio.Event()
            await self._filled.wait()
        data = self._frames.popleft()
        self.bytes_held -= len(data)
        return data


class Outboxes:
    """One for each peer, of equal shares: any number may read slowly on purpose."""

    def __init__(self) -> None:
        self.dropped_count = 0
        self._of: dict[NodeId, Outbox] = {}

    @property
    def bytes_held(self) -> int:
        """What waits for all peers."""
        return sum(outbox.bytes_held for outbox in self._of.values())

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._of

    def open(self, peer: NodeId) -> Outbox:
        """The outbox of a peer, from now on."""
        return self._of.setdefault(peer, Outbox())

    def close(self, peer: NodeId) -> None:
        """It is gone."""
        self._of.pop(peer, None)

    def put(self, peer: NodeId, data: bytes, *, is_announcement: bool) -> None:
        """Queue a frame, unless the peer reads too slowly: announcements are dropped first."""
        outbox = self._of.get(peer)
        if outbox is None:
            return
        share = min(GOSSIP_OUTBOX_BYTES_MAX, GOSSIP_OUTBOXES_BYTES_MAX // len(self._of))
        if outbox.bytes_held + len(data) > share // (2 if is_announcement else 1):
            self.dropped_count += 1
            return
        outbox.put(data)
