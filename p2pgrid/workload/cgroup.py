"""Control groups: what a container used, and removing what it leaves. Versions 1, 2 and hybrid."""

import os
import select
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupUsage:
    """What the processes of a control group use, or used since it was made."""

    cpu_ns: int
    """CPU time so far."""
    memory_bytes: int
    """Now, page cache included."""
    processes: int
    """Processes and threads now."""


def hierarchies() -> list[Path]:
    """The directory of each hierarchy: one with version 2, several with version 1."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        return [CGROUP_ROOT]
    return sorted(path for path in CGROUP_ROOT.iterdir() if path.is_dir())


def read_usage(cgroup: str) -> CgroupUsage:
    """What `cgroup` uses; zeros where it does not exist."""
    if (CGROUP_ROOT / "cgroup.controllers").exists():
        directory = CGROUP_ROOT / cgroup.lstrip("/")
        return CgroupUsage(
            cpu_ns=_labelled(directory / "cpu.stat", "usage_usec") * 1000,
            memory_bytes=_number(directory / "memory.current"),
            processes=_number(directory / "pids.current"),
        )
    return CgroupUsage(
        cpu_ns=_number(CGROUP_ROOT / "cpuacct" / cgroup.lstrip("/") / "cpuacct.usage"),
        memory_bytes=_number(CGROUP_ROOT / "memory" / cgroup.lstrip("/") / "memory.usage_in_bytes"),
        processes=_number(CGROUP_ROOT / "pids" / cgroup.lstrip("/") / "pids.current"),
    )


def kill_group(cgroup: str, seconds: float) -> bool:
    """Kill every process in `cgroup`, also those that are just being made.

    Returns:
        Whether none was left within `seconds`.
    """
    deadline = monotonic() + seconds
    while pids := _pids_in(cgroup):
        for pid in pids:
            _kill_process(pid, deadline)
        if monotonic() > deadline:
            return False
    return True


def _pids_in(cgroup: str) -> set[int]:
    found: set[int] = set()
    for hierarchy in hierarchies():
        with suppress(OSError):  # there is none, or it went in between
            procs = (hierarchy / cgroup.lstrip("/") / "cgroup.procs").read_text()
            found |= {int(pid) for pid in procs.split()}
    return found


def _kill_process(pid: int, deadline: float) -> None:
    """Kill a process and wait for its end; as its parent, let it go."""
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return
    try:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(process, signal.SIGKILL)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        poll.poll(max(0.0, deadline - monotonic()) * 1000)
        with suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG)
    finally:
        os.close(process)


def remove_group(cgroup: str) -> None:
    """Remove `cgroup` and what is below it, from every hierarchy, unless in use. Repeatable."""
    for hierarchy in hierarchies():
        top = hierarchy / cgroup.lstrip("/")
        for directory, _, _ in os.walk(top, topdown=False):
            with suppress(OSError):
                Path(directory).rmdir()


def remove_empty_group(cgroup: str) -> None:
    """Remove `cgroup` where nothing is below it: others may share it."""
    for hierarchy in hierarchies():
        with suppress(OSError):
            (hierarchy / cgroup.lstrip("/")).rmdir()


def groups_below(cgroup: str) -> set[str]:
    """The names of the control groups right below `cgroup`, in any hierarchy."""
    found: set[str] = set()
    for hierarchy in hierarchies():
        top = hierarchy / cgroup.lstrip("/")
        if top.is_dir():
            found |= {path.name for path in top.iterdir() if path.is_dir()}
    return found


def _number(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _labelled(file: Path, label: str) -> int:
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == label:
                return int(value)
    return 0
