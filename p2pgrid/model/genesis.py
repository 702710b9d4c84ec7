"""A grid is its genesis record: name, witnesses, first balances, prices and farming policy."""

import re
from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.ids import (
    ID_BYTES,
    NETWORK_ID_BYTES,
    AccountId,
    NetworkId,
    NodeId,
    require_ids,
    require_text,
)
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import encode, record
from p2pgrid.wire.kinds import RecordKind

WITNESSES_MAX = 128
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PricingPolicy:
    """What capacity costs by default; see design of the economics. USD in units of 10^-7."""

    cu_per_hour_usd: int = 305_600
    su_per_hour_usd: int = 194_400
    nu_per_gigabyte_usd: int = 500_000
    ipv4_per_hour_usd: int = 69_400
    tft_usd: int = 800_000
    """One TFT, when no price has been attested."""
    farm_permille: int = 1000
    """The farm's share of what a reservation pays; a grid without foundation gives all."""
    fee: Amount = Amount(10_000)
    """Burnt for every operation of a consumer: 0.001 TFT."""

    def __post_init__(self) -> None:
        if self.tft_usd <= 0:
            raise InvalidRecord("one TFT is worth more than nothing: prices divide by it")
        if self.farm_permille > 1000:
            raise InvalidRecord("a farm gets at most all of a payment")


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmingPolicy:
    """What attested capacity earns, per farming period."""

    period_seconds: int = 2_630_880
    cu_milli_usd: int = 2400
    su_milli_usd: int = 1000
    nu_milli_usd: int = 30
    ipv4_milli_usd: int = 5
    supply_max: Amount = Amount(1_000_000_000 * 10_000_000)

    def __post_init__(self) -> None:
        if self.period_seconds <= 0:
            raise InvalidRecord("a farming period lasts at least a second")


@record(RecordKind.GENESIS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Genesis:
    """The constitution of one grid. Not signed: whoever joins a grid has chosen it."""

    name: str
    created_ms: TimestampMs
    nonce: bytes
    """16 random bytes: two grids of one name differ."""
    witnesses: tuple[tuple[NodeId, int], ...]
    """(key, weight), sorted by key."""
    balances: tuple[tuple[AccountId, Amount], ...]
    """Sorted by account."""
    pricing: PricingPolicy
    farming: FarmingPolicy
    epoch_seconds: int
    seeds: tuple[str, ...]
    """Multiaddrs of first peers; none is special."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRecord(f"{self.name!r} is not a grid name: 1 to 32 of a-z 0-9 -")
        if len(self.nonce) != 16:
            raise InvalidRecord("a nonce has 16 bytes")
        keys = [key for key, _ in self.witnesses]
        accounts = [account for account, _ in self.balances]
        require_ids(*keys, *accounts)
        if not 1 <= len(keys) <= WITNESSES_MAX or any(w <= 0 for _, w in self.witnesses):
            raise InvalidRecord(f"a grid has 1 to {WITNESSES_MAX} witnesses, each with a weight")
        for ids in (keys, accounts):
            if ids != sorted(set(ids)):
                raise InvalidRecord("witnesses and balances are sorted, each named once")
        if self.epoch_seconds <= 0:
            raise InvalidRecord("an epoch lasts at least a second")
        if sum(amount for _, amount in self.balances) > INTEGER_MAX:
            raise InvalidRecord("balances add up to more than 2^63-1")
        for seed in self.seeds:
            require_text(seed, "seed", bytes_max=256)

    @property
    def network(self) -> NetworkId:
        """The grid's id, which salts every other id and signature."""
        digest = blake2b(encode(self), digest_size=ID_BYTES).digest()
        return NetworkId(digest[:NETWORK_ID_BYTES])
