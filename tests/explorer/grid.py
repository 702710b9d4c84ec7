"""Records of an imagined grid."""

from dataclasses import replace
from typing import Any

from nacl.signing import SigningKey

from p2pgrid.explorer.announce import NodeFacts, Stamp, announcement_of
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.flist import FlistName, Holdings
from p2pgrid.model.ids import AccountId, FarmId, FlistId, NetworkId, NodeId
from p2pgrid.model.node import CapacityUpdate, Feature, Hardware, Location, NodeAnnouncement
from p2pgrid.units import GIB, TimestampMs
from p2pgrid.wire.signed import Signed, sign

GRID = NetworkId(b"a grid for tests")
NOW = TimestampMs(1_800_000_000_000)
FARM_KEY = SigningKey(b"farm".ljust(32, b"."))
FARM = FarmId(bytes(FARM_KEY.verify_key))
TOTAL = Capacity(millicores=8000, memory_bytes=32 * GIB, ssd_bytes=500 * GIB)
HARDWARE = Hardware(board="board", cpu_model="cpu", gpus=(), secure_boot=None, virtualized=None)


class Unsearched(tuple[NodeId, ...]):
    """A list that takes too long to search."""

    __slots__ = ()

    def __contains__(self, node: object) -> bool:
        raise AssertionError("the list was searched")


def key_of(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def node_of(number: int) -> NodeId:
    return NodeId(bytes(key_of(number).verify_key))


def facts(number: int, **changes: Any) -> NodeFacts:
    plain = NodeFacts(
        node=node_of(number),
        farm=FARM,
        total=TOTAL,
        system=Capacity(memory_bytes=4 * GIB),
        addresses=(f"/ip4/10.0.0.{number % 250}/tcp/4001",),
        features=(Feature.CONTAINER,),
        hardware=HARDWARE,
        boot_ms=NOW,
        version="0.1.0",
    )
    return replace(plain, **changes)


def announced(
    number: int,
    *,
    incarnation: int = 1,
    sequence: int = 0,
    time_ms: int = NOW,
    grid: NetworkId = GRID,
    **changes: Any,
) -> Signed[ExplorerRecord]:
    stamp = Stamp(incarnation, sequence, TimestampMs(time_ms))
    said: NodeAnnouncement = announcement_of(facts(number, **changes), stamp)
    return sign(said, key_of(number), grid)


def updated(
    number: int,
    free: Capacity,
    *,
    incarnation: int = 1,
    sequence: int = 0,
    time_ms: int = NOW,
    reservations: int = 0,
) -> Signed[ExplorerRecord]:
    update = CapacityUpdate(
        node=node_of(number),
        incarnation=incarnation,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        free=free,
        reservations=reservations,
    )
    return sign(update, key_of(number), GRID)


def farm_record(
    title: str = "Acme", *, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    farm = FarmRecord(
        farm=FARM,
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        title=title,
        payout=AccountId(FARM),
        location=Location(
            country="Belgium",
            city="Ghent",
            latitude_microdegrees=141_000_000,
            longitude_microdegrees=183_700_000,
        ),
        price_permille=1000,
        public_ranges=(),
    )
    return sign(farm, FARM_KEY, GRID)


def farm_members(*numbers: int, sequence: int = 0, time_ms: int = NOW) -> Signed[ExplorerRecord]:
    members = FarmMembers(
        farm=FARM,
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        nodes=tuple(node_of(number) for number in numbers),
    )
    return sign(members, FARM_KEY, GRID)


def members_of(number: int, count: int) -> Signed[ExplorerRecord]:
    """A list of so many nodes by the farm of a free key."""
    farm = FarmMembers(
        farm=FarmId(node_of(number)), incarnation=1, sequence=0, time_ms=NOW,
        nodes=tuple(NodeId(number.to_bytes(16) + n.to_bytes(16)) for n in range(count)),
    )  # fmt: skip
    return sign(farm, key_of(number), GRID)


def flist_name(
    number: int, title: str, flist: FlistId | None, *, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    name = FlistName(
        publisher=AccountId(node_of(number)),
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        title=title,
        tag="1",
        flist=flist,
        flist_bytes=1,
        content_bytes=1,
        description="",
    )
    return sign(name, key_of(number), GRID)


def holdings(
    number: int, *flists: FlistId, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    held = Holdings(
        node=node_of(number),
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        flists=flists,
    )
    return sign(held, key_of(number), GRID)
