"""Farms: who offers nodes, where the money goes, which nodes belong to it."""

from dataclasses import dataclass

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.ids import AccountId, FarmId, NodeId, require_ids, require_text
from p2pgrid.model.node import PRICE_PERMILLE_MAX, PRICE_PERMILLE_MIN, Location
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import record
from p2pgrid.wire.kinds import RecordKind

FARM_NAME_BYTES_MAX = 64
MEMBERS_MAX = 1000
PUBLIC_RANGES_MAX = 64


@record(RecordKind.FARM_RECORD)
@dataclass(frozen=True, slots=True, kw_only=True)
class FarmRecord:
    """A farm, signed by its owner's key, which is its id."""

    farm: FarmId
    incarnation: int
    sequence: int
    time_ms: TimestampMs
    title: str
    payout: AccountId
    """Where rewards and rents go."""
    location: Location | None
    price_permille: int
    """Factor on the grid's prices."""
    public_ranges: tuple[str, ...]
    """Public address ranges of the farm, as text prefixes."""

    def __post_init__(self) -> None:
        require_ids(self.farm, self.payout)
        require_text(self.title, "farm name", bytes_max=FARM_NAME_BYTES_MAX)
        if not self.title.strip():
            raise InvalidRecord("a farm needs a name")
        if not PRICE_PERMILLE_MIN <= self.price_permille <= PRICE_PERMILLE_MAX:
            raise InvalidRecord("a farm's price factor is 10 % to 1000 %")
        if len(self.public_ranges) > PUBLIC_RANGES_MAX:
            raise InvalidRecord(f"more than {PUBLIC_RANGES_MAX} address ranges in one record")
        for text in self.public_ranges:
            require_text(text, "address range", bytes_max=64)

    @property
    def author(self) -> bytes:
        """The farm's key."""
        return self.farm

    @property
    def name(self) -> bytes:
        """One register a farm."""
        return b""


@record(RecordKind.FARM_MEMBERS)
@dataclass(frozen=True, slots=True, kw_only=True)
class FarmMembers:
    """Which nodes may claim this farm; others that do show as unconfirmed."""

    farm: FarmId
    incarnation: int
    sequence: int
    time_ms: TimestampMs
    nodes: tuple[NodeId, ...]

    def __post_init__(self) -> None:
        require_ids(self.farm, *self.nodes)
        if len(self.nodes) > MEMBERS_MAX:
            raise InvalidRecord(f"more than {MEMBERS_MAX} nodes in one record")

    @property
    def author(self) -> bytes:
        """The farm's key."""
        return self.farm

    @property
    def name(self) -> bytes:
        """One register a farm."""
        return b""
