"""What whole nodes cost a month in USD, by the price list of the grid; arrays of all nodes at once.

    price_usd = (CU · cu + SU · su) · factor of the farm · 720 h

CU and SU are those of `reservation.pricing`, of all that reservations can take of the node. There
is no certified hardware, extra fee or discount here, so nothing else changes the price.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from p2pgrid.explorer.selection import Ints
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.units import GIB

Floats = NDArray[np.float64]

_HOURS_PER_MONTH = 720
_USD = 1e7
"""Prices of the grid are in 10^-7 USD."""
_DECIMALS = 4


def usd_per_month(column: Callable[[str], Ints], pricing: PricingPolicy) -> Floats:
    """Of every node of some columns, in USD."""
    left = {
        name: column(f"left_{name}").astype(np.float64)
        for name in ("millicores", "memory_bytes", "ssd_bytes", "hdd_bytes")
    }
    cores, memory_gib = left["millicores"] / 1000, left["memory_bytes"] / GIB
    compute = np.minimum(
        np.maximum(memory_gib / 4, cores / 2),
        np.minimum(np.maximum(memory_gib / 8, cores), np.maximum(memory_gib / 2, cores / 4)),
    )
    storage = (left["hdd_bytes"] / 1200 + left["ssd_bytes"] / 200) / GIB
    per_hour = compute * pricing.cu_per_hour_usd + storage * pricing.su_per_hour_usd
    factor = column("price_permille") / 1000
    price: Floats = np.round(per_hour * factor * _HOURS_PER_MONTH / _USD, _DECIMALS)
    return price
