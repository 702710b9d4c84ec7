"""A directory of this machine as the source of an image (shell: reads files)."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from p2pgrid.errors import BadImage, BadInput
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.tree import TIME_SECONDS_MAX, Entry, ImageTree
from p2pgrid.limits.chunks import CHUNK_BYTES

_File = tuple[bytes, Entry]
"""Path to read from, and the entry that its blocks belong to."""


def read_directory(path: Path, packer: Packer, on_bytes: Callable[[int, int], None]) -> ImageTree:
    """Everything beneath `path`, symbolic links as links. Sockets are left out.

    `on_bytes` hears (bytes read, bytes in all) now and then.

    Raises:
        BadInput: not a directory that can be read.
        BadImage: it holds what no image may hold, or changes meanwhile.
    """
    if not path.is_dir():
        raise BadInput(f"{path} is not a directory")
    try:
        tree, files = _list(os.fsencode(path))
        total = sum(entry.size for _, entry in files)
        done = 0
        for source, entry in files:
            packer.pack(entry, _pieces(source, entry.size))
            done += entry.size
            on_bytes(done, total)
    except OSError as error:
        raise BadInput(f"cannot read {error.filename or path}: {error.strerror}") from error
    return tree


def _list(top: bytes) -> tuple[ImageTree, list[_File]]:
    """The tree without the data of its files, and the files to read, each once."""
    tree = ImageTree(has_whiteouts=False)
    tree.add(b"", _entry(os.stat(top)))
    files: list[_File] = []
    first_path: dict[tuple[int, int], bytes] = {}
    pending = [b""]
    while pending:
        parent = pending.pop()
        for item in sorted(os.scandir(os.path.join(top, parent)), key=lambda one: one.name):
            path = os.path.join(parent, item.name)
            status = item.stat(follow_symlinks=False)
            if stat.S_ISSOCK(status.st_mode):
                continue
            inode = (status.st_dev, status.st_ino)
            if stat.S_ISREG(status.st_mode) and status.st_nlink > 1 and inode in first_path:
                tree.link(path, first_path[inode])
                continue
            entry = _entry(status)
            if stat.S_ISLNK(status.st_mode):
                entry.target = os.readlink(item.path)
            tree.add(path, entry)
            if entry.is_dir:
                pending.append(path)
            elif entry.size:
                first_path[inode] = path
                files.append((item.path, entry))
    return tree, files


def _entry(status: os.stat_result) -> Entry:
    return Entry(
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=max(0, min(int(status.st_mtime), TIME_SECONDS_MAX)),
        rdev=status.st_rdev,
        size=status.st_size if stat.S_ISREG(status.st_mode) else 0,
    )


def _pieces(path: bytes, size: int) -> Iterator[bytes]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:
        while size > 0:
            piece = _read_full(file.read, min(size, CHUNK_BYTES))
            if len(piece) < min(size, CHUNK_BYTES):
                raise BadImage(f"{os.fsdecode(path)} changed while it was read")
            size -= len(piece)
            yield piece


def _read_full(read: Callable[[int], bytes | None], size: int) -> bytes:
    piece = read(size) or b""
    while len(piece) < size and (more := read(size - len(piece))):
        piece += more
    return piece
