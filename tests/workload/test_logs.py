"""Logs have an end that can be read, and a size that does not grow."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits import workload as limits
from p2pgrid.workload.logs import older_log, open_log, rotate, tail


@given(older=st.binary(max_size=50), newer=st.binary(max_size=50), tail_bytes=st.integers(-5, 200))
def test_the_tail_is_the_end_of_what_was_written(
    older: bytes, newer: bytes, tail_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    log = tmp_path_factory.mktemp("logs") / "web.log"
    log.write_bytes(newer)
    older_log(log).write_bytes(older)
    wanted_bytes = max(tail_bytes, 0)

    assert tail(log, tail_bytes) == ((older + newer)[-wanted_bytes:] if wanted_bytes else b"")


def test_a_log_that_is_too_long_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOG_BYTES_MAX", 10)
    log = tmp_path / "web.log"
    writer = open_log(log, os.geteuid())
    os.write(writer, b"0123456789")
    was_short = rotate(log)
    os.write(writer, b"abc")
    was_long = rotate(log)
    os.write(writer, b"new")
    os.close(writer)

    assert (was_short, was_long) == (False, True)
    assert log.read_bytes() == b"new"
    assert older_log(log).read_bytes() == b"3456789abc"
    assert tail(log, 5) == b"bcnew"


def test_no_log_is_an_empty_log(tmp_path: Path) -> None:
    assert tail(tmp_path / "web.log", 10) == b""
    assert rotate(tmp_path / "web.log") is False


def test_a_log_is_never_a_link(tmp_path: Path) -> None:
    (tmp_path / "web.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        open_log(tmp_path / "web.log", os.geteuid())
    assert not (tmp_path / "elsewhere").exists()
