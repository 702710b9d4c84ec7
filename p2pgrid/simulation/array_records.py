"""What a grid of arrays remembers of each record under way, at each node and on each link."""

from heapq import heappop, heappush

import numpy as np

from p2pgrid.limits.simulation import ARRAY_SLOTS_MIN
from p2pgrid.simulation.array_links import Column

SEEN = np.uint8(1)
"""Of a record at a node: its router has it. It may be asked for it from then on."""
HELD = np.uint8(2)
"""The node has it, from its router or by a pull."""
TOLD = np.uint8(4)
"""The node has announced it: what it hears of it changes nothing any more."""
WANTED = np.uint8(8)
"""It was announced to the node and has not come yet."""
ASKED = np.uint8(16)
"""The node has asked somebody for it."""

KNOWS = np.uint8(1)
"""Of a record on an edge: its sender knows that its receiver has the record, or will."""
OFFERED = np.uint8(2)
"""The receiver announced it to the sender."""
REQUESTED = np.uint8(4)
"""The sender asked the receiver for it."""
GAVE = np.uint8(8)
"""The receiver pushed it to the sender."""


class ArrayRecords:
    """A record under way has a slot; what is of one record is one row.

    Rows lie one after the other in flat arrays: `slot * nodes + node`, `slot * edges + edge`.
    """

    def __init__(self, nodes: int, edges: int) -> None:
        self._nodes, self._edges = np.int64(nodes), np.int64(edges)
        self.state = np.zeros(0, np.uint8)
        self.knowledge = np.zeros(0, np.uint8)
        self.first_offer = np.zeros(0, np.int32)
        """Of a record at a node: the edge to the peer that announced it first."""
        self.published_at = np.zeros(0, np.float32)
        self.complete_at = np.zeros(0, np.float32)
        """When everybody had it; infinite before."""
        self.holders = np.zeros(0, np.int64)
        self.size = np.zeros(0, np.float32)
        """In bytes."""
        self._free: list[int] = []
        self._add(ARRAY_SLOTS_MIN)

    def at_node(self, slot: Column, node: Column) -> Column:
        """Where in `state` and `first_offer` records are at nodes."""
        return slot * self._nodes + node

    def on_edge(self, slot: Column, edge: Column) -> Column:
        """Where in `knowledge` records are on edges."""
        return slot * self._edges + edge

    @property
    def slots(self) -> int:
        """How many records there is place for."""
        return len(self.holders)

    @property
    def live(self) -> Column:
        """The slots of all records under way."""
        is_live = np.ones(self.slots, bool)
        is_live[self._free] = False
        return np.flatnonzero(is_live)

    def open(self, at: float, size: int) -> int:
        """A slot for a record of so many bytes that is published now."""
        if not self._free:
            self._add(self.slots)
        slot = heappop(self._free)
        self.state[slot * self._nodes : (slot + 1) * self._nodes] = 0
        self.knowledge[slot * self._edges : (slot + 1) * self._edges] = 0
        self.published_at[slot] = at
        self.size[slot] = size
        self.complete_at[slot] = np.inf
        self.holders[slot] = 0
        return slot

    def close(self, before: float) -> None:
        """Forget records that everybody had by `before`: nothing of them is under way any more."""
        live = self.live
        for slot in live[self.complete_at[live] < before].tolist():
            heappush(self._free, slot)

    def _add(self, count: int) -> None:
        start = self.slots
        self.state = _longer(self.state, count * self._nodes)
        self.knowledge = _longer(self.knowledge, count * self._edges)
        self.first_offer = _longer(self.first_offer, count * self._nodes)
        self.published_at = _longer(self.published_at, count)
        self.complete_at = _longer(self.complete_at, count)
        self.holders = _longer(self.holders, count)
        self.size = _longer(self.size, count)
        for slot in range(start, start + count):
            heappush(self._free, slot)


def _longer(column: Column, count: int | np.int64) -> Column:
    """With so many zeros more, which take no memory before they are used."""
    longer = np.zeros(len(column) + count, column.dtype)
    longer[: len(column)] = column
    return longer
