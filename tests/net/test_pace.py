"""Buckets allow bursts and hold the long run."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.net.pace import TokenBucket


@given(st.lists(st.floats(0, 3), max_size=200), st.integers(1, 20), st.floats(0.1, 10))
def test_never_more_than_burst_and_rate_allow(
    pauses: list[float], burst: int, per_second: float
) -> None:
    bucket = TokenBucket(per_second=per_second, burst=burst, now=0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)

    assert taken <= burst + now * per_second + 1e-6


@given(st.integers(1, 20), st.floats(0.1, 100))
def test_after_the_wait_the_next_may_happen(burst: int, per_second: float) -> None:
    bucket = TokenBucket(per_second=per_second, burst=burst, now=0)
    assert all(bucket.take(0) for _ in range(burst))
    wait = bucket.wait_seconds(0)

    assert 0 < wait <= 1 / per_second
    assert not bucket.take(wait / 2)
    assert bucket.wait_seconds(wait + 1e-6) == 0.0
    assert bucket.take(wait + 1e-6)


def test_several_are_taken_together_or_not_at_all() -> None:
    bucket = TokenBucket(per_second=1, burst=10, now=0)

    assert bucket.take(0, 8)
    assert not bucket.take(0, 3)
    assert bucket.tokens(0) == 2
    assert bucket.take(1, 3)


def test_many_at_once_wait_for_all_of_them() -> None:
    bucket = TokenBucket(per_second=2, burst=10, now=0)
    assert bucket.take(0, 8)

    assert bucket.wait_seconds(0, 5) == 1.5
    assert not bucket.take(1.4, 5)
    assert bucket.take(1.5, 5)
