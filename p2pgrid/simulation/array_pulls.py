"""Pulls from random peers in a grid of arrays: they bring what gossip lost.

When and from whom is as `crdt/catch_up.py` does it with the explorer's rhythm, and bytes are
those of `crdt/reconcile.py` as long as news are enough. The comparisons of whole sets every
15 minutes are left out: runs of arrays are shorter.
"""

import numpy as np

from p2pgrid.limits.crdt import ARRIVALS_MAX
from p2pgrid.limits.explorer import (
    PULL_PAUSE_SECONDS_MAX,
    PULL_PAUSE_SECONDS_MIN,
    PULL_PAUSES_SECONDS,
)
from p2pgrid.limits.simulation import LOSS
from p2pgrid.simulation.array_grid import ArrayGrid
from p2pgrid.simulation.array_links import Column
from p2pgrid.simulation.array_reach import Reach
from p2pgrid.simulation.array_records import HELD
from p2pgrid.simulation.array_sizes import Sizes
from p2pgrid.simulation.array_timetable import Timetable

_WAYS = 4
"""Messages until records are here: a comparison and its answer, a question and its answer."""


class ArrayPulls:
    """Every node's pulls."""

    def __init__(
        self, grid: ArrayGrid, sizes: Sizes, reach: Reach, random: np.random.Generator
    ) -> None:
        self._grid, self._sizes, self._reach, self._random = grid, sizes, reach, random
        self._begins = Timetable(2)
        """(node, which of its pauses has ended)."""
        self._brings = Timetable(2)
        """(slot, node)."""
        self.sent_bytes = grid.edges * sizes.pull(0, 0)
        """At first everybody compares with all peers: sets are equal."""
        nodes = np.arange(grid.nodes)
        at = np.full(grid.nodes, PULL_PAUSES_SECONDS[0], np.float32)
        at += random.random(grid.nodes, np.float32)  # nodes did not start in the same moment
        self._begins.put(0, at, nodes, np.zeros(grid.nodes, np.int64))

    def step(self, window: int) -> None:
        """Do everything that happens in a window."""
        brought, begun = self._brings.take(window), self._begins.take(window)
        if len(brought[0]):
            self._bring(*brought)
        if len(begun[0]):
            self._begin(window, *begun)

    def _begin(self, window: int, at: Column, node: Column, number: Column) -> None:
        grid, links, random = self._grid, self._grid.links, self._random
        records = grid.records
        edge = links.first[node] + (random.random(len(node)) * links.degree[node]).astype(np.int64)
        peer = links.target[edge]
        live = records.live
        theirs, ours = (
            records.state[records.at_node(live[:, np.newaxis], one)] & HELD != 0
            for one in (peer, node)
        )
        are_equal = np.all(theirs == ours, axis=0)
        lacks = theirs & ~ours
        lacks[:, random.random(len(node)) < 1 - (1 - LOSS) ** _WAYS] = False
        place, asker = np.nonzero(lacks)
        done_at = at + _WAYS * links.latency[edge]
        self._brings.put(window, done_at[asker], live[place], node[asker])
        lacking = np.bincount(asker, minlength=len(node))
        news = np.minimum(grid.arrived[peer] - grid.cursor[edge], ARRIVALS_MAX)
        news[are_equal] = 0  # equal roots say it all, and the cursor moves for nothing
        grid.cursor[edge] = grid.arrived[peer]
        for named, missed in zip(news.tolist(), lacking.tolist(), strict=True):
            self.sent_bytes += self._sizes.pull(named, missed)
        next_at = np.maximum(at + self._pauses(number + 1), done_at + self._pauses(number + 2))
        self._begins.put(window, next_at, node, number + 2)

    def _pauses(self, number: Column) -> Column:
        later = self._random.uniform(PULL_PAUSE_SECONDS_MIN, PULL_PAUSE_SECONDS_MAX, len(number))
        first = np.array(PULL_PAUSES_SECONDS)
        early = first[np.minimum(number, len(first) - 1)]
        return np.where(number < len(first), early, later).astype(np.float32)

    def _bring(self, at: Column, slot: Column, node: Column) -> None:
        records = self._grid.records
        pair = records.at_node(slot, node)
        is_new = records.state[pair] & HELD == 0
        records.state[pair[is_new]] |= HELD
        self._reach.hold(slot[is_new], node[is_new], at[is_new])
