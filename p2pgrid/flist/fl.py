"""The `.fl` file: one SQLite database with the tables of rfs, written the same way every time.

    inode(ino, parent, name, size, uid, gid, mode, rdev, ctime, mtime)   1 is the root, parent 0
    extra(ino, data)         target of a symbolic link
    block(ino, id, key)      blocks of a file, in order of their rows
    tag(key, value)          p2pgrid keeps the image configuration under `oci.config`
    route(start, end, url)   where rfs looks for chunks; peers need none

Equal trees give equal bytes: entries are numbered from the top by name, the page size is fixed,
and the places in the header that tell the version of the library are set to a constant. What the
format cannot hold (hard links, extended attributes) is lost, as in rfs. `fl_reader` reads it.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import NamedTuple

from p2pgrid.errors import BadImage
from p2pgrid.flist.tree import Entry
from p2pgrid.limits.chunks import FLIST_BYTES_MAX

TAG_CONFIG = "oci.config"
"""The tag that holds the image configuration, as JSON text."""

TABLES = """
CREATE TABLE IF NOT EXISTS inode (ino INTEGER PRIMARY KEY AUTOINCREMENT, parent INTEGER, \
name VARCHAR(255), size INTEGER, uid INTEGER, gid INTEGER, mode INTEGER, rdev INTEGER, \
ctime INTEGER, mtime INTEGER);
CREATE TABLE IF NOT EXISTS extra (ino INTEGER PRIMARY KEY, data VARCHAR(4096));
CREATE TABLE IF NOT EXISTS block (ino INTEGER, id VARCHAR(32), key VARCHAR(32));
CREATE TABLE IF NOT EXISTS tag (key VARCHAR(10) PRIMARY KEY, value VARCHAR(255));
CREATE TABLE IF NOT EXISTS route (start integer, end integer, url VARCHAR(2048));
"""
INDEXES = """
CREATE INDEX IF NOT EXISTS parents ON inode (parent);
CREATE INDEX IF NOT EXISTS names ON inode (name);
CREATE INDEX IF NOT EXISTS block_ino ON block (ino);
"""

_PAGE_BYTES = 4096
# Fields of the database header that depend on how and by which library it was written. With
# these fixed, SQLite 3.40 and 3.51 give the same bytes.
_CHANGE_COUNTER = slice(24, 28)
_SCHEMA_COOKIE = slice(40, 44)
_VERSION_FIELDS = slice(92, 100)
_WRITTEN_BY = (1).to_bytes(4, "big") + (3_040_001).to_bytes(4, "big")


class _Row(NamedTuple):
    ino: int
    parent: int
    name: bytes
    entry: Entry


def encode_flist(root: Entry, tags: Mapping[str, str]) -> bytes:
    """The `.fl` file of a finished tree. About 100,000 entries a second.

    Raises:
        BadImage: the file would be larger than FLIST_BYTES_MAX.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        database.execute("PRAGMA encoding='UTF-8'")
        database.execute("BEGIN")
        for statement in TABLES.strip().split("\n"):
            database.execute(statement)
        _insert(database, list(_number(root)), tags)
        # After the rows, so that the trees are built in one go: faster, and as dense as can be.
        for statement in INDEXES.strip().split("\n"):
            database.execute(statement)
        database.execute("COMMIT")
        data = bytearray(database.serialize())
    if len(data) > FLIST_BYTES_MAX:
        raise BadImage(f"its flist would have {len(data)} bytes; {FLIST_BYTES_MAX} is the limit")
    data[_CHANGE_COUNTER] = data[_SCHEMA_COOKIE] = _WRITTEN_BY[:4]
    data[_VERSION_FIELDS] = _WRITTEN_BY
    return bytes(data)


def _number(root: Entry) -> Iterator[_Row]:
    """Every entry with its number and its parent's, from the top, by name."""
    pending = [_Row(0, 0, b"/", root)]
    ino = 0
    while pending:
        ino += 1
        row = pending.pop()._replace(ino=ino)
        yield row
        pending += [
            _Row(0, ino, name, child)
            for name, child in sorted(row.entry.children.items(), reverse=True)
        ]


def _insert(database: sqlite3.Connection, rows: list[_Row], tags: Mapping[str, str]) -> None:
    database.executemany(
        "INSERT INTO inode VALUES (?,?,?,?,?,?,?,?,?,?)",
        (
            (
                row.ino,
                row.parent,
                _as_text(row.name),
                len(row.entry.target) or row.entry.size,
                row.entry.uid,
                row.entry.gid,
                row.entry.mode,
                row.entry.rdev,
                row.entry.mtime,
                row.entry.mtime,
            )
            for row in rows
        ),
    )
    database.executemany(
        "INSERT INTO extra VALUES (?,?)",
        ((row.ino, row.entry.target) for row in rows if row.entry.target),
    )
    database.executemany(
        "INSERT INTO block VALUES (?,?,?)",
        ((row.ino, block.id, block.key) for row in rows for block in row.entry.blocks),
    )
    database.executemany("INSERT INTO tag VALUES (?,?)", sorted(tags.items()))


def _as_text(name: bytes) -> str | bytes:
    """Text, as rfs has it, where the name is UTF-8; the bare bytes where it is not."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name
