"""The data directory belongs to one process at a time."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from p2pgrid.errors import DataInUse, Unusable

LOCK_FILE = "lock"


@contextmanager
def lock_directory(path: Path) -> Generator[None, None, None]:
    """Hold the data directory for the block; makes it (mode 0700) when it does not exist.

    The kernel drops the lock when the process ends, however it ends; the file
    stays, since removing it could take it away from under the next holder.

    Raises:
        DataInUse: another process holds it; the message says which.
        Unusable: it cannot be made or written.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unusable(f"the data directory {path} cannot be used: {error.strerror}") from error
    try:
        _take(file, path)
        yield
    finally:
        os.close(file)


def holder_of(path: Path) -> int | None:
    """The process that holds the data directory now; None when nobody does."""
    try:
        file = os.open(path / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(file, 20, 0).strip()
        return int(said) if said.isdigit() else None
    finally:
        os.close(file)
    return None


def _take(file: int, path: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(file, 20, 0).decode("ascii", "replace").strip()
        raise DataInUse(
            f"the data directory {path} is in use by process {holder or 'unknown'}; "
            "stop that node, or choose another directory"
        ) from error
    os.ftruncate(file, 0)
    os.pwrite(file, b"%d\n" % os.getpid(), 0)
