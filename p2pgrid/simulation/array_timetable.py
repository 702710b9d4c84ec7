"""Events of a grid of arrays, by the short window of time in which they happen.

A node takes HOP_SECONDS to hand anything on. So whatever follows from the events of one
window of that length happens in a later one, and all events of a window are handled at once.
"""

from collections import defaultdict
from itertools import pairwise

import numpy as np

from p2pgrid.limits.simulation import HOP_SECONDS
from p2pgrid.simulation.array_links import Column


class Timetable:
    """Events of one kind: a time, and numbers that say what happens."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._windows: defaultdict[int, list[tuple[Column, ...]]] = defaultdict(list)

    def put(self, after: int, at: Column, *columns: Column) -> None:
        """Add events; those of the window `after` or before it happen in the next one."""
        assert len(columns) == self._columns
        if not len(at):
            return
        window = np.maximum((at * (1 / HOP_SECONDS)).astype(np.int64) - after, 1).astype(np.uint16)
        order = np.argsort(window, kind="stable")
        ends = np.flatnonzero(np.diff(window[order])) + 1
        bounds = [0, *ends.tolist(), len(order)]
        told = [one[order] for one in (at, *columns)]
        for start, end in pairwise(bounds):
            number = after + int(window[order[start]])
            self._windows[number].append(tuple(one[start:end] for one in told))

    def take(self, window: int) -> tuple[Column, ...]:
        """All events of a window, in no order: their times, and what happens."""
        parts = self._windows.pop(window, None)
        if not parts:
            nothing = np.empty(0, np.int32)
            return (np.empty(0, np.float32), *[nothing] * self._columns)
        return tuple(np.concatenate(one) for one in zip(*parts, strict=True))

    def __bool__(self) -> bool:
        """Whether anything is to happen."""
        return bool(self._windows)
