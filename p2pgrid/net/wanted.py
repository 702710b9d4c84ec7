"""What was announced and has not come yet, and whom to ask for it when. Sans clock."""

from collections.abc import Container
from dataclasses import dataclass
from heapq import heappop, heappush
from math import inf

from p2pgrid.limits.spreading import (
    GOSSIP_ANNOUNCERS_MAX,
    GOSSIP_PULL_SECONDS,
    GOSSIP_REPEAT_PULL_SECONDS,
    GOSSIP_WANTED_MAX,
    GOSSIP_WANTED_PER_PEER_MAX,
)
from p2pgrid.model.ids import NodeId


@dataclass(slots=True)
class Wish:
    """An id that was announced and has not come yet."""

    first: NodeId
    """Who announced it first, on whose account it is remembered."""
    announcers: list[NodeId]
    """Whom to ask, in the order in which they announced it."""
    is_pulled: bool = False


class Wanted:
    """Ids by when they are due."""

    __slots__ = ("_counts", "_due", "_wishes")

    def __init__(self) -> None:
        self._wishes: dict[bytes, Wish] = {}
        self._counts: dict[NodeId, int] = {}
        self._due: list[tuple[float, bytes]] = []

    @property
    def due_at(self) -> float:
        """When `pull` is wanted next; inf for never."""
        return self._due[0][0] if self._due else inf

    def __len__(self) -> int:
        """How many ids are wanted."""
        return len(self._wishes)

    def hear(self, key: bytes, announcer: NodeId, now: float) -> None:
        """A peer has `key`. Peers can make up ids, so each may have only so many remembered."""
        wish = self._wishes.get(key)
        if wish is not None:
            if announcer not in wish.announcers and len(wish.announcers) < GOSSIP_ANNOUNCERS_MAX:
                wish.announcers.append(announcer)
        elif (count := self._counts.get(announcer, 0)) < self._share(announcer):
            self._counts[announcer] = count + 1
            self._wishes[key] = Wish(announcer, [announcer])
            heappush(self._due, (now + GOSSIP_PULL_SECONDS, key))

    def _share(self, announcer: NodeId) -> int:
        """How many ids may be wanted because of one peer."""
        count = len(self._counts) + (announcer not in self._counts)
        return min(GOSSIP_WANTED_PER_PEER_MAX, GOSSIP_WANTED_MAX // count)

    def fulfil(self, key: bytes) -> Wish | None:
        """It came, or nobody gives it: nobody is asked any more."""
        wish = self._wishes.pop(key, None)
        if wish is not None:
            count = self._counts.pop(wish.first) - 1
            if count:
                self._counts[wish.first] = count
            while self._due and self._due[0][1] not in self._wishes:  # nobody is to be woken for it
                heappop(self._due)
        return wish

    def pull(self, peers: Container[NodeId], now: float) -> dict[NodeId, list[bytes]]:
        """Whom of `peers` to ask for what is due: its announcers in turn."""
        asked: dict[NodeId, list[bytes]] = {}
        while self.due_at <= now:
            _, key = heappop(self._due)
            wish = self._wishes.get(key)
            if wish is None:
                continue
            announcer = next((one for one in wish.announcers if one in peers), None)
            if announcer is None:
                self.fulfil(key)
                continue
            wish.announcers.remove(announcer)
            wish.is_pulled = True
            asked.setdefault(announcer, []).append(key)
            heappush(self._due, (now + GOSSIP_REPEAT_PULL_SECONDS, key))
        return asked
