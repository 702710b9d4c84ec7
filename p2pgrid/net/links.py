"""Open connections as those see them who decide which to keep."""

from dataclasses import dataclass

from p2pgrid.model.ids import NodeId

NEVER = float("-inf")
"""For what has not happened yet."""


@dataclass(frozen=True, slots=True)
class Link:
    """A peer that we are connected to. Times are seconds of the clock that the network runs on."""

    peer: NodeId
    host: str
    """Where it speaks from, without a port: an IP address as a rule."""
    prefix: str
    """See `prefix_of`."""
    is_outbound: bool
    """Whether we dialled it, and not it us."""
    since: float
    """When it came."""
    useful_at: float = NEVER
    """When it last answered a request of ours, or brought us gossip that was new."""
    is_busy: bool = False
    """Whether requests are under way on it, in either direction."""
    faults: float = 0.0
    """What it did wrong and is not forgiven yet; see `standing`."""
