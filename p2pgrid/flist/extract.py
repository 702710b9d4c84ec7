"""Writes a tree for people: into a directory of theirs, with files that they may change (shell).

It differs from `unpack`, which makes trees that are only read: equal files stay files of their
own, what is in the way is replaced, and without root no file keeps its setuid bits: it would
run as whoever extracted it.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from p2pgrid.errors import BadInput, StoreFailed
from p2pgrid.flist.tree import Entry, show
from p2pgrid.flist.unpack import DIRECTORY, PlainBytes, TreeWriter, sync_file_system

_PRIVATE = 0o700
_SETUID = stat.S_ISUID | stat.S_ISGID


@dataclass(frozen=True, slots=True)
class Extracted:
    """What an extracted tree lacks."""

    has_owners: bool
    """Only root can give files away; everybody else owns what he extracts."""
    left_out: int
    """Devices and sockets."""


def extract(root: Entry, into: Path, plain_bytes: PlainBytes, *, is_merged: bool) -> Extracted:
    """Write the tree `root` into a directory, durable on return.

    A new directory gets the attributes of the tree's top; one that is there keeps its own. No
    symbolic link beneath it is ever followed.

    Args:
        root: of the tree.
        into: is made if it is missing; the directory that it is in has to be there.
        plain_bytes: gives the blocks of files, in the order of `walk`.
        is_merged: also into a directory that holds something. Files that have the names of
            those in the tree are replaced, the others stay.

    Raises:
        BadInput: there is something that must not be written into.
        StoreFailed: the disk refused; what is there is not complete.
        GridError: whatever `plain_bytes` raises; likewise.
    """
    is_new = _prepare(into, is_merged=is_merged)
    try:
        # The person may well have named a link; beneath it none is followed.
        top = os.open(into, DIRECTORY & ~os.O_NOFOLLOW)
        try:
            writer = _PersonsWriter(top, plain_bytes)
            writer.fill(root, top)
            if is_new:
                writer.attributes(root, top)
            sync_file_system(top)
        finally:
            os.close(top)
    except OSError as error:
        name = show(error.filename) if isinstance(error.filename, bytes) else str(into)
        raise StoreFailed(f"cannot write {name} of an image: {error.strerror}") from error
    return Extracted(os.geteuid() == 0, writer.left_out)


def _prepare(into: Path, *, is_merged: bool) -> bool:
    """Make the directory unless it is there; whether it was made. Raises BadInput."""
    try:
        into.mkdir(_PRIVATE)
    except FileExistsError:
        pass
    except OSError as error:
        raise BadInput(f"cannot make the directory {into}: {error.strerror}") from error
    else:
        return True
    try:
        with os.scandir(into) as found:
            is_empty = next(found, None) is None
    except OSError as error:
        raise BadInput(f"cannot extract into {into}: {error.strerror}") from error
    if not (is_empty or is_merged):
        raise BadInput(f"{into} is not empty; --yes writes over what has the same names")
    return False


class _PersonsWriter(TreeWriter):
    """Writes over what is there, and shares nothing."""

    def make_directory(self, name: bytes, directory: int) -> None:
        """As `TreeWriter`; a real directory of this name is used as it is."""
        try:
            super().make_directory(name, directory)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                os.unlink(name, dir_fd=directory)
                super().make_directory(name, directory)

    def make_way(self, name: bytes, directory: int) -> None:
        """Remove what has this name, but never a directory."""
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            return

    def link_of(self, entry: Entry, path: bytes) -> None:
        """None: whoever changes a file must not change others with it."""

    def permissions(self, entry: Entry) -> int:
        """As `TreeWriter`; setuid of files is for root only."""
        bits = super().permissions(entry)
        return bits & ~_SETUID if stat.S_ISREG(entry.mode) and os.geteuid() != 0 else bits
