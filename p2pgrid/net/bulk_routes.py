"""Which peers cannot be reached at their bulk port. Pure.

Firewalls swallow what they do not let through, and finding that out takes seconds: they are
not spent again for every connection.
"""

from p2pgrid.limits.net import BULK_DIRECT_RETRY_SECONDS, BULK_UNREACHED_MAX
from p2pgrid.model.ids import NodeId


class BulkRoutes:
    """Remembers who could not be reached."""

    def __init__(self) -> None:
        self._again_at: dict[NodeId, float] = {}

    def is_direct(self, peer: NodeId, now: float) -> bool:
        """Whether to try its bulk port."""
        return now >= self._again_at.get(peer, now)

    def note(self, peer: NodeId, now: float, *, is_reached: bool) -> None:
        """Its bulk port was tried."""
        self._again_at.pop(peer, None)
        if not is_reached:
            self._again_at[peer] = now + BULK_DIRECT_RETRY_SECONDS
            if len(self._again_at) > BULK_UNREACHED_MAX:
                del self._again_at[next(iter(self._again_at))]
