"""The clock is the wall clock, in milliseconds."""

import time

from p2pgrid.clock import now_ms


def test_it_is_the_wall_clock_in_milliseconds() -> None:
    before, now, after = time.time_ns(), now_ms(), time.time_ns()
    assert before // 1_000_000 <= now <= after // 1_000_000
