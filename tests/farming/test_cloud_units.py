"""Receipts are the same at every peer: the vectors of the field, and laws that hold for all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.farming.cloud_units import (
    CloudUnits,
    cloud_units,
    reward,
    reward_milli_usd,
    scaled_by_uptime,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import FarmingPolicy
from p2pgrid.units import GIB, TIB

POLICY = FarmingPolicy()
PERIOD = POLICY.period_seconds
NODE = Capacity(millicores=8000, memory_bytes=32 * GIB, ssd_bytes=1000 * GIB, hdd_bytes=4000 * GIB)

capacities = st.builds(
    Capacity,
    millicores=st.integers(0, 512_000),
    memory_bytes=st.integers(0, 4 * TIB),
    ssd_bytes=st.integers(0, 100 * TIB),
    hdd_bytes=st.integers(0, 100 * TIB),
)


def test_the_published_node() -> None:
    units = cloud_units(NODE)
    assert units == CloudUnits(7_750_000, 7_333_333, 0)
    full = reward_milli_usd(units, POLICY)
    assert full == 25_933
    assert reward(full, tft_milli_usd=80) == 3_241_625_000


@pytest.mark.parametrize(
    ("uptime", "milli_usd", "amount"), [(0.973, 25_206, 3_150_859_500), (0.949, 0, 0)]
)
def test_the_published_node_with_less_uptime(uptime: float, milli_usd: int, amount: int) -> None:
    up_seconds = int(uptime * PERIOD)
    full = reward_milli_usd(cloud_units(NODE), POLICY)

    def scaled(value: int) -> int:
        return scaled_by_uptime(value, up_seconds=up_seconds, period_seconds=PERIOD)

    assert scaled(full) == milli_usd
    assert scaled(reward(full, tft_milli_usd=80)) == amount


def test_the_published_certified_node_with_traffic_and_an_address() -> None:
    units = cloud_units(NODE, public_bytes=500 * GIB)
    full = reward_milli_usd(units, POLICY, ipv4_seconds=PERIOD, is_certified=True)
    assert full == 55_733
    assert reward(full, tft_milli_usd=80) == 6_966_625_000


@pytest.mark.parametrize(
    ("permille", "diy", "certified"),
    [(949, 0, 0), (950, 950, 0), (979, 979, 0), (980, 980, 980), (1001, 1000, 1000)],
)
def test_uptime_counts_from_a_threshold(permille: int, diy: int, certified: int) -> None:
    results = [
        scaled_by_uptime(1000, up_seconds=permille, period_seconds=1000, is_certified=is_certified)
        for is_certified in (False, True)
    ]
    assert results == [diy, certified]


@given(capacities, capacities)
def test_more_capacity_never_earns_less(one: Capacity, more: Capacity) -> None:
    before = reward_milli_usd(cloud_units(one), POLICY)
    after = reward_milli_usd(cloud_units(one + more), POLICY)
    assert 0 <= before <= after


@given(capacities, st.integers(0, PERIOD), st.booleans())
def test_nobody_earns_more_than_the_full_period(
    capacity: Capacity, up_seconds: int, is_certified: bool
) -> None:
    full = reward_milli_usd(cloud_units(capacity), POLICY, is_certified=is_certified)
    paid = scaled_by_uptime(
        full, up_seconds=up_seconds, period_seconds=PERIOD, is_certified=is_certified
    )
    assert 0 <= paid <= full


def test_a_machine_smaller_than_its_own_programs_counts_nothing() -> None:
    assert cloud_units(Capacity(millicores=1000, memory_bytes=GIB // 2)).cu_micro == 0
