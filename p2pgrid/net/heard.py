"""What a router heard lately: ids, so that nothing is judged twice, and items for those who pull.

Sans clock. Bounded by age, by the number of ids, and items by their bytes.
"""

from collections import deque

from p2pgrid.limits.spreading import GOSSIP_KEPT_BYTES_MAX, GOSSIP_SEEN_MAX, GOSSIP_SEEN_SECONDS
from p2pgrid.net.spread_messages import Item


class Heard:
    """Ids and items, the oldest of which make room."""

    __slots__ = ("_ages", "_kept", "_kept_bytes", "items")

    def __init__(self) -> None:
        self.items: dict[bytes, Item | None] = {}
        """By id; None where only the id is remembered. To be read only."""
        self._ages: deque[tuple[float, bytes]] = deque()
        """When each id was heard, the oldest first."""
        self._kept: deque[bytes] = deque()
        """Ids of the items that are kept, the oldest first."""
        self._kept_bytes = 0

    def add(self, key: bytes, item: Item | None, now: float) -> None:
        """Remember an id that is not remembered, and `item` for those who pull."""
        self.items[key] = item
        self._ages.append((now, key))
        if len(self._ages) > GOSSIP_SEEN_MAX:
            self._forget_oldest()
        if item is not None:
            self._kept.append(key)
            self._kept_bytes += len(item.data)
            while self._kept_bytes > GOSSIP_KEPT_BYTES_MAX:
                oldest = self._kept[0]
                self._drop_item(oldest)
                self.items[oldest] = None

    def forget(self, now: float) -> None:
        """Forget what everybody has by now."""
        ages = self._ages
        while ages and ages[0][0] + GOSSIP_SEEN_SECONDS <= now:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, key = self._ages.popleft()
        if self.items[key] is not None:
            self._drop_item(key)
        del self.items[key]

    def _drop_item(self, key: bytes) -> None:
        """Its item is the oldest of those that are kept."""
        item = self.items[key]
        assert item is not None
        first = self._kept.popleft()
        assert first == key
        self._kept_bytes -= len(item.data)
