"""What a router knows of one of its peers."""

from math import inf

from p2pgrid.limits.net import GOSSIP_PEER_BURST_MESSAGES, GOSSIP_PEER_PER_SECOND_MAX
from p2pgrid.limits.spreading import (
    GOSSIP_GIVEN_BURST_BYTES,
    GOSSIP_GIVEN_BYTES_PER_SECOND,
    GOSSIP_PENDING_BYTES_MAX,
)
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.spread_messages import Item


class SpreadPeer:
    """What we know of one peer."""

    __slots__ = (
        "first_at",
        "flush_at",
        "flushed_at",
        "give_pace",
        "is_provider",
        "mark",
        "pace",
        "pending",
        "pending_bytes",
        "topics",
    )

    def __init__(self, mark: int, now: float) -> None:
        self.mark = mark
        """The bit that stands for it where sets of peers are numbers."""
        self.topics: frozenset[str] = frozenset()
        self.is_provider = False
        """It pushes to us: we asked it to."""
        self.first_at = now
        """When it last brought something first."""
        self.pending: dict[bytes, Item] = {}
        """What to push to it next."""
        self.pending_bytes = 0
        self.flushed_at = -inf
        self.flush_at = inf
        self.give_pace = TokenBucket(
            per_second=GOSSIP_GIVEN_BYTES_PER_SECOND, burst=GOSSIP_GIVEN_BURST_BYTES, now=now
        )
        self.pace = TokenBucket(
            per_second=GOSSIP_PEER_PER_SECOND_MAX, burst=GOSSIP_PEER_BURST_MESSAGES, now=now
        )

    def has_room_for(self, item: Item) -> bool:
        """Whether an item may wait for the next push to it."""
        return self.pending_bytes + len(item.data) <= GOSSIP_PENDING_BYTES_MAX
