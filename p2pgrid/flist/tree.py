"""The tree of an image, in memory: what it may hold, and how layers change it.

Rules:
1. Nothing here touches a file system. A path is looked up in dictionaries, so no name
   and no link can lead out of the tree. Links in front of the last name of a path are followed
   as a process would that has the tree as its root: `..` stops at the top.
2. What comes from outside is checked where it enters: `check_name`, `split_path`,
   `check_entry`. A tree that passed is safe to unpack.
3. A layer hides only what lower layers brought (OCI image specification, layer.md), so
   every entry knows the last layer that had it or something beneath it.
4. Blocks of a file may be filled in later than the entry is added; links share them.
"""

import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import Block, Wanted, block_lengths
from p2pgrid.limits.chunks import IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX
from p2pgrid.limits.flist import (
    IMAGE_DEPTH_MAX,
    IMAGE_LINK_STEPS_MAX,
    IMAGE_LINKS_FOLLOWED_MAX,
    IMAGE_PATH_BYTES_MAX,
    NAME_BYTES_MAX,
)
from p2pgrid.model.ids import ChunkId

DEVICES_ALLOWED = frozenset({(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2)})
"""Character devices that can do no harm: null, zero, full, random, urandom, tty, ptmx."""

TIME_SECONDS_MAX = 2**33
"""Latest time of an entry; file systems end not long after."""

OWNER_MAX = 2**32 - 2
"""Largest user or group number; the next one means "do not change" to the kernel."""

WHITEOUT = b".wh."
"""How the names begin by which a layer removes what lower layers brought."""

