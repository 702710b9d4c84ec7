"""What a node says of itself: the slow announcement and the fast-changing free capacity."""

from dataclasses import dataclass
from enum import IntEnum

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId, NodeId, require_ids, require_text
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import record
from p2pgrid.wire.kinds import RecordKind

LATITUDE_SPAN_MICRODEGREES = 180_000_000
LONGITUDE_SPAN_MICRODEGREES = 360_000_000
PRICE_PERMILLE_MIN = 100
PRICE_PERMILLE_MAX = 10_000
_ADDRESSES_MAX = 16
_TEXT_BYTES_MAX = 128


class NodeStatus(IntEnum):
    """What a node says of its own being there."""

    UP = 1
    STANDBY = 2
    GONE = 3


class Reachability(IntEnum):
    """How others get to a node."""

    PUBLIC = 1
    RELAYED = 2
    OVERLAY = 3


class Feature(IntEnum):
    """What a node can run or serve."""

    CONTAINER = 1
    VIRTUAL_MACHINE = 2
    VOLUME = 3
    ZDB = 4
    S3 = 5
    GATEWAY = 6
    GPU = 7
    KUBERNETES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where a farmer says that a node stands."""

    country: str
    city: str
    latitude_microdegrees: int
    """North of the south pole; the equator is 90,000,000. Records hold no negatives."""
    longitude_microdegrees: int
    """East of the antimeridian: 180,000,000 is Greenwich."""

    def __post_init__(self) -> None:
        require_text(self.country, "country", bytes_max=_TEXT_BYTES_MAX)
        require_text(self.city, "city", bytes_max=_TEXT_BYTES_MAX)
        if not 0 <= self.latitude_microdegrees <= LATITUDE_SPAN_MICRODEGREES:
            raise InvalidRecord("latitude is out of range")
        if not 0 <= self.longitude_microdegrees <= LONGITUDE_SPAN_MICRODEGREES:
            raise InvalidRecord("longitude is out of range")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a machine is made of; empty texts where it does not say."""

    board: str
    cpu_model: str
    gpus: tuple[str, ...]
    secure_boot: bool | None
    """None: no EFI, or it does not say."""
    virtualized: str | None
    """The hypervisor's name; None on bare metal."""

    def __post_init__(self) -> None:
        for text in (self.board, self.cpu_model, *self.gpus, self.virtualized or ""):
            require_text(text, "hardware name", bytes_max=_TEXT_BYTES_MAX)
        if len(self.gpus) > 64:
            raise InvalidRecord("more than 64 GPUs")


@record(RecordKind.NODE_ANNOUNCEMENT)
@dataclass(frozen=True, slots=True, kw_only=True)
class NodeAnnouncement:
    """A node and what it has, signed by itself; anew on every change and every 6 hours."""

    node: NodeId
    farm: FarmId
    incarnation: int
    """Goes up at every start of the node, stored before use."""
    sequence: int
    time_ms: TimestampMs
    status: NodeStatus
    total: Capacity
    system: Capacity
    """What the node keeps for itself."""
    location: Location | None
    addresses: tuple[str, ...]
    """Multiaddrs with peer id, IPv6 first."""
    reachability: Reachability
    overlay_address: str
    features: tuple[Feature, ...]
    hardware: Hardware
    price_permille: int
    """The farm's factor on the grid's prices, 100 to 10,000."""
    version: str
    boot_ms: TimestampMs

    def __post_init__(self) -> None:
        require_ids(self.node, self.farm)
        if len(self.addresses) > _ADDRESSES_MAX or len(self.features) > len(Feature):
            raise InvalidRecord("too many addresses or features")
        if not PRICE_PERMILLE_MIN <= self.price_permille <= PRICE_PERMILLE_MAX:
            raise InvalidRecord("a price factor is 10 % to 1000 %")
        for address in (*self.addresses, self.overlay_address, self.version):
            require_text(address, "address", bytes_max=256)

    @property
    def author(self) -> bytes:
        """The node itself."""
        return self.node

    @property
    def name(self) -> bytes:
        """One register a node."""
        return b""


@record(RecordKind.CAPACITY_UPDATE)
@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityUpdate:
    """What a node has left now, signed by itself. Nobody else recomputes it."""

    node: NodeId
    incarnation: int
    sequence: int
    time_ms: TimestampMs
    free: Capacity
    reservations: int

    def __post_init__(self) -> None:
        require_ids(self.node)

    @property
    def author(self) -> bytes:
        """The node itself."""
        return self.node

    @property
    def name(self) -> bytes:
        """One register a node."""
        return b""
