"""A connection in memory: two ends, and what is under way between them."""

from collections import defaultdict, deque
from typing import Generic, Protocol, TypeVar

import trio

from p2pgrid.model.ids import NodeId
from p2pgrid.net.links import NEVER, Link
from p2pgrid.net.memory_bulk import MemoryBulkStream
from p2pgrid.net.prefix import prefix_of
from p2pgrid.net.spread_messages import SpreadMessage


class LinkEnd(Protocol):
    """A node, as its connections see it."""

    transport: str

    @property
    def id(self) -> NodeId:
        """Who it is."""
        ...

    def on_down(self, peer: NodeId) -> None:
        """A connection is gone."""
        ...


_End = TypeVar("_End", bound=LinkEnd)


class MemoryLink(Generic[_End]):
    """A connection between two nodes."""

    def __init__(self, left: _End, right: _End, now: float) -> None:
        self.left = left
        """Who dialled."""
        self.right = right
        self.since = now
        self.useful_at: dict[NodeId, float] = {}
        """For whom, and when last."""
        self.gossip: defaultdict[NodeId, deque[SpreadMessage]] = defaultdict(deque)
        """What each end said and the other has not heard yet, in order, as on a stream."""
        self.is_open = True
        self.scopes: set[trio.CancelScope] = set()
        """What is under way on it, and ends with it."""
        self.streams: set[MemoryBulkStream] = set()

    def other(self, node: _End) -> _End:
        """The far end."""
        return self.right if node is self.left else self.left

    def seen_by(self, node: _End, faults: float) -> Link:
        """What `Network.links` says of it at one end."""
        far = self.other(node)
        return Link(
            peer=far.id,
            host=far.transport,
            prefix=prefix_of(far.transport),
            is_outbound=node is self.left,
            since=self.since,
            useful_at=self.useful_at.get(node.id, NEVER),
            is_busy=bool(self.scopes),
            faults=faults,
        )

    def break_off(self) -> None:
        """End it and everything on it."""
        if not self.is_open:
            return
        self.is_open = False
        for scope in self.scopes:
            scope.cancel()
        for stream in list(self.streams):
            stream.break_off()
        self.left.on_down(self.right.id)
        self.right.on_down(self.left.id)
