"""Attaching file systems, which Python has no functions for.

Sources: mount(2), umount2(2).
"""

import ctypes
import os
import re
from contextlib import suppress
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND = 1, 2, 4, 1024, 4096
_MNT_DETACH = 2


def check_call(result: int, what: str) -> int:
    """What a system call returned. Raises OSError when it failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """Attach a file system to the tree; see the manual, section 2. Raises OSError."""
    result = _libc.mount(
        source.encode(), bytes(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    check_call(result, f"mounting {target}")


def mounts_under(directory: Path) -> list[Path]:
    """The mount points at or below `directory`, in the order in which they can be unmounted."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split(" ")[4]))
        if point.is_relative_to(directory):
            found.append(point)
    return found[::-1]


def unmount(point: Path) -> None:
    """Unmount one file system. Repeatable.

    What is still in use disappears now and is freed when its last user ends. Raises OSError.
    """
    if _libc.umount2(bytes(point), 0) < 0:
        with suppress(FileNotFoundError):
            check_call(_libc.umount2(bytes(point), _MNT_DETACH), f"unmounting {point}")


def unmount_all(directory: Path) -> None:
    """Unmount everything at or below `directory`, as `unmount` does. Repeatable."""
    for point in mounts_under(directory):
        unmount(point)
