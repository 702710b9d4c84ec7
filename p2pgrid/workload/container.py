"""One container, as runc sees it. Everything here blocks: call it from worker threads."""

import ctypes
import json
import os
import select
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from p2pgrid.errors import CannotRun
from p2pgrid.limits import workload as limits
from p2pgrid.workload.tool import run_tool

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of containers once runc has ended; only a parent learns exit codes."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What runc knows of a container."""

    status: str
    """`created`, `running`, `paused` or `stopped`."""
    pid: int


@dataclass(frozen=True, slots=True)
class Runtime:
    """runc, keeping what it knows in `directory`."""

    directory: Path

    def _runc(self, *arguments: str, output: int | None = None) -> bytes:
        return run_tool("runc", "--root", str(self.directory), *arguments, output=output)

    def start(self, tag: str, bundle: Path, output: int) -> int:
        """Run the container of a bundle; its output goes to the descriptor `output`.

        Returns:
            A descriptor of its first process, readable once that ended (pidfd_open(2)).

        Raises:
            CannotRun: runc's reason is in `bundle`/runc.log, and in the message.
        """
        pid_file, log = bundle / "pid", bundle / "runc.log"
        log.unlink(missing_ok=True)
        try:
            self._runc(
                "--log", str(log), "--log-format", "json",
                "create", "--bundle", str(bundle), "--pid-file", str(pid_file), tag,
                output=output,
            )  # fmt: skip
            process = os.pidfd_open(int(pid_file.read_text()))
        except (CannotRun, OSError, ValueError) as error:
            raise CannotRun(f"the container does not start: {_reason(log) or error}") from error
        try:
            self._runc("start", tag)
        except CannotRun:
            os.close(process)
            raise
        return process

    def state(self, tag: str) -> RuntimeState | None:
        """How a container is; None when runc does not know it."""
        if not (self.directory / tag).exists():  # runc would make its directory to look
            return None
        try:
            answer = json.loads(self._runc("state", tag))
            return RuntimeState(str(answer["status"]), int(answer["pid"]))
        except (CannotRun, ValueError, KeyError, TypeError):
            return None

    def find(self, tag: str) -> int | None:
        """A descriptor of a running container's first process; None when it does not run."""
        before = self.state(tag)
        if before is None or before.status != "running":
            return None
        try:
            process = os.pidfd_open(before.pid)
        except OSError:
            return None
        # A number may have gone to another process in between; runc compares start times.
        if self.state(tag) == before:
            return process
        os.close(process)
        return None

    def delete(self, tag: str) -> None:
        """Kill what is left of a container and forget it. Repeatable."""
        if (self.directory / tag).exists():
            with suppress(CannotRun):  # half made: what remains is killed by its control group
                self._runc("delete", "--force", tag)

    def tags(self) -> set[str]:
        """The containers that runc knows."""
        if not self.directory.is_dir():
            return set()
        return {path.name for path in self.directory.iterdir() if path.is_dir()}


def stop(processes: Sequence[tuple[int, int]]) -> None:
    """End containers, together: ask, wait STOP_SECONDS_MAX for all, then kill.

    Args:
        processes: of each its first process, as a descriptor, and the signal that asks it.
    """
    for process, stop_signal in processes:
        _send(process, stop_signal)
    deadline = monotonic() + limits.STOP_SECONDS_MAX
    for process, _ in processes:
        if not has_ended(process, max(0.0, deadline - monotonic())):
            _send(process, signal.SIGKILL)
    for process, _ in processes:
        has_ended(process, limits.DEAD_SECONDS_MAX)
        exit_code(process)  # or it stays as a zombie


def _send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(process, number)


def has_ended(process: int, seconds: float = 0.0) -> bool:
    """Wait until a process ended, or not longer than `seconds`."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def exit_code(process: int) -> int | None:
    """Of a process that ended: 0 to 255, 128 + n if signal n ended it.

    None when it is not our child: the node program that started it was killed.
    """
    try:
        result = os.waitid(os.P_PIDFD, process, os.WEXITED | os.WNOHANG)
    except ChildProcessError:
        return None
    if result is None:
        return None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


def signal_number(name: str) -> int:
    """Of an image's stop signal: a name or a number; SIGTERM when it makes no sense.

    >>> signal_number("SIGQUIT"), signal_number("9"), signal_number("SIGFOO")
    (3, 9, 15)
    """
    if name.isdecimal() and 0 < int(name[:4]) < 65:
        return int(name)
    full = name if name.startswith("SIG") else f"SIG{name}"
    return int(getattr(signal.Signals, full, signal.SIGTERM))


def _reason(log: Path) -> str:
    """The last error in runc's own log, in one line."""
    try:
        with log.open("rb") as file:
            lines = file.read(limits.LOG_TAIL_BYTES_MAX).decode(errors="replace").splitlines()
        return str(json.loads(lines[-1])["msg"])[:400]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ""
