"""The order in which ids came to a replica, so that peers can ask what is new.

Offsets count arrivals from the start of the program; the oldest are forgotten.
Ids that were dropped since stay in it: whoever reads it looks what is still there.
"""

from collections import deque
from itertools import islice

from p2pgrid.limits.crdt import ARRIVALS_MAX


class ArrivalLog:
    """The latest arrivals."""

    __slots__ = ("_ids", "end")

    def __init__(self) -> None:
        self._ids: deque[bytes] = deque(maxlen=ARRIVALS_MAX)
        self.end = 0
        """The offset that the next arrival gets."""

    @property
    def start(self) -> int:
        """The first offset that is remembered."""
        return self.end - len(self._ids)

    def append(self, identity: bytes) -> None:
        """Note that a record came."""
        self._ids.append(identity)
        self.end += 1

    def since(self, offset: int, count_max: int) -> list[bytes]:
        """At most `count_max` arrivals from `offset` on, which is `start` to `end`."""
        assert self.start <= offset <= self.end
        if self.end - offset <= count_max:  # near the end of a deque, which it finds quickly
            latest = list(islice(reversed(self._ids), self.end - offset))
            return latest[::-1]
        first = offset - self.start
        return list(islice(self._ids, first, first + count_max))
