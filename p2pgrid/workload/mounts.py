"""Mounting that containers need: places bound to others, owners shifted, images in files.

Sources: open_tree(2), mount_setattr(2), loop(4).
"""

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path

from p2pgrid.mounting import MS_BIND, check_call, mount

_libc = ctypes.CDLL(None, use_errno=True)

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
        tree = check_call(
            _libc.syscall(_SYS_OPEN_TREE, _AT_FDCWD, bytes(source), flags), f"opening {source}"
        )
        wanted = struct.pack("=4Q", _MOUNT_ATTR_IDMAP | _MOUNT_ATTR_NOSUID_NODEV, 0, 0, namespace)
        result = _libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, wanted, len(wanted))
        check_call(result, f"shifting the owners of {source}")
        result = _libc.syscall(
            _SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, bytes(target), _MOVE_MOUNT_F_EMPTY_PATH
        )
        check_call(result, f"mounting {target}")
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
