"""What is in an flist, entry by entry, and how two of them differ. Pure."""

import stat
from collections.abc import Iterator
from dataclasses import dataclass

from p2pgrid.errors import NotFound
from p2pgrid.flist.tree import (
    Entry,
    device_major,
    device_minor,
    show,
    split_path,
    walk,
)


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry, as it is told to people and programs."""

    path: str
    """From the top, without a slash in front; "." is the root. Bytes that are no UTF-8 as \\x00."""
    mode: str
    """As `ls -l` has it."""
    uid: int
    gid: int
    size: int
    """Plain bytes of a file, 0 for anything else."""
    mtime: int
    """Seconds since the epoch."""
    target: str
    """Of a symbolic link."""
    device: str
    """Of a device, major:minor."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A path that two trees do not have alike."""

    path: str
    what: tuple[str, ...]
    """added, removed, or which of kind, content, target, device, mode, owner and time changed."""


def list_tree(root: Entry, path: bytes = b"") -> Iterator[Listed]:
    """The entry at `path` and everything beneath it, by name.

    Raises:
        NotFound: there is no such path; links are not followed.
        BadImage: it can be none.
    """
    names = split_path(path.strip(b"/"))
    top = root
    for name in names:
        below = top.children.get(name)
        if below is None:
            raise NotFound(f"the flist holds no {show(path)}")
        top = below
    prefix = b"/".join(names)
    for beneath, entry in walk(top):
        yield _listed(b"/".join(part for part in (prefix, beneath) if part), entry)


def compare_trees(old: Entry, new: Entry) -> Iterator[Difference]:
    """Every path that is not the same in both, by name."""
    before, after = dict(walk(old)), dict(walk(new))
    for path in sorted(before.keys() | after.keys()):
        if path not in after:
            yield Difference(_text(path), ("removed",))
        elif path not in before:
            yield Difference(_text(path), ("added",))
        elif what := tuple(_changes(before[path], after[path])):
            yield Difference(_text(path), what)


def _changes(old: Entry, new: Entry) -> Iterator[str]:
    if old.kind != new.kind:
        yield "kind"
        return
    if (old.size, old.blocks) != (new.size, new.blocks):
        yield "content"
    if old.target != new.target:
        yield "target"
    if old.rdev != new.rdev:
        yield "device"
    if old.mode != new.mode:
        yield "mode"
    if (old.uid, old.gid) != (new.uid, new.gid):
        yield "owner"
    if old.mtime != new.mtime:
        yield "time"


def _listed(path: bytes, entry: Entry) -> Listed:
    is_device = entry.kind in (stat.S_IFCHR, stat.S_IFBLK)
    return Listed(
        path=_text(path),
        mode=stat.filemode(entry.mode),
        uid=entry.uid,
        gid=entry.gid,
        size=entry.size,
        mtime=entry.mtime,
        target=entry.target.decode(errors="backslashreplace"),
        device=f"{device_major(entry.rdev)}:{device_minor(entry.rdev)}" if is_device else "",
    )


def _text(path: bytes) -> str:
    return path.decode(errors="backslashreplace") or "."
