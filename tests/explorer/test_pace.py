"""A few at once, then one each interval, whatever the clock does."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.explorer.pace import Pace
from p2pgrid.units import TimestampMs

INTERVAL_MS, BURST = 1000, 3


def pace() -> Pace:
    return Pace(interval_ms=INTERVAL_MS, burst=BURST, keys_max=2)


@given(st.lists(st.integers(0, 3000), max_size=50))
def test_no_window_holds_more_than_its_intervals_and_the_burst(pauses: list[int]) -> None:
    one, now, taken = pace(), 0, list[int]()
    for pause_ms in pauses:
        now += pause_ms
        if one.take("key", TimestampMs(now)):
            taken.append(now)
    for first, start in enumerate(taken):
        for count, end in enumerate(taken[first:], start=1):
            assert count <= BURST + (end - start) / INTERVAL_MS


@given(st.integers(0, 20), st.integers(0, 10_000))
def test_it_says_when_it_may_happen_next(times: int, start_ms: int) -> None:
    one = pace()
    for _ in range(times):
        one.take("key", TimestampMs(start_ms))
    next_ms = one.next_ms("key", TimestampMs(start_ms))
    assert one.allows("key", next_ms)
    assert next_ms == start_ms or not one.allows("key", TimestampMs(next_ms - 1))


def test_keys_have_buckets_of_their_own_and_few_are_remembered() -> None:
    one, now = pace(), TimestampMs(0)
    for key in ("a", "b"):
        assert [one.take(key, now) for _ in range(4)] == [True, True, True, False]
    one.take("c", now)
    assert one.allows("a", now)
    assert not one.allows("b", now)


def test_a_clock_that_was_set_back_does_not_silence_for_long() -> None:
    one = pace()
    for _ in range(3):
        one.take("key", TimestampMs(10**12))
    assert one.next_ms("key", TimestampMs(0)) <= BURST * INTERVAL_MS
