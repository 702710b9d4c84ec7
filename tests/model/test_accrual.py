"""Accrual never exceeds the deposit, never shrinks with time, and rounds down."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.model.accrual import accrued
from p2pgrid.units import HOUR_MS, Amount, TimestampMs

amounts = st.integers(0, 2**63 - 1).map(Amount)
times = st.integers(0, 2**42).map(TimestampMs)


@given(amounts, amounts, times, times)
def test_is_between_nothing_and_the_deposit(
    price: Amount, deposit: Amount, start: TimestampMs, until: TimestampMs
) -> None:
    assert 0 <= accrued(price, deposit, start, until) <= deposit


@given(amounts, amounts, times, times, times)
def test_grows_with_time(
    price: Amount, deposit: Amount, start: TimestampMs, one: TimestampMs, other: TimestampMs
) -> None:
    earlier, later = sorted((one, other))

    assert accrued(price, deposit, start, earlier) <= accrued(price, deposit, start, later)


@given(amounts, times, times)
def test_rounds_down_by_less_than_one_unit(
    price: Amount, start: TimestampMs, until: TimestampMs
) -> None:
    exact_times_hour = price * max(0, until - start)

    due = accrued(price, Amount(2**120), start, until)

    assert 0 <= exact_times_hour - due * HOUR_MS < HOUR_MS


def test_a_time_before_the_start_costs_nothing() -> None:
    assert accrued(Amount(10**9), Amount(10**9), TimestampMs(5000), TimestampMs(10)) == 0
