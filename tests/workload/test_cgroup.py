"""Control groups are read, emptied and removed."""

import os
import secrets
import subprocess

import pytest

from p2pgrid.limits import workload as limits
from p2pgrid.workload.cgroup import (
    groups_below,
    hierarchies,
    kill_group,
    read_usage,
    remove_empty_group,
    remove_group,
)

pytestmark = pytest.mark.root


def test_a_group_is_emptied_and_removed() -> None:
    parent = f"/p2pgrid-test-{secrets.token_hex(4)}"
    child = subprocess.Popen(["sleep", "60"])
    try:
        for hierarchy in hierarchies():
            (hierarchy / parent[1:] / "inner").mkdir(parents=True)
        (hierarchies()[-1] / parent[1:] / "inner" / "cgroup.procs").write_text(str(child.pid))
        below = groups_below(parent)
        remove_group(parent)
        still_below = groups_below(parent)
        process = os.pidfd_open(child.pid)
        is_empty = kill_group(f"{parent}/inner", limits.DEAD_SECONDS_MAX)
        os.close(process)
        remove_empty_group(parent)
        not_yet_gone = groups_below(parent)
    finally:
        child.kill()
        child.wait()
        remove_group(parent)

    assert below == still_below == not_yet_gone == {"inner"}
    assert is_empty
    assert groups_below(parent) == set()
    assert not any((hierarchy / parent[1:]).exists() for hierarchy in hierarchies())


def test_what_does_not_exist_uses_nothing() -> None:
    usage = read_usage("/no-such-group")

    assert (usage.cpu_ns, usage.memory_bytes, usage.processes) == (0, 0, 0)
    assert kill_group("/no-such-group", 0.0)
    assert groups_below("/no-such-group") == set()
