"""Cloud units: what a machine's capacity counts, and what it earns in a farming period.

Integers throughout, rounded down at each division, in the order written here,
so that every peer computes the same receipt. Cloud units are in millionths.
"""

from dataclasses import dataclass

from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import FarmingPolicy
from p2pgrid.units import GIB, HOUR_SECONDS, TFT, Amount

MICRO = 1_000_000

_CU_PER_CORE = 2
_MEMORY_GIB_PER_CU = 4
_SSD_GIB_PER_CU = 50
_HDD_GIB_PER_SU = 1200
_SSD_GIB_PER_SU = 250
_CERTIFIED_NUMERATOR, _CERTIFIED_DENOMINATOR = 5, 4
_UPTIME_PERMILLE_MIN = 950
_UPTIME_PERMILLE_MIN_CERTIFIED = 980


@dataclass(frozen=True, slots=True)
class CloudUnits:
    """What capacity and traffic count, in millionths."""

    cu_micro: int
    """Compute: cores, memory, and the SSD that goes with them."""
    su_micro: int
    """Storage."""
    nu_micro: int
    """Public traffic."""


def cloud_units(capacity: Capacity, *, public_bytes: int = 0) -> CloudUnits:
    """What a node's capacity counts.

    >>> units = cloud_units(
    ...     Capacity(millicores=8000, memory_bytes=32 * GIB, ssd_bytes=1000 * GIB,
    ...              hdd_bytes=4000 * GIB))
    >>> units.cu_micro, units.su_micro
    (7750000, 7333333)
    """
    compute = min(
        capacity.millicores * _CU_PER_CORE * GIB * MICRO // 1000,
        # The node's own programs take one GiB.
        max(0, capacity.memory_bytes - GIB) * MICRO // _MEMORY_GIB_PER_CU,
        capacity.ssd_bytes * MICRO // _SSD_GIB_PER_CU,
    )
    storage = (
        capacity.hdd_bytes * MICRO // _HDD_GIB_PER_SU
        + capacity.ssd_bytes * MICRO // _SSD_GIB_PER_SU
    )
    return CloudUnits(compute // GIB, storage // GIB, public_bytes * MICRO // GIB)


def reward_milli_usd(
    units: CloudUnits, policy: FarmingPolicy, *, ipv4_seconds: int = 0, is_certified: bool = False
) -> int:
    """What cloud units earn in a full period, in thousandths of a USD.

    Args:
        units: of one node.
        policy: the grid's.
        ipv4_seconds: public IPv4 addresses used, summed over the time of each.
        is_certified: certified hardware earns a quarter more.
    """
    milli_usd = (
        units.cu_micro * policy.cu_milli_usd
        + units.su_micro * policy.su_milli_usd
        + units.nu_micro * policy.nu_milli_usd
    ) // MICRO + ipv4_seconds * policy.ipv4_milli_usd // HOUR_SECONDS
    if is_certified:
        return milli_usd * _CERTIFIED_NUMERATOR // _CERTIFIED_DENOMINATOR
    return milli_usd


def reward(milli_usd: int, *, tft_milli_usd: int) -> Amount:
    """The same in TFT, at the price that counts for the node (over 0)."""
    return Amount(milli_usd * TFT // tft_milli_usd)


def scaled_by_uptime(
    full: int, *, up_seconds: int, period_seconds: int, is_certified: bool = False
) -> int:
    """What is left of a full period's reward; nothing under 95 % of uptime, certified 98 %."""
    permille = min(up_seconds * 1000 // period_seconds, 1000)
    least = _UPTIME_PERMILLE_MIN_CERTIFIED if is_certified else _UPTIME_PERMILLE_MIN
    return 0 if permille < least else full * permille // 1000
