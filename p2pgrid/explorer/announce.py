"""Announcing: when a node says something new of itself, and in which words.

A node speaks when something changed and when it has been silent for six
hours; never more often than once a minute, but a few times at once when
workloads start together. Nobody floods heartbeats.
"""

from dataclasses import dataclass, field, fields

from p2pgrid.explorer.pace import Pace
from p2pgrid.limits.explorer import (
    ANNOUNCE_INTERVAL_MS,
    CAPACITY_CHANGE_PERCENT,
    EXPLORER_RECORD_BYTES_MAX,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId, NodeId
from p2pgrid.model.node import (
    CapacityUpdate,
    Feature,
    Hardware,
    Location,
    NodeAnnouncement,
    NodeStatus,
    Reachability,
)
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import encode

_ENVELOPE_BYTES_MAX = 128


@dataclass(frozen=True, slots=True)
class Stamp:
    """What orders the records of one register."""

    incarnation: int
    sequence: int
    time_ms: TimestampMs


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """What a node has to say of itself, apart from when it says it."""

    node: NodeId
    farm: FarmId
    total: Capacity
    system: Capacity
    addresses: tuple[str, ...]
    features: tuple[Feature, ...]
    hardware: Hardware
    boot_ms: TimestampMs
    version: str
    status: NodeStatus = NodeStatus.UP
    location: Location | None = None
    reachability: Reachability = Reachability.PUBLIC
    overlay_address: str = ""
    price_permille: int = 1000


@dataclass(frozen=True, slots=True)
class Load:
    """How much of a node is taken."""

    free: Capacity
    reservations: int


@dataclass(frozen=True, slots=True)
class Due:
    """What to publish now."""

    announcement: bool
    update: bool


@dataclass(slots=True)
class Announcer:
    """Remembers what was said, and decides when to speak again."""

    facts: NodeFacts | None = None
    load: Load | None = None
    announced_ms: int = 0
    updated_ms: int = 0
    _pace: Pace = field(default_factory=lambda: Pace(keys_max=2))

    def due(self, facts: NodeFacts, load: Load, now_ms: TimestampMs) -> Due:
        """What to publish now; it counts as said."""
        announcement = (
            facts != self.facts or now_ms >= self.announced_ms + ANNOUNCE_INTERVAL_MS
        ) and self._pace.take(NodeAnnouncement, now_ms)
        if announcement:
            self.facts, self.announced_ms = facts, now_ms
        is_worth_it = (
            self.load is None
            or is_news(self.load, load, facts.total)
            or now_ms >= self.updated_ms + ANNOUNCE_INTERVAL_MS
        )
        update = is_worth_it and self._pace.take(CapacityUpdate, now_ms)
        if update:
            self.load, self.updated_ms = load, now_ms
        return Due(announcement, update)


def is_news(said: Load, load: Load, total: Capacity) -> bool:
    """Whether others should hear of the new load: a reservation began or ended, or 5 % changed."""
    if said.reservations != load.reservations:
        return True
    return any(
        abs(getattr(load.free, one.name) - getattr(said.free, one.name)) * 100
        >= max(1, CAPACITY_CHANGE_PERCENT * getattr(total, one.name))
        for one in fields(Capacity)
    )


def next_incarnation(last: int | None, now_ms: TimestampMs) -> int:
    """The incarnation of a program that starts now.

    It goes up by the clock, so that it does even when the disk was lost with
    the last one on it; and by one at least, should the clock have gone back.
    """
    return max(now_ms // SECOND_MS, -1 if last is None else last + 1)


def next_stamp(last: Stamp | None, incarnation: int, now_ms: TimestampMs) -> Stamp:
    """What comes after the newest record known of a register. Never one that was used."""
    if last is None or last.incarnation < incarnation:
        return Stamp(incarnation, 0, now_ms)
    return Stamp(last.incarnation, last.sequence + 1, now_ms)


def announcement_of(facts: NodeFacts, stamp: Stamp) -> NodeAnnouncement:
    """The record that says `facts`, with as many addresses as fit in it."""
    addresses = facts.addresses
    while True:
        said = {one.name: getattr(facts, one.name) for one in fields(facts)}
        announcement = NodeAnnouncement(
            **{**said, "addresses": addresses},
            incarnation=stamp.incarnation,
            sequence=stamp.sequence,
            time_ms=stamp.time_ms,
        )
        fits = len(encode(announcement)) <= EXPLORER_RECORD_BYTES_MAX - _ENVELOPE_BYTES_MAX
        if fits or not addresses:
            return announcement
        addresses = addresses[:-1]


def update_of(node: NodeId, load: Load, stamp: Stamp) -> CapacityUpdate:
    """The record that says `load`."""
    return CapacityUpdate(
        node=node,
        incarnation=stamp.incarnation,
        sequence=stamp.sequence,
        time_ms=stamp.time_ms,
        free=load.free,
        reservations=load.reservations,
    )
