"""What capacity costs: integer formulas over the grid's price list.

    CU = min(max(m/4, c/2), max(m/8, c), max(m/2, c/4))      m memory in GiB, c cores
    SU = hdd GiB / 1200 + ssd GiB / 200

Everything is computed over common denominators and rounded down once for each
currency, so every peer computes the same price from the same needs. The
formulas are those of the ThreeFold Grid (`tfchain`, pallet-smart-contract,
cost.rs), which rounds half up in fixed point; we may differ by one unit.
"""

from p2pgrid.errors import BadInput
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.units import GIB, HOUR_SECONDS, TFT, Amount

CU_DENOMINATOR = 8 * 1000 * GIB
"""Eighths (the smallest divisor of the formula) of millicores and of bytes."""

SU_DENOMINATOR = 1200 * GIB
"""The larger divisor of the formula, of bytes."""

PERMILLE = 1000


def compute_units(needs: Capacity) -> int:
    """CU of `needs`, in parts of CU_DENOMINATOR.

    >>> compute_units(Capacity(millicores=2000, memory_bytes=4 * GIB)) / CU_DENOMINATOR
    1.0
    """
    memory = needs.memory_bytes * PERMILLE
    cores = needs.millicores * GIB
    return min(max(2 * memory, 4 * cores), max(memory, 8 * cores), max(4 * memory, 2 * cores))


def storage_units(needs: Capacity) -> int:
    """SU of `needs`, in parts of SU_DENOMINATOR.

    >>> storage_units(Capacity(ssd_bytes=15 * GIB)) / SU_DENOMINATOR
    0.075
    """
    return needs.hdd_bytes + 6 * needs.ssd_bytes


def usd_per_hour(needs: Capacity, pricing: PricingPolicy) -> int:
    """What `needs` costs an hour by the grid's price list, in 10^-7 USD, rounded down."""
    compute = pricing.cu_per_hour_usd * compute_units(needs) * SU_DENOMINATOR
    storage = pricing.su_per_hour_usd * storage_units(needs) * CU_DENOMINATOR
    return (compute + storage) // (CU_DENOMINATOR * SU_DENOMINATOR)


def price_per_hour(needs: Capacity, pricing: PricingPolicy, price_permille: int) -> Amount:
    """What a farm with the factor `price_permille` charges an hour.

    At least one unit: an escrow cannot hold nothing.

    Raises:
        BadInput: more than any amount of money.
    """
    units = usd_per_hour(needs, pricing) * TFT * price_permille // (pricing.tft_usd * PERMILLE)
    return _amount(max(1, units))


def deposit_for(price_per_hour: Amount, duration_seconds: int) -> Amount:
    """What covers the whole duration, rounded up. Raises BadInput: more than any amount.

    >>> deposit_for(Amount(3601), 3600), deposit_for(Amount(3601), 1)
    (3601, 2)
    """
    return _amount(-(-price_per_hour * duration_seconds // HOUR_SECONDS))


def _amount(units: int) -> Amount:
    if units > INTEGER_MAX:
        raise BadInput("that much capacity for that long costs more than there is money")
    return Amount(units)
