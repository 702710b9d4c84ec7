"""Ids that a router is about to announce, and which peers know them already.

Peers are marks here, one bit each, so that a set of them is a number: every item is
announced by every node to most of its peers, and nothing that a router does is done so often.
"""

from collections.abc import Callable, Mapping
from math import inf

from p2pgrid.limits.spreading import GOSSIP_ANNOUNCE_SECONDS
from p2pgrid.model.ids import NodeId


class News:
    """Gathers ids for a moment, so that one message tells of several."""

    __slots__ = ("_knowers", "_topics", "due_at")

    def __init__(self) -> None:
        self._topics: dict[bytes, str] = {}
        self._knowers: dict[bytes, int] = {}
        """Of each id, the marks of those who need not be told."""
        self.due_at = inf
        """When to `take`; inf for never."""

    def add(self, key: bytes, topic: str, knowers: int, now: float) -> None:
        """Announce `key` to all who hear its topic, except its knowers."""
        self._topics[key] = topic
        self._knowers[key] = knowers
        self.due_at = min(self.due_at, now + GOSSIP_ANNOUNCE_SECONDS)

    def note_knower(self, key: bytes, mark: int) -> None:
        """A peer shows that it has `key`."""
        knowers = self._knowers.get(key)
        if knowers is not None:
            self._knowers[key] = knowers | mark

    def lose(self, mark: int) -> None:
        """The peer with this mark is gone, and another may get it."""
        for key, knowers in self._knowers.items():
            self._knowers[key] = knowers & ~mark

    def take(
        self, marks: Mapping[NodeId, int], hearers: Callable[[str], int]
    ) -> list[tuple[NodeId, tuple[bytes, ...]]]:
        """Which peer is told which ids; there is no news after.

        Args:
            marks: of all peers.
            hearers: gives the marks of those who hear a topic.
        """
        knowers = self._knowers
        told = [(key, hearers(topic) & ~knowers[key]) for key, topic in self._topics.items()]
        self._topics, self._knowers = {}, {}
        self.due_at = inf
        ids = tuple([key for key, _ in told])
        if len(told) == 1:  # as mostly
            wanting = told[0][1]
            return [(name, ids) for name, mark in marks.items() if mark & wanting]
        each = (
            (name, tuple([key for key, wanting in told if mark & wanting]))
            for name, mark in marks.items()
        )
        return [(name, some) for name, some in each if some]
