"""Queries: what people and programs ask the view, and the rows they get."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address
from types import MappingProxyType

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import AccountId, FarmId, NodeId, require_text
from p2pgrid.model.node import PRICE_PERMILLE_MAX, Feature, Hardware, Location, Reachability

_TEXT_BYTES_MAX = 128
_WHOLE_ID = re.compile(r"[0-9a-f]{64}")
_NOTHING = Capacity()

Host = IPv4Address | IPv6Address

FAR_AWAY_US = 2**62
"""Longer than any round trip: what those come after who are not connected."""

RoundTrips = Mapping[NodeId, int]
"""Microseconds to connected peers and back."""

NOBODY_NEAR: RoundTrips = MappingProxyType({})


class Presence(IntEnum):
    """Whether a node is there, as far as the view can tell."""

    UP = 1
    STANDBY = 2
    DOWN = 3
    """Silent for longer than a node that is up would be."""


class NodeSort(IntEnum):
    """What comes first in a list of nodes; ties by price, free cores, id."""

    PRICE = 1
    CORES = 2
    MEMORY = 3
    SSD = 4
    HDD = 5
    AGE = 6
    ID = 7
    UPTIME = 8
    """Who has run for longest."""
    LATENCY = 9
    """Who is nearest to the asker, among those that it is connected to; the others last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One node: its announcement, its latest free capacity, and what its farm says."""

    node: NodeId
    farm: FarmId
    farm_name: str
    """Empty when the farm's record is not known."""
    is_confirmed: bool
    """Whether the farm lists the node as its own."""
    is_contradicted: bool
    """Whether it is proved that the node told different things at once."""
    is_farm_contradicted: bool
    """The same of its farm."""
    payout: AccountId | None
    """Where the farm wants to be paid; None when its record is not known."""
    status: Presence
    age_ms: int
    """Since the newest thing that the node said."""
    free: Capacity
    total: Capacity
    system: Capacity
    reservations: int
    price_permille: int
    features: tuple[Feature, ...]
    location: Location | None
    hardware: Hardware
    addresses: tuple[str, ...]
    reachability: Reachability
    overlay_address: str
    version: str
    boot_ms: int
    uptime_ms: int
    """Since it started, as it says."""
    round_trip_us: int | None
    """Microseconds from the asker to it and back, as measured; None: they are not connected."""


@dataclass(frozen=True, slots=True)
class NodePage:
    """Some of the nodes that match a query, in order."""

    rows: tuple[NodeView, ...]
    total: int
    """How many match in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmView:
    """One farm and the nodes that it lists."""

    farm: FarmId
    title: str
    payout: AccountId
    location: Location | None
    price_permille: int
    public_ranges: tuple[str, ...]
    nodes: tuple[NodeId, ...]
    is_contradicted: bool
    """Whether it is proved that the farm told different things at once."""
    age_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFilter:
    """Which nodes are wanted; what is left at its default does not matter."""

    free: Capacity = _NOTHING
    """At least this much."""
    node: str = ""
    """First hex digits of the node's id."""
    farm: str = ""
    """The farm's name, or the first hex digits of its id."""
    country: str = ""
    city: str = ""
    features: tuple[Feature, ...] = ()
    """All of them."""
    gpu: str = ""
    """Part of a GPU's name or id."""
    price_permille_min: int = 0
    price_permille_max: int = PRICE_PERMILLE_MAX
    statuses: tuple[Presence, ...] = tuple(Presence)
    is_confirmed: bool | None = None
    secure_boot: bool | None = None
    bare_metal: bool | None = None
    has_ipv6: bool | None = None
    """An IPv6 address that other machines can reach."""
    has_public_address: bool | None = None
    is_contradicted: bool | None = None
    """Whether the node or its farm is proved to have told different things at once."""

    def __post_init__(self) -> None:
        for text in (self.node, self.farm, self.country, self.city, self.gpu):
            require_text(text, "filter", bytes_max=_TEXT_BYTES_MAX)
        if len(self.features) > len(Feature) or len(self.statuses) > len(Presence):
            raise InvalidRecord("a filter names a feature or status once")


ANY_NODE = NodeFilter()


def matches(node: NodeView, wanted: NodeFilter) -> bool:
    """Whether `node` is one that `wanted` describes."""
    return (
        wanted.free.fits_in(node.free)
        and node.node.hex().startswith(wanted.node.casefold())
        and is_named(wanted.farm, node.farm_name, node.farm)
        and _stands_in(node.location, wanted)
        and set(wanted.features) <= set(node.features)
        and _has_gpu(node.hardware, wanted.gpu)
        and wanted.price_permille_min <= node.price_permille <= wanted.price_permille_max
        and node.status in wanted.statuses
        and _claims_hold(node, wanted)
    )


