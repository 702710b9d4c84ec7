"""Which entry of a tree a path leads to, for a process that has the tree as its root. Pure."""

import stat

from p2pgrid.errors import BadImage, NotFound
from p2pgrid.flist.tree import Entry, show
from p2pgrid.limits.flist import IMAGE_LINKS_FOLLOWED_MAX, IMAGE_PATH_BYTES_MAX


def find_entry(root: Entry, path: bytes) -> Entry:
    """What is at `path`, every symbolic link followed; `..` stops at the top.

    Raises:
        NotFound: nothing is there.
        BadImage: its links never end.
    """
    above = [root]
    pending = _names(path)
    links = 0
    while pending:
        name = pending.pop()
        if name == b"..":
            del above[max(1, len(above) - 1) :]
            continue
        below = above[-1].children.get(name)
        if below is None:
            raise NotFound(f"the flist holds no {show(path)}")
        if not stat.S_ISLNK(below.mode):
            above.append(below)
            continue
        links += 1
        if links > IMAGE_LINKS_FOLLOWED_MAX:
            raise BadImage(f"{show(path)} leads through links that never end")
        pending += _names(below.target)
        if below.target.startswith(b"/"):
            del above[1:]
    return above[-1]


def find_file(root: Entry, path: bytes) -> Entry:
    """As `find_entry`, when it is a file. Raises NotFound, BadImage."""
    entry = find_entry(root, path)
    if not stat.S_ISREG(entry.mode):
        raise NotFound(f"{show(path)} is no file, but {stat.filemode(entry.mode)}")
    return entry


def _names(path: bytes) -> list[bytes]:
    """The names of a path, the last one first."""
    if len(path) > IMAGE_PATH_BYTES_MAX:
        raise NotFound(f"no path has {len(path)} bytes; {IMAGE_PATH_BYTES_MAX} is the limit")
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
