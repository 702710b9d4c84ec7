"""Mounting: the few system calls that Python does not have.

Sources: mount(2), umount2(2), open_tree(2), mount_setattr(2), loop(4).
"""

import ctypes
import errno
import fcntl
import os
import re
import struct
from contextlib import suppress
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND = 2, 4, 1024, 4096
_MNT_DETACH = 2
# The same numbers on every architecture, as for all system calls since 2019.
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_MOUNT_SETATTR = 428, 429, 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOUNT_ATTR_IDMAP = 0x100000
_MOUNT_ATTR_NOSUID_NODEV = 0x2 | 0x4

_LOOP_CTL_GET_FREE = 0x4C82
_LOOP_CONFIGURE = 0x4C0A
_LO_FLAGS_AUTOCLEAR = 4
_LOOP_RACES_MAX = 64
_LOOP_CONFIG = struct.Struct("=II 5QIIII 64s64s32s 2Q 8Q")
"""struct loop_config: descriptor, block size, struct loop_info64, reserved."""


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """Attach a file system to the tree; see the manual, section 2. Raises OSError."""
    result = _libc.mount(
        source.encode(), bytes(target), kind.encode(), ctypes.c_ulong(flags), options.encode()
    )
    _check(result, f"mounting {target}")


def bind(source: str, target: Path) -> None:
    """Make one file or directory appear at a second place. Raises OSError."""
    mount(source, target, "", MS_BIND)


def bind_idmapped(source: Path, target: Path, user_namespace: Path) -> None:
    """Show a tree with its owners shifted into a user namespace; nothing is copied or changed.

    Raises:
        OSError: the file system of `source` cannot do that, or the kernel is older than 5.12.
    """
    namespace = os.open(user_namespace, os.O_RDONLY | os.O_CLOEXEC)
    tree = -1
    try:
        flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
        tree = _check(
            _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, bytes(source), flags), f"opening {source}"
        )
        wanted = struct.pack("=4Q", _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID_NODEV, 0, 0, namespace)
        result = _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, len(wanted))
        _check(result, f"shifting the owners of {source}")
        result = _libc.syscall(
            _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, bytes(target), _MOVE_MOUNT_F_EMPTY_PATH
        )
        _check(result, f"mounting {target}")
    finally:
        os.close(namespace)
        if tree >= 0:
            os.close(tree)


def mount_image(image: Path, target: Path, kind: str, flags: int) -> None:
    """Mount a file system that is in a file.

    The loop device frees itself with its last user: this descriptor, then the mount. So none is
    left over, wherever we are killed. Raises OSError.
    """
    file = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    try:
        device, path = _attach_loop(file)
    finally:
        os.close(file)
    try:
        mount(path, target, kind, flags)
    finally:
        os.close(device)


def _attach_loop(file: int) -> tuple[int, str]:
    """An open loop device and its path."""
    config = _LOOP_CONFIG.pack(
        file, 0, *(0,) * 8, _LO_FLAGS_AUTOCLEAR, bytes(64), bytes(64), bytes(32), *(0,) * 10
    )
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_LOOP_RACES_MAX):
            path = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, config)
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:  # EBUSY: somebody was faster; take the next
                    raise
            else:
                return device, path
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "no free loop device")


def mounts_under(directory: Path) -> list[Path]:
    """The mount points at or below `directory`, in the order in which they can be unmounted."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), line.split(" ")[4]))
        if point.is_relative_to(directory):
            found.append(point)
    return found[::-1]


def unmount_all(directory: Path) -> None:
    """Unmount everything at or below `directory`. Repeatable.

    What is still in use disappears now and is freed when its last user ends. Raises OSError.
    """
    for point in mounts_under(directory):
        if _libc.umount2(bytes(point), 0) < 0:
            with suppress(FileNotFoundError):
                _check(_libc.umount2(bytes(point), _MNT_DETACH), f"unmounting {point}")
