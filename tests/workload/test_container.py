"""Processes as seen by descriptors; runc itself is tried in `test_service`."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from p2pgrid.errors import CannotRun
from p2pgrid.limits import workload as limits
from p2pgrid.workload.container import Runtime, exit_code, has_ended, signal_number, stop


@pytest.mark.parametrize(
    ("name", "number"),
    [("SIGQUIT", 3), ("INT", 2), ("9", 9), ("", 15), ("SIGNOTHING", 15), ("0", 15), ("99", 15),
     ("9" * 5000, 15), ("²", 15)],
)  # fmt: skip
def test_signals(name: str, number: int) -> None:
    assert signal_number(name) == number


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("exit 0", 0), ("kill -SEGV $$", 128 + signal.SIGSEGV)]
)
def test_exit_codes(script: str, code: int) -> None:
    child = subprocess.Popen(["sh", "-c", script])
    process = os.pidfd_open(child.pid)
    try:
        assert has_ended(process, limits.DEAD_SECONDS_MAX)
        assert exit_code(process) == code
        assert exit_code(process) is None
    finally:
        os.close(process)
        child.wait()


def test_those_that_do_not_stop_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STOP_SECONDS_MAX", 0.2)
    stubborn = "trap '' TERM; echo up; while :; do sleep 1; done"
    children = [
        subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        for script in (stubborn, "echo up; exec sleep 60")
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        child.stdout.close()
    processes = [os.pidfd_open(child.pid) for child in children]
    stop([(process, signal.SIGTERM) for process in processes])
    stop([(process, signal.SIGTERM) for process in processes])
    ended = [has_ended(process) for process in processes]
    for process, child in zip(processes, children, strict=True):
        os.close(process)
        child.wait()

    assert ended == [True, True]


def test_a_runtime_that_knows_nothing(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path / "runc")

    assert runtime.tags() == set()
    assert runtime.state("absent") is None
    assert runtime.find("absent") is None
    runtime.delete("absent")
    with pytest.raises(CannotRun, match="does not start"):
        runtime.start("absent", tmp_path, 2)
