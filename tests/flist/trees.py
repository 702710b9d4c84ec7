"""Random trees of images."""

import stat
from pathlib import Path

from hypothesis import strategies as st

from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.tree import Entry, ImageTree, device_number
from p2pgrid.model.ids import ChunkId

PLAIN: dict[ChunkId, bytes] = {}
"""Content of the files that were drawn."""

names = st.one_of(
    st.sampled_from([b"a", b"b", b"usr", b".hidden", b"with space", b"-rf", b"\xc3\xa4", b"\xff"]),
    st.binary(min_size=1, max_size=20).filter(
        lambda name: name not in (b".", b"..") and b"/" not in name and b"\0" not in name
    ),
)
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)
modes = st.integers(0, 0o7777)
owners = st.integers(0, 2**32 - 2)
times = st.integers(0, 2**32 - 1)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([stat.S_IFREG] * 4 + [stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO]))
    kind = draw(st.sampled_from([kind, kind, kind, stat.S_IFCHR]))
    entry = Entry(
        mode=kind | (0o777 if kind == stat.S_IFLNK else draw(modes)),
        uid=draw(owners),
        gid=draw(owners),
        mtime=draw(times),
    )
    if kind == stat.S_IFLNK:
        targets = st.binary(min_size=1, max_size=50).filter(lambda target: b"\0" not in target)
        entry.target = draw(st.one_of(st.sampled_from([b"/etc", b"../../..", b"."]), targets))
    if kind == stat.S_IFCHR:
        entry.rdev = device_number(1, draw(st.sampled_from([3, 5, 7, 8, 9])))
    if kind == stat.S_IFREG:
        plain = draw(st.binary(max_size=300))
        entry.size = len(plain)
        entry.blocks = [encode_block(plain)[0]] if plain else []
        for block in entry.blocks:
            PLAIN[block.id] = plain
    return entry


contents = st.dictionaries(paths, entries(), max_size=8)


def plant(content: dict[bytes, Entry]) -> Entry:
    """The tree with these entries; those whose way leads through a file are left out."""
    tree = ImageTree(has_whiteouts=False)
    for path in sorted(content):
        names = path.split(b"/")
        above = [tree.find(names[:depth]) for depth in range(len(names))]
        if all(entry is None or entry.is_dir for entry in above):
            entry = content[path]
            tree.add(path, entry)
    return tree.root


def seen(top: Path) -> dict[str, tuple[object, ...]]:
    """Everything about every file that a container can see."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        content: object = None
        if path.is_symlink():
            content = path.readlink()
        elif path.is_file():
            content = path.read_bytes()
        name = str(path.relative_to(top))
        owner = (status.st_uid, status.st_gid)
        found[name] = (kind, status.st_mode, owner, status.st_rdev, content)
        if kind != stat.S_IFDIR:
            found[name] += (int(status.st_mtime),)
    return found
