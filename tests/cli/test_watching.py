"""Who watches sees every change once, and ends it by Ctrl-C without an error."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.cli import watching
from p2pgrid.cli.nodes import nodes
from p2pgrid.cli.watching import changes
from tests.cli.node import FakeClient, run
from tests.cli.test_nodes import ONE

OTHER = {**ONE, "node": "77" * 32}


def found(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"nodes": list(rows), "asked": 0, "agreed": 0}


def test_changes_are_told_and_mere_age_is_none() -> None:
    older, down = {**ONE, "age_ms": 99, "uptime_ms": 7}, {**ONE, "status": "down"}
    assert list(changes(found(ONE), found(older))) == []
    assert list(changes(found(), found(ONE, OTHER))) == [("came", ONE), ("came", OTHER)]
    assert list(changes(found(ONE, OTHER), found(down))) == [("changed", down), ("gone", OTHER)]


def interrupted_after(*answers: dict[str, Any]) -> FakeClient:
    """A node that gives these answers until the person presses Ctrl-C."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    steps: list[Callable[[], Any]] = [lambda one=one: one for one in answers]  # type: ignore[misc]  # one each
    return FakeClient({"/nodes": [*steps, interrupt]})


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_programs_get_lines_until_they_stop(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0)
    client = interrupted_after(found(ONE), found(ONE), found(OTHER))
    result = run(nodes, "list", "--watch", *words, client=client)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    if words:
        told = [json.loads(line) for line in lines]
        assert [one["change"] for one in told] == ["came", "came", "gone"]
        assert told[0] == {"change": "came", **ONE}
    else:
        assert [line.split()[0] for line in lines] == ["came", "came", "gone"]


def test_a_terminal_is_redrawn_and_given_back_at_ctrl_c(tmp_path: Path) -> None:
    script = tmp_path / "watch.py"
    script.write_text(
        "from p2pgrid.cli.nodes import nodes\n"
        "from tests.cli.node import FakeClient\n"
        "from tests.cli.test_watching import ONE, found\n"
        "nodes(['list', '--watch'], obj=FakeClient({'/nodes': found(ONE)}))\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "PYTHONPATH": str(Path.cwd())}
    with subprocess.Popen(
        [sys.executable, script], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        while b"3f9c01aa" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    os.close(ours)
    assert b"NODE" in shown
    assert b"Traceback" not in shown
