"""Columns of all known nodes: what queries filter and sort by, in numbers, without the records.

A node has a row as long as its announcement is held. Texts are numbered; what a farm says is in
columns of the farms, so that its change costs no visit of all its nodes. What depends on the time
(leases, ages, status) is computed by whoever asks.
"""

from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from p2pgrid.explorer.memberships import Memberships
from p2pgrid.explorer.query import reachable_hosts
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.ids import ID_BYTES
from p2pgrid.model.node import CapacityUpdate, Feature, Location, NodeAnnouncement, NodeStatus

NEVER_MS = -(2**62)
"""The time of what is not held: past every lease."""

NOWHERE = -1
"""Number of the country and city of those who say no location."""

RESOURCES = ("millicores", "memory_bytes", "ssd_bytes", "hdd_bytes", "gpus")

_ROWS_AT_FIRST = 16
_ID = f"S{ID_BYTES}"
_PLACE = {"country": np.int32, "city": np.int32}
_NODE_COLUMNS = {
    "is_there": np.bool_, "node": _ID, "time_ms": np.int64, "is_standby": np.bool_,
    "is_gone": np.bool_, "update_ms": np.int64, "price_permille": np.int64, "boot_ms": np.int64,
    "features": np.int64, "gpu_names": np.int32, "farm": np.int32, "is_member": np.bool_,
    "secure_boot": np.bool_, "bare_metal": np.bool_, "has_ipv6": np.bool_,
    "has_public_ipv4": np.bool_, "has_public_ipv6": np.bool_, "is_contradicted": np.bool_,
    "reservations": np.int64, **_PLACE, **{f"total_{name}": np.int64 for name in RESOURCES},
    **{f"left_{name}": np.int64 for name in RESOURCES},
    **{f"free_{name}": np.int64 for name in RESOURCES},
}  # fmt: skip
_FARM_COLUMNS = {
    "farm": _ID, "time_ms": np.int64, "members_ms": np.int64, "is_contradicted": np.bool_,
    "ranges": np.int32, **_PLACE,
}  # fmt: skip

_CELLS = {kind: tuple(f"{kind}_{name}" for name in RESOURCES) for kind in ("total", "left", "free")}
_amounts = attrgetter(*RESOURCES)

Column = NDArray[np.generic]


class Table:
    """Columns of equal length by name, and a number for each row; numbers are used again."""

    def __init__(self, columns: dict[str, object]) -> None:
        self._columns: dict[str, NDArray[np.generic]] = {
            name: np.zeros(_ROWS_AT_FIRST, kind)  # type: ignore[call-overload]  # a dict of kinds
            for name, kind in columns.items()
        }
        self._unused: list[int] = []
        self.length = 0
        """Rows that were ever in use."""

    def __getitem__(self, name: str) -> Column:
        return self._columns[name][: self.length]

    def ints(self, name: str) -> NDArray[np.int64]:
        """A column of whole numbers."""
        return cast(NDArray[np.int64], self[name])

    def add(self) -> int:
        """The number of a new row."""
        if self._unused:
            return self._unused.pop()
        self.length += 1
        if self.length > len(next(iter(self._columns.values()))):
            for name, column in self._columns.items():
                larger = np.zeros(2 * len(column), column.dtype)
                larger[: len(column)] = column
                self._columns[name] = larger
        return self.length - 1

    def put(self, row: int, **values: int | bytes) -> None:
        """Change some cells of a row."""
        for name, value in values.items():
            self._columns[name][row] = value

    def drop(self, row: int) -> None:
        """Use this row for another."""
        self._unused.append(row)


class Numbers:
    """Small numbers for texts, as long as somebody uses them."""

    def __init__(self) -> None:
        self._number_of: dict[str, int] = {}
        self._users: dict[int, int] = {}
        self._unused: list[int] = []

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._number_of.items())

    def get(self, text: str) -> int | None:
        """The number of a text; None when nobody uses it."""
        return self._number_of.get(text)

    def take(self, text: str) -> int:
        """The number of a text that has one more user."""
        number = self._number_of.get(text)
        if number is None:
            number = self._unused.pop() if self._unused else len(self._number_of)
            self._number_of[text] = number
        self._users[number] = self._users.get(number, 0) + 1
        return number

    def give_back(self, text: str) -> None:
        """A text has one user less."""
        number = self._number_of[text]
        self._users[number] -= 1
        if not self._users[number]:
            del self._number_of[text], self._users[number]
            self._unused.append(number)


