"""The price of a whole node is what the price list of the grid says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.reservation.pricing import usd_per_hour
from p2pgrid.units import GIB, TIB
from tests.explorer.grid import announced
from tests.gridproxy.world import PRICING, World, view_of

HOURS = 720


def price_of(left: Capacity, permille: int = 1000) -> float:
    said = announced(1, total=left, system=Capacity(), price_permille=permille)
    (row,) = World(view_of([said])).rows("/nodes")
    price: float = row["price_usd"]
    return price


@given(
    st.builds(
        Capacity,
        millicores=st.integers(0, 512_000),
        memory_bytes=st.integers(0, 4 * TIB),
        ssd_bytes=st.integers(0, 100 * TIB),
        hdd_bytes=st.integers(0, 1000 * TIB),
    ),
    st.integers(100, 10_000),
)
def test_it_is_that_of_a_reservation_of_all_of_it(left: Capacity, permille: int) -> None:
    expected = usd_per_hour(left, PRICING) * HOURS * permille / 1000 / 1e7
    rounded_down = HOURS * permille / 1000 / 1e7
    assert price_of(left, permille) == pytest.approx(expected, rel=1e-9, abs=rounded_down + 1e-4)


def test_an_example() -> None:
    """2 cores, 2 GiB and 15 GiB of SSD are 1 CU and 0.075 SU."""
    left = Capacity(millicores=2000, memory_bytes=2 * GIB, ssd_bytes=15 * GIB)
    assert price_of(left) == pytest.approx((0.03056 + 0.075 * 0.01944) * HOURS, abs=1e-4)
    assert price_of(left, 500) == pytest.approx(price_of(left) / 2, abs=1e-4)


def test_what_the_system_takes_costs_nothing() -> None:
    said = announced(1, total=Capacity(ssd_bytes=GIB), system=Capacity(ssd_bytes=GIB))
    assert World(view_of([said])).rows("/nodes")[0]["price_usd"] == 0


def test_invented_sizes_have_a_price_too() -> None:
    assert price_of(Capacity(memory_bytes=INTEGER_MAX, hdd_bytes=INTEGER_MAX)) > 0
