"""One clock and one order of events for a whole grid; everything follows from the seed."""

from array import array
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Any

_TRACE_LENGTH = 65_536


class Scheduler:
    """Runs events in the order of their time; those of one time in the order they were made.

    Args:
        seed: the same seed and the same program give the same run, bit for bit.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(f"p2pgrid {seed}")  # noqa: S311 - seeded on purpose
        self.seed = seed
        self.now = 0.0
        """Seconds since the start of the run."""
        self.events = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = 0
        self._trace = array("d")
        self._hash = blake2b(digest_size=16)

    def random_of(self, name: str) -> Random:
        """A random stream of its own, so that one part's draws do not move another's."""
        return Random(f"p2pgrid {self.seed} {name}")  # noqa: S311 - seeded on purpose

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - whatever the action takes
        """Call `action(*arguments)` at `when`, which is not before now."""
        assert when >= self.now, "an event in the past"
        self._order += 1
        heappush(self._heap, (when, self._order, action, arguments))

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - whatever the action takes
        """Call `action(*arguments)` in so many seconds."""
        self.at(self.now + seconds, action, *arguments)

    def note(self, value: float) -> None:
        """Make `value` part of the run's digest."""
        self._trace.append(value)

    def run(self, until: float) -> None:
        """Let events happen up to and including `until`, and stand there."""
        heap, trace = self._heap, self._trace
        while heap and heap[0][0] <= until:
            self.now, order, action, arguments = heappop(heap)
            trace.append(self.now)
            trace.append(order)
            self.events += 1
            if len(trace) >= _TRACE_LENGTH:
                self._fold()
            action(*arguments)
        self.now = until

    def digest(self) -> str:
        """A hash over the time and number of every event so far, and all that was noted."""
        self._fold()
        return self._hash.hexdigest()

    def _fold(self) -> None:
        self._hash.update(self._trace.tobytes())
        del self._trace[:]
