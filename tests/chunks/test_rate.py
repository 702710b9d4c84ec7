"""The shown rate is that of the last seconds."""

import pytest

from p2pgrid.chunks.rate import Rate


def test_a_steady_flow_has_its_rate_from_the_beginning_and_a_change_shows() -> None:
    rate = Rate()
    assert rate.bytes_per_second(0.0) == 0
    for tenth in range(100):
        rate.add(100, tenth / 10)
        if tenth > 4:
            assert rate.bytes_per_second(tenth / 10) == pytest.approx(1000, rel=0.1)
    for tenth in range(100, 200):
        rate.add(10, tenth / 10)
    assert rate.bytes_per_second(20.0) == pytest.approx(200, rel=0.3)
    assert rate.bytes_per_second(60.0) < 10


def test_the_first_answer_has_no_time_before_it() -> None:
    rate = Rate()
    rate.add(10**9, 5.0)
    assert rate.bytes_per_second(5.0) == 0
    assert rate.bytes_per_second(6.0) == 0
