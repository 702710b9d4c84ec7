"""A reader that polls a log's end gets every byte once, as long as it polls often enough."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.reservation.log_window import LogWindow

WINDOW_BYTES = 300
lines = st.lists(st.integers(0, 10**9).map(lambda number: b"line %010d\n" % number), unique=True)


@given(lines, st.data())
def test_a_reader_that_keeps_up_misses_nothing(written: list[bytes], data: st.DataObject) -> None:
    log, read, offset, window = b"", b"", 0, LogWindow()
    for line in written:
        log += line
        if data.draw(st.booleans()) or len(log) - len(read) > WINDOW_BYTES - 2 * len(line):
            window = window.moved(log[-WINDOW_BYTES:], WINDOW_BYTES)
            while (piece := window.read(offset, 100))[0]:
                read, offset = read + piece[0], piece[1]
            assert read == log
            assert offset == len(log)


def test_what_is_not_known_any_more_is_skipped() -> None:
    window = LogWindow().moved(b"a" * 10, 10).moved(b"b" * 10, 10)

    assert window.read(5, 100) == (b"b" * 10, 20)


def test_an_offset_from_before_a_restart_starts_with_the_window() -> None:
    assert LogWindow().moved(b"new", 10).read(500, 100) == (b"new", 3)
