"""A log says what came since an offset, as far back as it remembers."""

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.crdt.arrivals import ArrivalLog


@given(st.integers(0, 30), st.integers(1, 10), st.integers(0, 30), st.integers(1, 30))
def test_what_came_since_an_offset(count: int, kept: int, offset: int, count_max: int) -> None:
    log = ArrivalLog()
    log._ids = deque(maxlen=kept)
    ids = [bytes([number]) * 32 for number in range(count)]
    for identity in ids:
        log.append(identity)
    assert (log.start, log.end) == (max(0, count - kept), count)
    if log.start <= offset <= log.end:
        assert log.since(offset, count_max) == ids[offset:][:count_max]
