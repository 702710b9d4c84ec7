"""What a careless test as root leaves on the machine: mounts, namespaces, links, loops, cgroups."""

import time
from collections.abc import Iterator
from pathlib import Path

WAIT_SECONDS_MAX = 5.0
"""The kernel takes namespaces and their links down a moment after their last process."""


def leftovers() -> frozenset[str]:
    """One line for each thing that is there now and that a test could have made."""
    return frozenset(_found())


def wait_until_gone(before: frozenset[str]) -> frozenset[str]:
    """What is there now and was not `before`, once the kernel has had time to clean up."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while (left := leftovers() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _found() -> Iterator[str]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        where = line.split()[1]
        if where != "/run/netns":  # `ip netns` makes it once and never removes it
            yield f"mount {where}"
    for path in Path("/run/netns").glob("*"):
        yield f"network namespace {path.name}"
    for path in Path("/sys/class/net").glob("p2pg*"):
        yield f"link {path.name}"
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        yield f"loop device {path.parts[3]}"
    for path in Path("/sys/fs/cgroup").glob("**/p2pgrid/*/cgroup.procs"):
        yield f"cgroup {path.parent}"
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            yield f"process {pid} {_command_of(pid)}"


def _command_of(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return "(gone)"
    return b" ".join(words)[:80].decode(errors="replace")
