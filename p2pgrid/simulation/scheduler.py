"""One clock and one order of events for a whole grid; everything follows from the seed."""

from array import array
from bisect import insort
from collections.abc import Callable
from hashlib import blake2b
from heapq import heappop, heappush
from random import Random
from typing import Any

_TRACE_LENGTH = 65_536
_SLOTS_PER_SECOND = 1024
"""Events wait in slots of a millisecond: few in each, so that sorting them takes next to nothing,
where one heap of all events would look at dozens for each that happens."""

_Event = tuple[float, int, Callable[..., None], tuple[Any, ...]]


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
        self._slots: dict[int, list[_Event]] = {}
        self._next: list[int] = []
        """The numbers of all slots, as a heap."""
        self._open: list[_Event] = []
        """What is left of the slot under way, the next event last."""
        self._open_number = -1
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
        event = (when, self._order, action, arguments)
        number = int(when * _SLOTS_PER_SECOND)
        slot = self._slots.get(number)
        if slot is not None:
            slot.append(event)
        elif number > self._open_number:
            self._slots[number] = [event]
            heappush(self._next, number)
        else:
            insort(self._open, event, key=_sooner_last)

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - whatever the action takes
        """Call `action(*arguments)` in so many seconds."""
        self.at(self.now + seconds, action, *arguments)

    def note(self, value: float) -> None:
        """Make `value` part of the run's digest."""
        self._trace.append(value)

    def run(self, until: float) -> None:
        """Let events happen up to and including `until`, and stand there."""
        trace = self._trace
        while (events := self._open or self._open_next()) and events[-1][0] <= until:
            self.now, order, action, arguments = events.pop()
            trace.append(self.now)
            trace.append(order)
            self.events += 1
            if len(trace) >= _TRACE_LENGTH:
                self._fold()
            action(*arguments)
        self.now = until

    def _open_next(self) -> list[_Event]:
        if self._next:
            self._open_number = heappop(self._next)
            self._open = self._slots.pop(self._open_number)
            self._open.sort(reverse=True)
        return self._open

    def digest(self) -> str:
        """A hash over the time and number of every event so far, and all that was noted."""
        self._fold()
        return self._hash.hexdigest()

    def _fold(self) -> None:
        self._hash.update(self._trace.tobytes())
        del self._trace[:]


def _sooner_last(event: _Event) -> tuple[float, int]:
    return -event[0], -event[1]
