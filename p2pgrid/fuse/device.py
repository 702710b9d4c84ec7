"""The kernel's end of a file system: opened, mounted, and taken away again (shell: system calls).

Sources: fuse(4), mount.fuse3(8).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from p2pgrid.errors import BadInput, Unsupported
from p2pgrid.limits.fuse import FUSE_READ_BYTES_MAX
from p2pgrid.mounting import MS_NODEV, MS_NOSUID, MS_RDONLY, mount, mounts_under, unmount
from p2pgrid.units import KIB

_DEVICE = Path("/dev/fuse")
_ROOT_MODE = 0o40000


@contextmanager
def mounted(point: Path, kind: str) -> Iterator[int]:
    """Mount a file system that is empty of answers until somebody reads its device.

    Read-only by the kernel: else every read would ask for new times. Whatever happens in the
    block, the mount point is free afterwards: a request that still waits then fails.

    Args:
        point: a directory that is there.
        kind: what `mount` shows as the type after `fuse.`.

    Yields:
        The descriptor of the device, which does not block.

    Raises:
        BadInput: there is no such directory, or something is mounted there already.
        Unsupported: no FUSE in the kernel, or no right to mount.
    """
    point = point.absolute()
    _require_free(point)
    device = _open_device()
    try:
        options = f"fd={device},rootmode={_ROOT_MODE:o},user_id=0,group_id=0"
        try:
            # Everybody gets in, and permissions are those in the tree: it is a tree like others.
            mount(
                "p2pgrid", point, f"fuse.{kind}", MS_RDONLY | MS_NOSUID | MS_NODEV,
                f"{options},allow_other,default_permissions",
            )  # fmt: skip
        except PermissionError as error:
            raise Unsupported("mounting needs root") from error
        except OSError as error:
            raise Unsupported(f"cannot mount at {point}: {error.strerror}") from error
        try:
            yield device
        finally:
            if point in mounts_under(point):  # else somebody was faster
                unmount(point)
    finally:
        os.close(device)  # ends what is mounted, also where somebody is still inside


def read_far_ahead(point: Path) -> None:
    """Let the kernel read as much at once as the session offers. It must answer meanwhile."""
    number = point.stat().st_dev
    control = Path(f"/sys/class/bdi/{os.major(number)}:{os.minor(number)}/read_ahead_kb")
    with suppress(OSError):  # a sandbox may hide it; reads are then smaller, no more
        control.write_text(str(FUSE_READ_BYTES_MAX // KIB))


def _require_free(point: Path) -> None:
    if not point.is_dir():
        raise BadInput(f"there is no directory {point}; make it first")
    if point in mounts_under(point):
        raise BadInput(f"something is mounted at {point} already")


def _open_device() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise Unsupported(
            f"this kernel has no FUSE: {_DEVICE} is missing (modprobe fuse)"
        ) from error
    except OSError as error:
        raise Unsupported(f"cannot open {_DEVICE}: {error.strerror}") from error
