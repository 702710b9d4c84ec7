"""The chunks that a transfer wants, by how soon they are needed. Pure.

A chunk waits in the queue of its urgency until somebody is asked for it, and
comes back to it when he does not give it. It is lost once nobody is left to ask.
"""

from collections.abc import Collection, Iterator
from enum import IntEnum

from p2pgrid.model.ids import ChunkId


class Urgency(IntEnum):
    """How soon a chunk is needed; the lower, the sooner."""

    NOW = 1
    """Somebody waits for it."""
    SOON = 2
    """It is likely to be asked for next."""
    LATER = 3
    """All of it is wanted in the end."""


class Wanted:
    """What is wanted and not stored yet."""

    def __init__(self) -> None:
        self.count = 0
        """How many chunks were ever wanted."""
        self.generation = 0
        """Goes up when a chunk begins to wait."""
        self.urgent: dict[ChunkId, None] = {}
        """What somebody waits for, in the order in which that began."""
        self._urgency: dict[ChunkId, Urgency] = {}
        self._waiting: dict[Urgency, dict[ChunkId, None]] = {one: {} for one in Urgency}
        self._lost: dict[ChunkId, None] = {}

    def want(self, chunk: ChunkId, urgency: Urgency, *, is_under_way: bool) -> bool:
        """Want it, or at least as urgently as this; gives whether it begins to wait.

        Args:
            chunk: which.
            urgency: how soon it is needed.
            is_under_way: whether somebody was asked for it, or it is being stored.
        """
        before = self._urgency.get(chunk)
        self.count += before is None
        self._urgency[chunk] = urgency if before is None else min(before, urgency)
        if urgency is Urgency.NOW:
            self.urgent[chunk] = None
        is_new = (before is None and not is_under_way) or chunk in self._lost
        self._lost.pop(chunk, None)
        is_moved = before is not None and self._waiting[before].pop(chunk, chunk) is None
        if is_new or is_moved:
            self.wait(chunk)
        return is_new

    def forget(self, chunk: ChunkId) -> None:
        """Nobody wants it any more, or it is stored."""
        urgency = self._urgency.pop(chunk, None)
        if urgency is not None:
            self._waiting[urgency].pop(chunk, None)
            self._lost.pop(chunk, None)
            self.urgent.pop(chunk, None)

    def wait(self, chunk: ChunkId) -> None:
        """Somebody has to be asked for it, if it is still wanted."""
        if chunk in self._urgency:
            self._waiting[self._urgency[chunk]][chunk] = None
            self.generation += 1

    def ask(self, chunk: ChunkId) -> Urgency:
        """Somebody is asked for it now; gives how urgent it is."""
        urgency = self._urgency.get(chunk, Urgency.LATER)
        self._waiting[urgency].pop(chunk, None)
        return urgency

    def lose(self, chunk: ChunkId) -> None:
        """Nobody is left to ask for this one, which waits."""
        del self._waiting[self._urgency[chunk]][chunk]
        self._lost[chunk] = None

    def is_urgent(self, chunk: ChunkId) -> bool:
        """Whether somebody waits for it."""
        return chunk in self.urgent

    def is_waiting(self, chunk: ChunkId) -> bool:
        """Whether somebody has to be asked for it."""
        urgency = self._urgency.get(chunk)
        return urgency is not None and chunk in self._waiting[urgency]

    def waiting(self, *urgencies: Urgency) -> Iterator[ChunkId]:
        """What waits, the most urgent first; of these urgencies, or of all."""
        for urgency in urgencies or Urgency:
            yield from self._waiting[urgency]

    @property
    def waiting_count(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def left_count(self) -> int:
        """How many are wanted and not stored."""
        return len(self._urgency)

    @property
    def lost(self) -> Collection[ChunkId]:
        """What nobody is left for, until it is wanted anew or forgotten."""
        return self._lost.keys()