class NodeColumns:
    """The table of nodes, that of farms, and the numbers of their texts.

    Args:
        is_liar: whether there is a proof that a key told different things at once.
    """

    def __init__(self, is_liar: Callable[[bytes], bool]) -> None:
        self._is_liar = is_liar
        self.nodes = Table({**_NODE_COLUMNS})
        self.farms = Table({**_FARM_COLUMNS})
        self.places, self.gpu_names = Numbers(), Numbers()
        self.titles: dict[int, str] = {}
        """Row of a farm whose record is held -> its name, case folded."""
        self._row_of: dict[bytes, int] = {}
        self._said: dict[int, NodeAnnouncement] = {}
        self._farm_row_of: dict[bytes, int] = {}
        self._farm_users: dict[int, int] = {}
        self._farm_records: dict[int, FarmRecord] = {}
        self._members: dict[int, FarmMembers] = {}
        self._memberships = Memberships()

    def __len__(self) -> int:
        return len(self._row_of)

    def row_of(self, node: bytes) -> int | None:
        """In which row a node is; None when its announcement is not held."""
        return self._row_of.get(node)

    def put_node(
        self, node: bytes, said: NodeAnnouncement | None, update: CapacityUpdate | None
    ) -> None:
        """What is held of a node has changed to this."""
        row = self._row_of.get(node)
        old = None if row is None else self._said[row]
        if said is None:
            if row is not None:
                self._drop_node(node, row)
            return
        if row is None:
            row = self._row_of[node] = self.nodes.add()
        if said is not old:
            self._announce(row, said)
            if old is not None:
                self._release(old)
        self.nodes.put(
            row,
            update_ms=NEVER_MS if update is None else update.time_ms,
            reservations=0 if update is None else update.reservations,
            is_contradicted=self._is_liar(node),
            **_cells("free", Capacity() if update is None else update.free),
        )

    def put_farm(self, farm: bytes, record: FarmRecord | None, members: FarmMembers | None) -> None:
        """What is held of a farm has changed to this."""
        row = self._farm_row(farm)
        old = self._farm_records.pop(row, None)
        self.titles.pop(row, None)
        if record is not None:
            self._farm_records[row] = record
            self.titles[row] = record.title.casefold()
        self.farms.put(
            row,
            time_ms=NEVER_MS if record is None else record.time_ms,
            members_ms=NEVER_MS if members is None else members.time_ms,
            is_contradicted=self._is_liar(farm),
            ranges=0 if record is None else len(record.public_ranges),
            **self._place(None if record is None else record.location),
        )
        if old is not None:
            self._leave(old.location)
        self._members.pop(row, None)
        if members is not None:
            self._members[row] = members
        listed = frozenset(members.nodes if members is not None else ())
        claims = self.nodes["is_there"] & (self.nodes["farm"] == row)
        for number in map(int, np.flatnonzero(claims)):
            self.nodes.put(number, is_member=self._said[number].node in listed)
        self._tidy_farm(farm, row)

    def farm_record(self, row: int) -> FarmRecord | None:
        """What the farm of a row says, if its record is held."""
        return self._farm_records.get(row)

    # --- inside -----------------------------------------------------------------------------------

    def _announce(self, row: int, said: NodeAnnouncement) -> None:
        farm = self._farm_row(said.farm)
        self._farm_users[farm] = self._farm_users.get(farm, 0) + 1
        members, hosts = self._members.get(farm), reachable_hosts(said.addresses)
        self._said[row] = said
        self.nodes.put(
            row,
            is_there=True,
            node=said.node,
            time_ms=said.time_ms,
            is_standby=said.status is NodeStatus.STANDBY,
            is_gone=said.status is NodeStatus.GONE,
            price_permille=said.price_permille,
            boot_ms=said.boot_ms,
            features=bits_of(said.features),
            gpu_names=self.gpu_names.take(_gpu_text(said)),
            farm=farm,
            is_member=members is not None and self._memberships.lists(members, said.node),
            secure_boot=said.hardware.secure_boot is True,
            bare_metal=said.hardware.virtualized is None,
            has_ipv6=any(host.version == 6 for host in hosts),
            has_public_ipv4=any(host.version == 4 and host.is_global for host in hosts),
            has_public_ipv6=any(host.version == 6 and host.is_global for host in hosts),
            **self._place(said.location),
            **_cells("total", said.total),
            **_cells("left", said.total.less(said.system)),
        )

    def _drop_node(self, node: bytes, row: int) -> None:
        self._release(self._said.pop(row))
        self.nodes.put(row, is_there=False)
        self.nodes.drop(row)
        del self._row_of[node]

    def _release(self, said: NodeAnnouncement) -> None:
        """Give back the numbers that an announcement used."""
        self.gpu_names.give_back(_gpu_text(said))
        self._leave(said.location)
        farm = self._farm_row_of[said.farm]
        self._farm_users[farm] -= 1
        self._tidy_farm(said.farm, farm)

    def _farm_row(self, farm: bytes) -> int:
        row = self._farm_row_of.get(farm)
        if row is None:
            row = self._farm_row_of[farm] = self.farms.add()
            self.farms.put(
                row,
                farm=farm,
                time_ms=NEVER_MS,
                members_ms=NEVER_MS,
                is_contradicted=self._is_liar(farm),
                ranges=0,
                **self._place(None),
            )
        return row

    def _tidy_farm(self, farm: bytes, row: int) -> None:
        """Forget a farm that nobody claims and that says nothing."""
        is_said = row in self._farm_records or row in self._members
        if not is_said and not self._farm_users.get(row):
            self._farm_users.pop(row, None)
            del self._farm_row_of[farm]
            self.farms.put(row, farm=b"")
            self.farms.drop(row)

    def _place(self, location: Location | None) -> dict[str, int]:
        if location is None:
            return {"country": NOWHERE, "city": NOWHERE}
        return {
            "country": self.places.take(location.country.casefold()),
            "city": self.places.take(location.city.casefold()),
        }

    def _leave(self, location: Location | None) -> None:
        if location is not None:
            self.places.give_back(location.country.casefold())
            self.places.give_back(location.city.casefold())


def bits_of(features: tuple[Feature, ...]) -> int:
    """A set of features as one number."""
    bits = 0
    for feature in features:
        bits |= 1 << feature
    return bits


def _gpu_text(said: NodeAnnouncement) -> str:
    return "\n".join(one.casefold() for one in said.hardware.gpus)


def _cells(column: str, capacity: Capacity) -> dict[str, int]:
    return dict(zip(_CELLS[column], _amounts(capacity), strict=True))
