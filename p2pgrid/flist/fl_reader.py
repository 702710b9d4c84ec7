"""Reads a `.fl` file that anybody may have made, and gives a tree that is safe to unpack.

`database` opens it, so that nothing in it runs. Then every value is checked by type and range,
and the rows must form one tree.
"""

import sqlite3
import stat
from dataclasses import dataclass

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import KEY_BYTES, Block, block_lengths
from p2pgrid.flist.database import Expected, binary, number, open_database, rows, table_names
from p2pgrid.flist.fl import INDEXES, TABLES
from p2pgrid.flist.tree import TIME_SECONDS_MAX, Entry, check_entry, check_name, show
from p2pgrid.limits.chunks import IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX
from p2pgrid.limits.flist import FLIST_TAG_BYTES_MAX, FLIST_TAGS_MAX, IMAGE_DEPTH_MAX
from p2pgrid.model.ids import ID_BYTES, ChunkId

_EXPECTED = Expected(
    TABLES + INDEXES,
    tables=frozenset({"inode", "extra", "block", "tag", "route"}),
    required=frozenset({"inode", "extra", "block"}),
    value_bytes_max=FLIST_TAG_BYTES_MAX,
)


@dataclass(frozen=True, slots=True)
class Flist:
    """What a `.fl` file says."""

    root: Entry
    tags: dict[str, str]
    entry_count: int
    content_bytes: int
    """Plain bytes of all files."""


def decode_flist(data: bytes) -> Flist:
    """Read a `.fl` file from outside. Some 100,000 entries a second.

    Raises:
        BadImage: not a `.fl` file, damaged, or hostile; the message says what is wrong.
    """
    with open_database(data, _EXPECTED) as database:
        return _read(database)


def _read(database: sqlite3.Connection) -> Flist:
    entries, names, parents = _read_entries(database)
    _read_targets(database, entries)
    for ino, entry in entries.items():
        check_entry(entry, names[ino])
    content_bytes = _read_blocks(database, entries)  # believes the sizes, now checked
    _assemble(entries, names, parents)
    return Flist(entries[1], _read_tags(database), len(entries), content_bytes)


def _read_entries(
    database: sqlite3.Connection,
) -> tuple[dict[int, Entry], dict[int, bytes], dict[int, int]]:
    entries, names, parents = {}, {}, {}
    query = "SELECT ino, parent, name, size, uid, gid, mode, rdev, mtime FROM inode"
    for ino, parent, name, *values in rows(database, query, IMAGE_ENTRIES_MAX):
        size, uid, gid, mode, rdev, mtime = (number(value) for value in values)
        entry = Entry(
            mode=mode,
            uid=uid,
            gid=gid,
            rdev=rdev,
            mtime=max(0, min(mtime, TIME_SECONDS_MAX)),
            size=size,
        )
        if not stat.S_ISREG(mode):
            entry.size = 0  # rfs writes what the file system says of directories and links
        key = number(ino)
        if key in entries:
            raise BadImage("flist has two entries of one number")
        entries[key], names[key], parents[key] = entry, binary(name), number(parent)
    return entries, names, parents


def _read_targets(database: sqlite3.Connection, entries: dict[int, Entry]) -> None:
    for ino, data in rows(database, "SELECT ino, data FROM extra", IMAGE_ENTRIES_MAX):
        entry = entries.get(number(ino))
        if entry is None or not stat.S_ISLNK(entry.mode):
            raise BadImage("flist has a link target that belongs to no symbolic link")
        entry.target = binary(data)


def _read_blocks(database: sqlite3.Connection, entries: dict[int, Entry]) -> int:
    """Give each file its blocks; returns the plain bytes of all."""
    query = "SELECT ino, id, key FROM block ORDER BY rowid"
    for ino, chunk, key in rows(database, query, IMAGE_ENTRIES_MAX * 2):
        entry = entries.get(number(ino))
        if entry is None or not stat.S_ISREG(entry.mode):
            raise BadImage("flist has a block that belongs to no file")
        if len(binary(chunk)) != ID_BYTES or len(binary(key)) != KEY_BYTES:
            raise BadImage("flist has a block whose id or key is not 32 bytes long")
        entry.blocks.append(Block(ChunkId(binary(chunk)), binary(key)))
    total = 0
    for entry in entries.values():
        total += entry.size
        if total > IMAGE_BYTES_MAX:
            raise BadImage(f"flist of more than {IMAGE_BYTES_MAX} bytes of content")
        if len(entry.blocks) != len(block_lengths(entry.size)):
            raise BadImage(f"flist has a file of {entry.size} bytes in {len(entry.blocks)} blocks")
    return total


def _read_tags(database: sqlite3.Connection) -> dict[str, str]:
    if b"tag" not in table_names(database):
        return {}
    found = rows(database, "SELECT key, value FROM tag", FLIST_TAGS_MAX)
    return {binary(key).decode(): binary(value).decode() for key, value in found}


def _assemble(entries: dict[int, Entry], names: dict[int, bytes], parents: dict[int, int]) -> None:
    """Hang every entry into its directory; raise BadImage unless that gives one tree."""
    if parents.get(1) != 0 or not entries[1].is_dir:
        raise BadImage("flist has no root directory")
    for ino, entry in entries.items():
        if ino == 1:
            continue
        parent, name = entries.get(parents[ino]), check_name(names[ino])
        if parent is None or not parent.is_dir:
            raise BadImage(f"flist has {show(name)} in no directory")
        if name in parent.children:
            raise BadImage(f"flist has two entries {show(name)} in one directory")
        parent.children[name] = entry
    reached, level, depth = 1, [entries[1]], 0
    while level := [child for entry in level for child in entry.children.values()]:
        reached, depth = reached + len(level), depth + 1
        if depth > IMAGE_DEPTH_MAX:
            raise BadImage(f"flist with directories nested deeper than {IMAGE_DEPTH_MAX}")
    if reached != len(entries):
        raise BadImage("flist has directories that contain each other")
