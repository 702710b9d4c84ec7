"""A query answered from columns: the same rows and order as `query.select_nodes` over records."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from p2pgrid.explorer.columns import NOWHERE, RESOURCES, NodeColumns, bits_of
from p2pgrid.explorer.query import (
    FAR_AWAY_US,
    NOBODY_NEAR,
    NodeFilter,
    NodeSort,
    Presence,
    RoundTrips,
    is_named,
)
from p2pgrid.limits.explorer import NAME_LEASE_MS, NODE_FRESH_MS, NODE_LEASE_MS
from p2pgrid.model.ids import ID_BYTES, NodeId
from p2pgrid.units import TimestampMs

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Key = Callable[[Ints], NDArray[np.generic]]
"""What some rows, given by their numbers, are compared by."""

_SORTED_AT_ONCE = 1024
"""So few rows are sorted as they are; of more, those of the page are picked out first."""


@dataclass(frozen=True, slots=True)
class Cut:
    """In which order, and which part of it."""

    sort: NodeSort = NodeSort.PRICE
    is_reversed: bool = False
    skip: int = 0
    limit: int | None = None
    """None: all the rest."""


WHOLE = Cut()


@dataclass(frozen=True, slots=True)
class Selection:
    """The nodes of one page, in order, and how many match in all."""

    nodes: tuple[bytes, ...]
    total: int


def select(rows: "Rows", wanted: NodeFilter, cut: Cut) -> Selection:
    """What matches at a time; one page of it."""
    found = np.flatnonzero(rows.alive() & _matching(rows, wanted))
    count = len(found) if cut.limit is None else min(len(found), cut.skip + cut.limit)
    order = _order(rows, cut.sort, is_reversed=cut.is_reversed)
    first = first_rows(order, found, count)[cut.skip :]
    return Selection(tuple(map(rows.node, first)), len(found))


class Rows:
    """Columns of all rows as they are at one time."""

    def __init__(
        self, columns: NodeColumns, now_ms: TimestampMs, round_trips: RoundTrips = NOBODY_NEAR
    ) -> None:
        self.columns = columns
        self.nodes = columns.nodes
        self.now_ms = now_ms
        self._round_trips = round_trips

    def node(self, row: np.int64) -> NodeId:
        """The node of a row."""
        return NodeId(bytes(self.nodes["node"][row]).ljust(ID_BYTES, b"\0"))

    def ints(self, name: str) -> Ints:
        """A column of whole numbers."""
        return self.nodes.ints(name)

    def bools(self, name: str) -> Bools:
        """A column of facts."""
        return cast(Bools, self.nodes[name])

    def has_public_address(self) -> Bools:
        """Whether it says an address that the whole Internet can reach."""
        return self.bools("has_public_ipv4") | self.bools("has_public_ipv6")

    def alive(self) -> Bools:
        """Whether it is known now: announced, and within its lease."""
        return self.bools("is_there") & (self.ints("time_ms") + NODE_LEASE_MS >= self.now_ms)

    def has_update(self) -> Bools:
        """Whether what it said of its free capacity is within its lease."""
        return self.ints("update_ms") + NODE_LEASE_MS >= self.now_ms

    def free(self, resource: str) -> Ints:
        """What is free of a resource of `columns.RESOURCES`."""
        return np.where(
            self.has_update(), self.ints(f"free_{resource}"), self.ints(f"left_{resource}")
        )

    def age_ms(self) -> Ints:
        """Since the newest thing that it said."""
        update_ms = np.where(self.has_update(), self.ints("update_ms"), 0)
        age_ms: Ints = np.maximum(0, self.now_ms - np.maximum(self.ints("time_ms"), update_ms))
        return age_ms

    def round_trip_us(self) -> Ints:
        """Microseconds to it and back; FAR_AWAY_US when they are not measured."""
        found = np.full(self.nodes.length, FAR_AWAY_US, np.int64)
        for peer, microseconds in self._round_trips.items():
            row = self.columns.row_of(peer)
            if row is not None:
                found[row] = microseconds
        return found

    def presence(self) -> Ints:
        """Its `Presence`, as a number."""
        said = np.where(self.bools("is_standby"), int(Presence.STANDBY), int(Presence.UP))
        is_down = self.bools("is_gone") | (self.age_ms() > NODE_FRESH_MS)
        presence: Ints = np.where(is_down, int(Presence.DOWN), said)
        return presence

    def is_confirmed(self) -> Bools:
        """Whether its farm lists it."""
        times = self.columns.farms.ints("members_ms")
        is_fresh = times + NAME_LEASE_MS >= self.now_ms
        return self.bools("is_member") & is_fresh[self.ints("farm")]

    def is_contradicted(self) -> Bools:
        """Whether it or its farm told different things at once."""
        of_farm = cast(Bools, self.columns.farms["is_contradicted"])
        return self.bools("is_contradicted") | of_farm[self.ints("farm")]

    def place(self, column: str) -> Ints:
        """The number of the node's country or city, or else of its farm's."""
        times = self.columns.farms.ints("time_ms")
        place = self.columns.farms.ints(column)
        of_farm = np.where(times + NAME_LEASE_MS >= self.now_ms, place, NOWHERE)
        own = self.ints(column)
        return np.where(own == NOWHERE, of_farm[self.ints("farm")], own)


def _matching(rows: Rows, wanted: NodeFilter) -> Bools:
    found = np.ones(rows.nodes.length, np.bool_)
    for resource in RESOURCES:
        if least := getattr(wanted.free, resource):
            found &= rows.free(resource) >= least
    if wanted.node:
        found &= _starts_with(rows.nodes["node"], wanted.node.casefold())
    if wanted.farm:
        found &= _farms_named(rows, wanted.farm)[rows.ints("farm")]
    if bits := bits_of(wanted.features):
        found &= (rows.ints("features") & bits) == bits
    if wanted.gpu:
        found &= _with_gpu(rows, wanted.gpu.casefold())
    price = rows.ints("price_permille")
    found &= (price >= wanted.price_permille_min) & (price <= wanted.price_permille_max)
    if set(wanted.statuses) != set(Presence):
        found &= np.isin(rows.presence(), [int(one) for one in wanted.statuses])
    return found & _where_said(rows, wanted)


def _where_said(rows: Rows, wanted: NodeFilter) -> Bools:
    """Rows of the right place for which every claim holds."""
    found = np.ones(rows.nodes.length, np.bool_)
    for column, text in (("country", wanted.country), ("city", wanted.city)):
        if text:
            found &= rows.place(column) == _number(rows, text)
    for claim, fact in _claims(rows, wanted):
        if claim is not None:
            found &= fact() == claim
    return found


def _claims(rows: Rows, wanted: NodeFilter) -> tuple[tuple[bool | None, Callable[[], Bools]], ...]:
    return (
        (wanted.is_confirmed, rows.is_confirmed),
        (wanted.secure_boot, lambda: rows.bools("secure_boot")),
        (wanted.bare_metal, lambda: rows.bools("bare_metal")),
        (wanted.has_ipv6, lambda: rows.bools("has_ipv6")),
        (wanted.has_public_address, rows.has_public_address),
        (wanted.is_contradicted, rows.is_contradicted),
    )


def _number(rows: Rows, text: str) -> int:
    """The number of a place; of one that nobody names, a number that nobody has."""
    number = rows.columns.places.get(text.casefold())
    return NOWHERE - 1 if number is None else number


def _with_gpu(rows: Rows, part: str) -> Bools:
    """Rows of which a GPU is named so in part. No part spans two names: it is a single line."""
    numbers = rows.ints("gpu_names")  # rows that are gone still have one, which nobody uses
    is_so = np.zeros(1 + numbers.max(initial=0), np.bool_)
    is_so[[number for text, number in rows.columns.gpu_names if part in text]] = True
    return is_so[numbers]


def _farms_named(rows: Rows, wanted: str) -> Bools:
    """Which farms a person means: those whose id starts so, and those of that name."""
    farms = rows.columns.farms
    found = _starts_with(farms["farm"], wanted.casefold())
    times = farms.ints("time_ms")
    for row, title in rows.columns.titles.items():
        if title == wanted.casefold() and times[row] + NAME_LEASE_MS >= rows.now_ms:
            found[row] |= is_named(wanted, title, b"")
    return found


def _starts_with(ids: NDArray[np.generic], digits: str) -> Bools:
    """Which ids start with these hex digits."""
    if len(digits) > 2 * ID_BYTES or not set(digits) <= set("0123456789abcdef"):
        return np.zeros(len(ids), np.bool_)
    low = bytes.fromhex(digits.ljust(2 * ID_BYTES, "0"))
    high = bytes.fromhex(digits.ljust(2 * ID_BYTES, "f"))
    names = cast(NDArray[np.bytes_], ids)
    return (names >= np.bytes_(low)) & (names <= np.bytes_(high))


def _order(rows: Rows, sort: NodeSort, *, is_reversed: bool) -> tuple[Key, ...]:
    """What rows are compared by, one after the other."""
    by: dict[NodeSort, Callable[[], Ints]] = {
        NodeSort.PRICE: lambda: rows.ints("price_permille"),
        NodeSort.CORES: lambda: -rows.free("millicores"),
        NodeSort.MEMORY: lambda: -rows.free("memory_bytes"),
        NodeSort.SSD: lambda: -rows.free("ssd_bytes"),
        NodeSort.HDD: lambda: -rows.free("hdd_bytes"),
        NodeSort.AGE: rows.age_ms,
        NodeSort.LATENCY: rows.round_trip_us,
        NodeSort.UPTIME: lambda: -np.maximum(0, rows.now_ms - rows.ints("boot_ms")),
    }
    price, cores, ids = rows.ints("price_permille"), -rows.free("millicores"), rows.nodes["node"]
    ties = (price.__getitem__, cores.__getitem__, ids.__getitem__)
    if sort is NodeSort.ID:
        return (lambda some: _ranks(ids[some], is_reversed=is_reversed),)
    first = by[sort]()
    if is_reversed:
        first = -first
    return (first.__getitem__, *ties)


def _ranks(ids: NDArray[np.generic], *, is_reversed: bool) -> Ints:
    ranks = np.empty(len(ids), np.int64)
    ranks[np.argsort(ids)] = np.arange(len(ids))
    return -ranks if is_reversed else ranks


def first_rows(order: Sequence[Key], rows: Ints, count: int) -> Ints:
    """The first `count` of `rows` in order. Sorts no more than it has to."""
    if count <= 0:
        return rows[:0]
    if len(rows) <= _SORTED_AT_ONCE or len(order) == 1 or count > len(rows) // 4:
        return rows[np.lexsort([key(rows) for key in reversed(order)])][:count]
    key = order[0](rows)
    bound = np.partition(key, count - 1)[count - 1]
    before = rows[key < bound]
    before = before[np.lexsort([one(before) for one in reversed(order)])]
    return np.concatenate([before, first_rows(order[1:], rows[key == bound], count - len(before))])
