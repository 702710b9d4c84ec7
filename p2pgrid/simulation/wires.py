"""The network between simulated nodes: late, lossy, cut in parts, and counted byte by byte.

Each pair of nodes has a latency of its own, and each message varies a little, so
messages overtake each other. Nodes send through an uplink of limited width.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from p2pgrid.limits.simulation import (
    DUPLICATED,
    JITTER_SIGMA,
    LATENCY_MEDIAN_SECONDS,
    LATENCY_SIGMA,
    LOSS,
    MESSAGE_OVERHEAD_BYTES,
    UPLINK_BYTES_PER_SECOND,
)
from p2pgrid.simulation.scheduler import Scheduler

_DRAWS = 65_521
"""What chance does to messages is drawn beforehand, and used again after so many of them."""
_LOG_MEDIAN = log(LATENCY_MEDIAN_SECONDS)


@dataclass(frozen=True, slots=True)
class Faults:
    """What happens to messages, as shares of all."""

    loss: float = LOSS
    duplicated: float = DUPLICATED


class Wire:
    """One direction between two nodes, which are numbers here."""

    __slots__ = ("latency", "source", "target")

    def __init__(self, source: int, target: int, latency: float) -> None:
        self.source, self.target = source, target
        self.latency = latency
        """Seconds one way."""


class Wires:
    """Carries messages between `count` nodes."""

    def __init__(self, scheduler: Scheduler, count: int, faults: Faults) -> None:
        self._scheduler = scheduler
        self._faults = faults
        self._random = scheduler.random_of("wires")
        self._latency: dict[int, float] = {}
        self._free_at = array("d", bytes(8 * count))
        self._side: Sequence[int] | None = None
        self._count = count
        self._draw = 0
        random = self._random
        self._jitter = array("d", [exp(random.gauss(0.0, JITTER_SIGMA)) for _ in range(_DRAWS)])
        self._twice = bytes(random.random() < faults.duplicated for _ in range(_DRAWS))
        self._lost = bytes(random.random() < faults.loss for _ in range(_DRAWS))
        self.sent_bytes = array("q", bytes(8 * count))
        """Of each node, with everything around the messages."""

    def cut(self, side: Sequence[int] | None) -> None:
        """Let only nodes on one side reach each other from now on; None: everybody."""
        self._side = side

    def are_cut(self, source: int, target: int) -> bool:
        """Whether a partition lies between two nodes."""
        return self._side is not None and self._side[source] != self._side[target]

    def wire(self, source: int, target: int) -> Wire:
        """The way from one node to another."""
        return Wire(source, target, self._latency_between(source, target))

    def arrival(self, wire: Wire, size: int) -> float | None:
        """When a message of `size` bytes sent now arrives; None: never."""
        size += MESSAGE_OVERHEAD_BYTES
        source = wire.source
        self.sent_bytes[source] += size
        now, free_at = self._scheduler.now, self._free_at[source]
        out_at = max(now, free_at) + size / UPLINK_BYTES_PER_SECOND
        self._free_at[source] = out_at
        self._draw = draw = (self._draw + 1) % _DRAWS
        if self._lost[draw] or (self._side is not None and self.are_cut(source, wire.target)):
            return None
        return out_at + wire.latency * self._jitter[draw]

    def is_doubled(self) -> bool:
        """Whether the message that was just sent arrives twice."""
        return self._twice[self._draw] != 0

    def _latency_between(self, source: int, target: int) -> float:
        """Of both ways the same."""
        low, high = (source, target) if source < target else (target, source)
        pair = low * self._count + high
        latency = self._latency.get(pair)
        if latency is None:
            latency = exp(self._random.gauss(_LOG_MEDIAN, LATENCY_SIGMA))
            self._latency[pair] = latency
        return latency
