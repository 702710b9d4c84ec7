"""Tools of the machine end when we do, and say why they failed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pgrid.errors import CannotRun
from p2pgrid.limits import workload as limits
from p2pgrid.workload.container import exit_code, has_ended
from p2pgrid.workload.tool import run_tool


def test_output_and_input() -> None:
    assert run_tool("cat", stdin=b"text") == b"text"


def test_output_may_go_elsewhere(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as output:
        nothing = run_tool("sh", "-c", "echo out; echo err >&2", output=output.fileno())

    assert nothing == b""
    assert (tmp_path / "out").read_text() == "out\nerr\n"


def test_failure_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CannotRun, match="no such thing"):
        run_tool("sh", "-c", "echo no such thing >&2; exit 3")
    with pytest.raises(CannotRun, match="absent-tool"):
        run_tool("absent-tool")
    monkeypatch.setattr(limits, "TOOL_SECONDS_MAX", 0.1)
    with pytest.raises(CannotRun, match="did not run"):
        run_tool("sleep", "60")


def test_a_tool_dies_with_the_program_that_called_it() -> None:
    code = (
        "from p2pgrid.workload.tool import run_tool\n"
        "run_tool('sh', '-c', 'echo $$ > /proc/$PPID/fd/1; exec sleep 60')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        tool = os.pidfd_open(int(program.stdout.readline()))
        program.kill()
        program.wait()
    try:
        assert has_ended(tool, limits.DEAD_SECONDS_MAX)
        exit_code(tool)  # ours, if something in this process has adopted orphans
    finally:
        os.close(tool)
