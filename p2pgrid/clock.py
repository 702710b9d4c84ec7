"""Wall-clock time, the one place that reads it."""

import time

from p2pgrid.units import TimestampMs


def now_ms() -> TimestampMs:
    """The present, in whole milliseconds, as other nodes understand it."""
    return TimestampMs(time.time_ns() // 1_000_000)