def select_nodes(
    nodes: Iterable[NodeView], wanted: NodeFilter, sort: NodeSort, *, is_reversed: bool = False
) -> tuple[NodeView, ...]:
    """Those of `nodes` that match, in order. The order is total: equal sets give equal lists.

    This is what a query means. `selection.select` finds the same without visiting every record.
    """
    order, sign = _ORDERS[sort], -1 if is_reversed else 1
    found = [node for node in nodes if matches(node, wanted)]
    return tuple(sorted(found, key=lambda node: (sign * order(node), _cheapest(node), node.node)))


def is_named(wanted: str, title: str, identity: bytes) -> bool:
    r"""Whether a person who writes `wanted` means this; empty means anything.

    >>> is_named("ab", "Acme", b"\xab\xcd"), is_named("acme", "Acme", b""), is_named("x", "", b"")
    (True, True, False)
    """
    wanted = wanted.casefold()
    if _WHOLE_ID.fullmatch(wanted):
        return identity.hex() == wanted  # nobody gets at another's money by taking its id as name
    return wanted == title.casefold() or identity.hex().startswith(wanted)


def _claims_hold(node: NodeView, wanted: NodeFilter) -> bool:
    """Facts are looked up only when they are asked for: addresses take long to read."""
    claims: tuple[tuple[bool | None, Callable[[NodeView], bool]], ...] = (
        (wanted.is_confirmed, lambda one: one.is_confirmed),
        (wanted.secure_boot, lambda one: one.hardware.secure_boot is True),
        (wanted.bare_metal, lambda one: one.hardware.virtualized is None),
        (wanted.is_contradicted, lambda one: one.is_contradicted or one.is_farm_contradicted),
        (wanted.has_ipv6, lambda one: is_reachable_by_ipv6(one.addresses)),
        (wanted.has_public_address, lambda one: is_publicly_reachable(one.addresses)),
    )
    return all(claim is None or claim == fact(node) for claim, fact in claims)


def _stands_in(location: Location | None, wanted: NodeFilter) -> bool:
    country, city = (location.country, location.city) if location else ("", "")
    return all(
        not text or text.casefold() == said.casefold()
        for text, said in ((wanted.country, country), (wanted.city, city))
    )


def _has_gpu(hardware: Hardware, wanted: str) -> bool:
    return not wanted or any(wanted.casefold() in one.casefold() for one in hardware.gpus)


def is_reachable_by_ipv6(addresses: Iterable[str]) -> bool:
    """Whether one of a node's addresses is IPv6 and can be reached from other machines."""
    return any(host.version == 6 for host in reachable_hosts(addresses))


def is_publicly_reachable(addresses: Iterable[str]) -> bool:
    """Whether one of a node's addresses can be reached from the whole Internet."""
    return any(host.is_global for host in reachable_hosts(addresses))


def reachable_hosts(addresses: Iterable[str]) -> tuple[Host, ...]:
    """The IP addresses among a node's multiaddrs that other machines can reach, in their order."""
    hosts = []
    for address in addresses:
        protocol, _, rest = address.removeprefix("/").partition("/")
        try:
            host = ip_address(rest.partition("/")[0])
        except ValueError:
            continue
        is_reachable = not (host.is_loopback or host.is_link_local or host.is_unspecified)
        if protocol in ("ip4", "ip6") and is_reachable:
            hosts.append(host)
    return tuple(hosts)


def _cheapest(node: NodeView) -> tuple[int, int]:
    return node.price_permille, -node.free.millicores


_ORDERS: dict[NodeSort, Callable[[NodeView], int]] = {
    NodeSort.PRICE: lambda node: node.price_permille,
    NodeSort.CORES: lambda node: -node.free.millicores,
    NodeSort.MEMORY: lambda node: -node.free.memory_bytes,
    NodeSort.SSD: lambda node: -node.free.ssd_bytes,
    NodeSort.HDD: lambda node: -node.free.hdd_bytes,
    NodeSort.AGE: lambda node: node.age_ms,
    NodeSort.UPTIME: lambda node: -node.uptime_ms,
    NodeSort.LATENCY: lambda node: (
        FAR_AWAY_US if node.round_trip_us is None else node.round_trip_us
    ),
    NodeSort.ID: lambda node: int.from_bytes(node.node, "big"),
}
