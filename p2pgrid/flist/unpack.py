"""Writes a tree into a new directory (shell: writes files).

Nothing can get outside: the tree has no name with a slash and no name twice, every file is
created anew by its name in an open directory, and no symbolic link is ever followed. What only
root can give (owners, devices) is left out when not root. Devices other than the harmless ones
never reach this place: no tree has them, see `tree.check_entry`.
"""

import ctypes
import errno
import os
import shutil
import stat
from collections.abc import Callable
from functools import cache
from pathlib import Path

from p2pgrid.errors import StoreFailed
from p2pgrid.flist.blocks import Block, block_lengths, encode_block
from p2pgrid.flist.tree import Entry
from p2pgrid.limits.chunks import CHUNK_BYTES

PlainBytes = Callable[[Block, int], bytes | bytearray]
"""(block, its length) -> its plain bytes, verified. Raises GridError."""

_PRIVATE = 0o700
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SECOND_NS = 1_000_000_000
_DISK_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system
_NOT_LINKABLE = (errno.EMLINK, errno.ENAMETOOLONG)


def unpack(root: Entry, into: Path, plain_bytes: PlainBytes) -> None:
    """Write the tree `root` as the new directory `into`, durable on return.

    Files of equal content and attributes become links of one file: flists do not say
    which were, and the tree is only ever read.

    Raises:
        StoreFailed: the disk refused; what was written is of no use.
        GridError: whatever `plain_bytes` raises.
    """
    try:
        into.mkdir(_PRIVATE)
        top = os.open(into, DIRECTORY)
        try:
            writer = TreeWriter(top, plain_bytes)
            writer.fill(root, top)
            writer.attributes(root, top)
            sync_file_system(top)
        finally:
            os.close(top)
    except OSError as error:
        raise StoreFailed(f"cannot unpack an image into {into}: {error.strerror}") from error


def tree_disk_bytes(path: Path) -> int:
    """What a tree takes of the disk, each file once."""
    seen: dict[tuple[int, int], int] = {}
    for directory, _, files in os.walk(path):
        for one in (Path(directory), *(Path(directory, file) for file in files)):
            status = one.lstat()
            seen[(status.st_dev, status.st_ino)] = status.st_blocks * _DISK_BLOCK_BYTES
    return sum(seen.values())


class TreeWriter:
    """Writes a tree beneath an open directory that holds nothing of it yet."""

    def __init__(self, top: int, plain_bytes: PlainBytes) -> None:
        self.left_out = 0
        """Devices and sockets that could not be made, or are of no use."""
        self._top = top
        self._plain_bytes = plain_bytes
        self._is_root = os.geteuid() == 0
        self._written: dict[tuple[object, ...], bytes] = {}
        """Content and attributes of a file -> its path from the top."""

    def fill(self, entry: Entry, directory: int, path: bytes = b"") -> None:
        """Write what is beneath a directory, whose path from the top this is. Raises OSError."""
        prefix = path + b"/" if path else b""
        for name, child in sorted(entry.children.items()):
            self._write(name, child, directory, prefix + name)

    def attributes(self, entry: Entry, descriptor: int) -> None:
        """Give an open file or directory its owner, mode and time. Raises OSError."""
        if self._is_root:
            os.fchown(descriptor, entry.uid, entry.gid)
        os.fchmod(descriptor, self.permissions(entry))  # after chown, which clears setuid
        os.utime(descriptor, ns=_times(entry))

    def permissions(self, entry: Entry) -> int:
        """The bits that an entry gets."""
        return stat.S_IMODE(entry.mode)

    def make_directory(self, name: bytes, directory: int) -> None:
        """Make it, for nobody else as long as it is filled. Raises OSError."""
        os.mkdir(name, _PRIVATE, dir_fd=directory)

    def make_way(self, name: bytes, directory: int) -> None:
        """Called before anything but a directory gets a name. Raises OSError."""

    def link_of(self, entry: Entry, path: bytes) -> bytes | None:
        """The path of a file written before that this one may be a link of."""
        if not entry.blocks:
            return None
        key = (tuple(entry.blocks), entry.mode, entry.uid, entry.gid, entry.mtime)
        first = self._written.setdefault(key, path)
        return None if first is path else first

    def _write(self, name: bytes, entry: Entry, directory: int, path: bytes) -> None:
        if not entry.is_dir:
            self.make_way(name, directory)
        match entry.kind:
            case stat.S_IFDIR:
                self.make_directory(name, directory)
                below = os.open(name, DIRECTORY, dir_fd=directory)
                try:
                    self.fill(entry, below, path)
                    self.attributes(entry, below)
                finally:
                    os.close(below)
            case stat.S_IFREG:
                if not self._link(name, entry, directory, path):
                    self._write_file(name, entry, directory)
            case stat.S_IFLNK:
                os.symlink(entry.target, name, dir_fd=directory)
                self._name_attributes(name, entry, directory)
            case stat.S_IFIFO:
                os.mkfifo(name, _PRIVATE, dir_fd=directory)
                self._name_attributes(name, entry, directory)
            case stat.S_IFCHR:
                self._write_device(name, entry, directory)
            case _:
                self.left_out += 1  # a socket is nothing without its program

    def _link(self, name: bytes, entry: Entry, directory: int, path: bytes) -> bool:
        """Make it a link of an equal file; whether there was one."""
        first = self.link_of(entry, path)
        if first is None:
            return False
        try:
            os.link(first, name, src_dir_fd=self._top, dst_dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_LINKABLE:
                raise
            return False
        return True

    def _write_file(self, name: bytes, entry: Entry, directory: int) -> None:
        file = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
        try:
            for block, length in zip(entry.blocks, block_lengths(entry.size), strict=True):
                if length == CHUNK_BYTES and block == _zero_block():
                    os.lseek(file, length, os.SEEK_CUR)
                else:
                    _write_all(file, self._plain_bytes(block, length))
            os.ftruncate(file, entry.size)  # a hole at the end was only sought over
            self.attributes(entry, file)
        finally:
            os.close(file)

    def _write_device(self, name: bytes, entry: Entry, directory: int) -> None:
        try:
            os.mknod(name, entry.mode, entry.rdev, dir_fd=directory)
        except PermissionError:
            self.left_out += 1  # also for root of a container; runtimes make their own devices
            return
        self._name_attributes(name, entry, directory)

    def _name_attributes(self, name: bytes, entry: Entry, directory: int) -> None:
        if self._is_root:
            os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
        if entry.kind != stat.S_IFLNK:
            os.chmod(name, stat.S_IMODE(entry.mode), dir_fd=directory)
        os.utime(name, ns=_times(entry), dir_fd=directory, follow_symlinks=False)


@cache
def _zero_block() -> Block:
    return encode_block(bytes(CHUNK_BYTES))[0]


def _times(entry: Entry) -> tuple[int, int]:
    return entry.mtime * _SECOND_NS, entry.mtime * _SECOND_NS


def _write_all(file: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def sync_file_system(descriptor: int) -> None:
    """Make thousands of new files durable at once; fsync of each would take minutes.

    Raises OSError.
    """
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
        raise OSError(ctypes.get_errno(), "syncfs failed")


def remove_tree(path: Path) -> None:
    """Remove a tree whose directories may forbid it to those who are not root."""
    if os.geteuid() != 0:
        for directory, _, _ in os.walk(path):
            Path(directory).chmod(0o700)
    shutil.rmtree(path)