_WHITEOUT_META = b".wh..wh."
_OPAQUE = b".wh..wh..opq"
_KINDS = frozenset(
    {
        stat.S_IFREG,
        stat.S_IFDIR,
        stat.S_IFLNK,
        stat.S_IFCHR,
        stat.S_IFBLK,
        stat.S_IFIFO,
        stat.S_IFSOCK,
    }
)


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """A file, directory, link or device. Directories have `children`."""

    mode: int
    """Type and permission bits, as `st_mode`."""
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Seconds since the epoch."""
    rdev: int = 0
    size: int = 0
    """Plain bytes of a file."""
    target: bytes = b""
    """Where a symbolic link points."""
    blocks: list[Block] = field(default_factory=list)
    """Of a file. Hard links to one file share this list."""
    children: "dict[bytes, Entry]" = field(default_factory=dict)
    layer: int = 0
    """Last layer that had this entry or one beneath it."""

    @property
    def kind(self) -> int:
        """The type bits alone, as `stat.S_IFREG` and so on."""
        return stat.S_IFMT(self.mode)

    @property
    def is_dir(self) -> bool:
        """Whether it can have children."""
        return stat.S_ISDIR(self.mode)


def directory(*, mode: int = 0o755, layer: int = 0) -> Entry:
    """An empty directory of root, dated 1970."""
    return Entry(mode=stat.S_IFDIR | mode, layer=layer)


def walk(root: Entry) -> Iterator[tuple[bytes, Entry]]:
    """Every entry with its path (root: b""), directories before their children, by name."""
    pending = [(b"", root)]
    while pending:
        path, entry = pending.pop()
        yield path, entry
        prefix = path + b"/" if path else b""
        pending.extend(
            (prefix + name, child) for name, child in sorted(entry.children.items(), reverse=True)
        )


def chunk_ids(root: Entry) -> list[ChunkId]:
    """Every chunk of a tree once, in the order in which its files are read."""
    return list(dict.fromkeys(block.id for _, entry in walk(root) for block in entry.blocks))


def blocks_in_order(root: Entry) -> list[Wanted]:
    """Every block of a tree once, in the order in which its files are read."""
    return list(
        dict.fromkeys(
            wanted
            for _, entry in walk(root)
            for wanted in zip(entry.blocks, block_lengths(entry.size), strict=True)
        )
    )


def check_name(name: bytes) -> bytes:
    """`name` itself, when a directory may hold it. Raises BadImage."""
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise BadImage(f"{show(name)} cannot be the name of a file")
    if len(name) > NAME_BYTES_MAX:
        raise BadImage(f"a name of {len(name)} bytes; {NAME_BYTES_MAX} is the limit")
    return name


def split_path(path: bytes) -> list[bytes]:
    """The names of a path in a layer, from the top. Raises BadImage if it tries to leave.

    >>> split_path(b"./usr//bin/")
    [b'usr', b'bin']
    """
    if len(path) > IMAGE_PATH_BYTES_MAX:
        raise BadImage(f"a path of {len(path)} bytes; {IMAGE_PATH_BYTES_MAX} is the limit")
    if path.startswith(b"/"):
        raise BadImage(f"{show(path)} is an absolute path; layers hold relative ones only")
    names = [check_name(name) for name in path.split(b"/") if name not in (b"", b".")]
    if len(names) > IMAGE_DEPTH_MAX:
        raise BadImage(f"directories nested deeper than {IMAGE_DEPTH_MAX}: {show(path)}")
    return names


def check_entry(entry: Entry, path: bytes) -> None:
    """Raise BadImage unless the values of `entry` are possible and harmless."""
    kind = entry.kind
    if kind not in _KINDS or entry.mode > 0o177777:
        raise BadImage(f"{show(path)} is of an unknown kind (mode {entry.mode:#o})")
    if not (0 <= entry.uid <= OWNER_MAX and 0 <= entry.gid <= OWNER_MAX):
        raise BadImage(f"{show(path)} has an owner out of range: {entry.uid}:{entry.gid}")
    if not 0 <= entry.size <= IMAGE_BYTES_MAX:
        raise BadImage(f"{show(path)} has an impossible size: {entry.size}")
    if not 0 <= entry.mtime <= TIME_SECONDS_MAX:
        raise BadImage(f"{show(path)} has an impossible time: {entry.mtime}")
    if kind == stat.S_IFLNK:
        _check_target(entry.target, path)
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        _check_device(entry, path)


def show(path: bytes) -> str:
    """A name from outside, quoted and short, fit for a message."""
    return repr(path[:120].decode(errors="backslashreplace"))


class ImageTree:
    """A tree that layers are applied to, lowest first."""

    def __init__(self, *, has_whiteouts: bool = True) -> None:
        """Without whiteouts, names like `.wh.x` are names like others."""
        self._has_whiteouts = has_whiteouts
        self.root = directory()
        self.bytes_seen = 0
        """Plain bytes of all files that came, also of those replaced since."""
        self._layer = 0
        self._entries_seen = 0
        self._link_steps = 0

    def begin_layer(self) -> None:
        """What follows belongs to the next layer up."""
        self._layer += 1

    def add(self, path: bytes, entry: Entry) -> bool:
        """Put one entry of the current layer in its place.

        A directory that is there already keeps its children; anything else is replaced.

        Returns:
            Whether it became part of the tree: whiteouts hide others and do not.

        Raises:
            BadImage: hostile path, impossible values, or too much of anything.
        """
        names = split_path(path)
        check_entry(entry, path)
        self._count(entry.size)
        return self._place(names, entry, path)

    def link(self, path: bytes, target: bytes) -> None:
        """A hard link: `path` becomes the same file as `target`. Raises BadImage."""
        *above, last = split_path(target) or [b"."]
        parent = self._directory(above, target, is_made=False)
        source = None if parent is None else parent.children.get(last)
        if source is None or source.is_dir:
            raise BadImage(f"{show(path)} is a link to {show(target)}, which is no file here")
        self._count(0)
        self._place(split_path(path), replace(source), path)

    def find(self, names: list[bytes]) -> Entry | None:
        """The entry at a path, without following links."""
        entry = self.root
        for name in names:
            below = entry.children.get(name)
            if below is None:
                return None
            entry = below
        return entry

    def _place(self, names: list[bytes], entry: Entry, path: bytes) -> bool:
        entry.layer = self._layer
        if not names:
            self._replace_root(entry, path)
            return True
        if self._has_whiteouts and names[-1].startswith(WHITEOUT):
            self._hide(names[:-1], names[-1])
            return False
        parent = self._parent(names[:-1], path)
        before = parent.children.get(names[-1])
        if before is not None and before.is_dir and entry.is_dir:
            entry.children = before.children
        parent.children[names[-1]] = entry
        return True

    def _count(self, size: int) -> None:
        self._entries_seen += 1
        self.bytes_seen += size
        if self._entries_seen > IMAGE_ENTRIES_MAX:
            raise BadImage(f"an image of more than {IMAGE_ENTRIES_MAX} entries")
        if self.bytes_seen > IMAGE_BYTES_MAX:
            raise BadImage(f"an image of more than {IMAGE_BYTES_MAX} bytes")

    def _replace_root(self, entry: Entry, path: bytes) -> None:
        if not entry.is_dir:
            raise BadImage(f"{show(path)} would replace the root directory")
        entry.children = self.root.children
        self.root = entry

    def _parent(self, names: list[bytes], path: bytes) -> Entry:
        """The directory that `names` lead to, made where it is missing, as of this layer."""
        parent = self._directory(names, path, is_made=True)
        assert parent is not None, "what is missing was made"
        return parent

    def _directory(self, names: list[bytes], path: bytes, *, is_made: bool) -> Entry | None:
        """Where `names` lead from the top, links followed; None: nowhere, and it was not made."""
        above = [self.root]
        pending = names[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name == b"..":
                del above[max(1, len(above) - 1) :]
                continue
            below = self._child(above[-1], name, is_made=is_made)
            if below is not None and stat.S_ISLNK(below.mode):
                links += 1
                pending += self._link_names(below.target, links, path)
                if below.target.startswith(b"/"):
                    del above[1:]
                continue
            if below is None or not (below.is_dir or is_made):
                return None
            if not below.is_dir:
                raise BadImage(f"{show(path)} leads through {show(name)}, which is no directory")
            above.append(below)
            if len(above) > IMAGE_DEPTH_MAX + 1:
                raise BadImage(f"directories nested deeper than {IMAGE_DEPTH_MAX}: {show(path)}")
        if is_made:
            for entry in above:
                entry.layer = self._layer
        return above[-1]

    def _child(self, parent: Entry, name: bytes, *, is_made: bool) -> Entry | None:
        """What `parent` has of this name, made as a directory where it is missing."""
        if name not in parent.children and is_made:
            parent.children[name] = directory(layer=self._layer)
            self._count(0)
        return parent.children.get(name)

    def _link_names(self, target: bytes, links: int, path: bytes) -> list[bytes]:
        """The names of a link's target, the last one first. Raises BadImage for too many."""
        names = [name for name in target.split(b"/") if name not in (b"", b".")]
        self._link_steps += len(names) + 1
        if links > IMAGE_LINKS_FOLLOWED_MAX:
            raise BadImage(f"{show(path)} leads through links that never end")
        if self._link_steps > IMAGE_LINK_STEPS_MAX:
            raise BadImage("the links of an image make its paths too long")
        return [name if name == b".." else check_name(name) for name in reversed(names)]

    def _hide(self, names: list[bytes], mark: bytes) -> None:
        """Obey a whiteout: remove what lower layers have there."""
        parent = self._directory(names, mark, is_made=False)
        if mark == _OPAQUE:
            if parent is not None:
                self._drop_lower(parent)
            return
        if mark.startswith(_WHITEOUT_META):
            return  # bookkeeping of aufs
        name = check_name(mark[len(WHITEOUT) :])
        hidden = None if parent is None else parent.children.get(name)
        if parent is None or hidden is None:
            return
        if hidden.layer < self._layer:
            del parent.children[name]
        else:
            self._drop_lower(hidden)

    def _drop_lower(self, top: Entry) -> None:
        """Remove everything beneath `top` that this layer did not bring."""
        pending = [top]
        while pending:
            entry = pending.pop()
            for name, child in list(entry.children.items()):
                if child.layer < self._layer:
                    del entry.children[name]
                else:
                    pending.append(child)


def _check_target(target: bytes, path: bytes) -> None:
    if not 0 < len(target) < IMAGE_PATH_BYTES_MAX or b"\0" in target:
        raise BadImage(f"{show(path)} is a symbolic link with an impossible target")


def _check_device(entry: Entry, path: bytes) -> None:
    number = (device_major(entry.rdev), device_minor(entry.rdev))
    if entry.kind == stat.S_IFBLK or number not in DEVICES_ALLOWED:
        raise BadImage(
            f"{show(path)} is a device ({number[0]}:{number[1]}); images may hold only null, zero, "
            "full, random, urandom, tty and ptmx, so remove it from the image"
        )


def device_number(major: int, minor: int) -> int:
    """As Linux writes it in `st_rdev`."""
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor & ~0xFF) << 12 | (major & ~0xFFF) << 32


def device_major(rdev: int) -> int:
    """The part that names the driver."""
    return (rdev >> 8 & 0xFFF) | (rdev >> 32 & ~0xFFF)


def device_minor(rdev: int) -> int:
    """The part that names the device."""
    return (rdev & 0xFF) | (rdev >> 12 & ~0xFF)
