"""Logs of containers: one file that the container itself appends to, and one older one.

The container holds the file open and goes on writing when the node program is gone. So the file
is never replaced: its end is copied away and it is cut to nothing; the next line then starts a
new beginning. What is written between copy and cut is lost; and a program that opens
`/dev/stdout` to overwrite it, not to append, empties its own log.
"""

import os
from pathlib import Path

from p2pgrid.limits import workload as limits


def open_log(log: Path, owner: int) -> int:
    """A descriptor for a container's output; `owner` may open it again as /dev/stdout."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    file = os.open(log, flags, 0o600)
    os.fchown(file, owner, owner)
    return file


def older_log(log: Path) -> Path:
    """Where the lines before those of `log` are."""
    return log.with_name(log.name + ".1")


def rotate(log: Path) -> bool:
    """Start the log anew if it has become too long. Returns whether it had."""
    if _size_bytes(log) <= limits.LOG_BYTES_MAX:
        return False
    unfinished = log.with_name(log.name + ".unfinished")
    unfinished.write_bytes(_end_of(log, limits.LOG_BYTES_MAX))
    unfinished.rename(older_log(log))
    os.truncate(log, 0)
    return True


def tail(log: Path, tail_bytes: int) -> bytes:
    """The last bytes that the container wrote, at most LOG_TAIL_BYTES_MAX."""
    wanted_bytes = min(max(tail_bytes, 0), limits.LOG_TAIL_BYTES_MAX)
    newest = _end_of(log, wanted_bytes)
    return _end_of(older_log(log), wanted_bytes - len(newest)) + newest


def _size_bytes(log: Path) -> int:
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def _end_of(log: Path, end_bytes: int) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - end_bytes))
            return file.read(end_bytes)
    except FileNotFoundError:
        return b""
