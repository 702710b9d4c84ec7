"""Prices: the published vectors, and that more never costs less."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.model.accrual import accrued
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.reservation.pricing import (
    CU_DENOMINATOR,
    compute_units,
    deposit_for,
    price_per_hour,
    usd_per_hour,
)
from p2pgrid.units import GIB, TIB, Amount, TimestampMs

POLICY = PricingPolicy()
DEVELOPMENT = PricingPolicy(cu_per_hour_usd=100_000, su_per_hour_usd=50_000)
SMALL = Capacity(millicores=2000, memory_bytes=2 * GIB, ssd_bytes=15 * GIB)

needs = st.builds(
    Capacity,
    millicores=st.integers(0, 1_024_000),
    memory_bytes=st.integers(0, 16 * TIB),
    ssd_bytes=st.integers(0, 100 * TIB),
    hdd_bytes=st.integers(0, 100 * TIB),
)
permilles = st.integers(100, 10_000)


@pytest.mark.parametrize(
    ("cores", "memory_gib", "expected"),
    [
        (1, 1, 0.5),
        (1, 2, 0.5),
        (2, 4, 1),
        (4, 8, 2),
        (8, 16, 4),
        (8, 32, 8),
        (2, 16, 2),
        (16, 16, 8),
        (1, 8, 1),
        (4, 1, 1),
    ],
)
def test_compute_units_are_the_published_ones(cores: int, memory_gib: int, expected: float) -> None:
    units = compute_units(Capacity(millicores=cores * 1000, memory_bytes=memory_gib * GIB))

    assert units / CU_DENOMINATOR == expected


def test_prices_are_the_published_ones() -> None:
    assert usd_per_hour(SMALL, DEVELOPMENT) == 103_750
    assert price_per_hour(SMALL, DEVELOPMENT, 1000) == 1_296_875
    assert usd_per_hour(SMALL, POLICY) == 320_180
    assert price_per_hour(SMALL, POLICY, 1000) == 4_002_250


def test_a_farm_s_factor_scales_the_price() -> None:
    assert price_per_hour(SMALL, POLICY, 500) == 2_001_125
    assert price_per_hour(SMALL, POLICY, 2000) == 8_004_500


@given(needs)
def test_agrees_with_exact_fractions(needs: Capacity) -> None:
    memory, cores = Fraction(needs.memory_bytes, GIB), Fraction(needs.millicores, 1000)
    compute = min(max(memory / 4, cores / 2), max(memory / 8, cores), max(memory / 2, cores / 4))
    storage = Fraction(needs.hdd_bytes, GIB) / 1200 + Fraction(needs.ssd_bytes, GIB) / 200

    exact = compute * POLICY.cu_per_hour_usd + storage * POLICY.su_per_hour_usd

    assert usd_per_hour(needs, POLICY) == floor(exact)


@given(needs, needs, permilles)
def test_more_never_costs_less_and_nothing_is_free(
    some: Capacity, more: Capacity, permille: int
) -> None:
    price = price_per_hour(some, POLICY, permille)

    assert 1 <= price <= price_per_hour(some + more, POLICY, permille)


@given(needs, permilles, st.integers(60, 366 * 24 * 3600))
def test_a_deposit_covers_the_whole_duration_and_no_second_more(
    needs: Capacity, permille: int, duration_seconds: int
) -> None:
    price = price_per_hour(needs, POLICY, permille)
    deposit = deposit_for(price, duration_seconds)

    end = TimestampMs(duration_seconds * 1000)
    assert accrued(price, Amount(2**100), TimestampMs(0), end) <= deposit
    assert deposit * 3600 < price * duration_seconds + 3600


def test_more_than_any_money_is_refused() -> None:
    with pytest.raises(BadInput, match="more than there is money"):
        deposit_for(Amount(2**62), 7 * 3600)
