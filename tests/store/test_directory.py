"""One process a data directory, and the next one is told who has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pgrid.errors import DataInUse, Unusable
from p2pgrid.store.directory import holder_of, lock_directory

HOLDER = """
import sys, pathlib
from p2pgrid.store.directory import lock_directory
with lock_directory(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_is_told_which_process_holds_it(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path / "data"),
        pytest.raises(DataInUse, match=f"process {os.getpid()};"),
    ):
        lock_directory(tmp_path / "data").__enter__()
    with lock_directory(tmp_path / "data"):
        assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DataInUse, match=f"process {process.pid};"):
            lock_directory(tmp_path).__enter__()
        assert holder_of(tmp_path) == process.pid
        process.kill()
    assert holder_of(tmp_path) is None
    with lock_directory(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_place_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="file/data cannot be used"):
        lock_directory(tmp_path / "file" / "data").__enter__()
