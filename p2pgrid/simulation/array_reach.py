"""Who holds which record of a grid of arrays, and how long that took."""

import numpy as np

from p2pgrid.limits.simulation import ARRAY_REACH_SECONDS_MAX
from p2pgrid.simulation.array_grid import ArrayGrid
from p2pgrid.simulation.array_links import Column

_BINS_PER_SECOND = 1000


class Reach:
    """Counts deliveries by how long they took, to the millisecond."""

    def __init__(self, grid: ArrayGrid) -> None:
        self._grid = grid
        self.bins = np.zeros(ARRAY_REACH_SECONDS_MAX * _BINS_PER_SECOND, np.int64)
        self._longest = 0.0

    @property
    def deliveries(self) -> int:
        """To nodes other than the author."""
        return int(self.bins.sum())

    def hold(self, slot: Column, node: Column, at: Column) -> None:
        """Records are at nodes, for the first time; of one record and node once."""
        grid, records = self._grid, self._grid.records
        if not len(slot):
            return
        grid.arrived += np.bincount(node, minlength=grid.nodes).astype(np.int32)
        counts = np.bincount(slot, minlength=records.slots)
        records.holders += counts
        is_complete = (counts > 0) & (records.holders == grid.nodes)
        records.complete_at[is_complete] = at.max()
        delay = at - records.published_at[slot]
        delay = delay[delay > 0]
        if len(delay):
            places = np.minimum((delay * _BINS_PER_SECOND).astype(np.int64), len(self.bins) - 1)
            self.bins += np.bincount(places, minlength=len(self.bins))
            self._longest = max(self._longest, float(delay.max()))

    def percentiles(self) -> tuple[float, float, float]:
        """Of half, of 99 % and of all deliveries."""
        sums = np.cumsum(self.bins)
        if not sums[-1]:
            return 0.0, 0.0, 0.0
        half, most = (
            float(np.searchsorted(sums, share * sums[-1]) + 1) / _BINS_PER_SECOND
            for share in (0.5, 0.99)
        )
        return half, most, self._longest

    def curve(self, wanted: int, points: int = 200) -> tuple[tuple[float, float], ...]:
        """The share of `wanted` deliveries made within each of so many times."""
        sums = np.cumsum(self.bins)
        if not sums[-1]:
            return ()
        steps = np.unique(np.linspace(1, sums[-1], points).astype(np.int64))
        seconds = (np.searchsorted(sums, steps) + 1) / _BINS_PER_SECOND
        return tuple(zip(seconds.tolist(), (steps / wanted).tolist(), strict=True))
