"""How messages of a grid of arrays travel: as those of `wires.py`, many at once.

Messages that arrive twice are left out: the second means nothing to any rule.
"""

import numpy as np

from p2pgrid.limits.simulation import (
    HOP_SECONDS,
    JITTER_SIGMA,
    LOSS,
    MESSAGE_OVERHEAD_BYTES,
    UPLINK_BYTES_PER_SECOND,
)
from p2pgrid.simulation.array_grid import ArrayGrid
from p2pgrid.simulation.array_links import Column
from p2pgrid.simulation.array_order import by_number


class ArrayWires:
    """Carries messages, loses some, and counts their bytes."""

    def __init__(self, grid: ArrayGrid, random: np.random.Generator) -> None:
        self._grid, self._links, self._random = grid, grid.links, random
        self._first = np.zeros(grid.edges, np.int32)
        self.sent_bytes = 0.0

    def firsts(self, edge: Column) -> Column:
        """For each of these edges, the first place in `edge` where it is."""
        places = np.arange(len(edge) - 1, -1, -1)
        self._first[edge[::-1]] = places  # of several writes the last one remains
        return self._first[edge]

    def send(self, edge: Column, at: Column, overhead: float, each: Column | np.float32) -> Column:
        """When items arrive that are sent on edges; infinite: never.

        Args:
            edge: of each item; items on one edge are one message.
            at: when it is sent.
            overhead: bytes of a message without its items.
            each: bytes of each item, or of all.
        """
        order = by_number(self._links.source[edge])
        edge, at = edge[order], at[order]
        weights = np.broadcast_to(each, len(order))[order]
        leader = self.firsts(edge)
        is_message = leader == np.arange(len(edge))
        size = is_message * (overhead + MESSAGE_OVERHEAD_BYTES) + weights
        self.sent_bytes += float(size.sum())
        left_at = self._through_uplink(self._links.source[edge], at, size)
        messages = np.flatnonzero(is_message)
        arrives = left_at
        arrives[messages] += self._under_way(edge[messages])
        arrives[messages[self._random.random(len(messages), np.float32) < LOSS]] = np.inf
        told = np.empty(len(edge), np.float32)
        told[order] = arrives[leader]
        return told

    def deliver(self, edge: Column, at: Column, size: int) -> Column:
        """When messages arrive that are never lost, one on each edge."""
        self.sent_bytes += len(edge) * (size + MESSAGE_OVERHEAD_BYTES)
        return (at + self._under_way(edge)).astype(np.float32)

    def _under_way(self, edge: Column) -> Column:
        """Seconds from the sender's uplink until the receiver has handed it on."""
        normal = self._random.standard_normal(len(edge), np.float32)
        jitter = np.exp(normal * np.float32(JITTER_SIGMA))
        seconds: Column = self._links.latency[edge] * jitter + np.float32(HOP_SECONDS)
        return seconds

    def _through_uplink(self, source: Column, at: Column, size: Column) -> Column:
        """When messages have left their nodes; those of one node follow each other in order."""
        if not len(source):
            return at
        begins = np.flatnonzero(np.diff(source, prepend=-1))
        counts = np.diff(begins, append=len(source))
        seconds = np.cumsum(size / UPLINK_BYTES_PER_SECOND)
        before = np.repeat(seconds[begins] - size[begins] / UPLINK_BYTES_PER_SECOND, counts)
        begun_at = np.maximum(at, self._grid.free_at[source])
        left_at: Column = (begun_at + (seconds - before)).astype(np.float32)
        self._grid.free_at[source] = left_at
        return left_at
