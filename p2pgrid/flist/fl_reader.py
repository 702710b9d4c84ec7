"""Opens a `.fl` file that anybody may have made, and gives a tree that is safe to unpack.

SQLite is a large parser and a file can carry programs (views, triggers, generated columns), so:
the file is read into memory and never opened by name; its schema may use only the words of
TABLES and INDEXES, so there is nothing to execute; an authorizer allows our own few queries and
nothing else; lengths and steps are limited; `quick_check` walks every page once before a row is
believed (cycles and shared pages would be endless tables). Then every value is checked by type
and range, and the rows must form one tree.
"""

import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import KEY_BYTES, Block, block_lengths
from p2pgrid.flist.fl import INDEXES, TABLES
from p2pgrid.flist.tree import TIME_SECONDS_MAX, Entry, check_entry, check_name, show
from p2pgrid.limits.chunks import FLIST_BYTES_MAX, IMAGE_BYTES_MAX, IMAGE_ENTRIES_MAX
from p2pgrid.limits.flist import (
    FLIST_STEPS_MAX,
    FLIST_TAG_BYTES_MAX,
    FLIST_TAGS_MAX,
    IMAGE_DEPTH_MAX,
)
from p2pgrid.model.ids import ID_BYTES, ChunkId

_MAGIC = b"SQLite format 3\0"
_STEPS_PER_CALL = 1_000_000
_PRAGMAS = frozenset({"trusted_schema", "cell_size_check", "query_only", "quick_check"})
_WORD = re.compile(r"[a-z_]+|\d+")
_COMMENT = re.compile(r"--[^\n]*")
_WORDS = frozenset(_WORD.findall((TABLES + INDEXES).lower())) | {"text", "blob", "not", "null"}
_COLUMNS = {
    "inode": ("ino", "parent", "name", "size", "uid", "gid", "mode", "rdev", "ctime", "mtime"),
    "extra": ("ino", "data"),
    "block": ("ino", "id", "key"),
    "tag": ("key", "value"),
    "route": ("start", "end", "url"),
}
_ALLOWED_TABLES = frozenset({*_COLUMNS, "sqlite_sequence", "sqlite_master"})


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
    if len(data) > FLIST_BYTES_MAX:
        raise BadImage(f"flist of {len(data)} bytes; {FLIST_BYTES_MAX} is the limit")
    if not data.startswith(_MAGIC):
        raise BadImage("not an flist: it is no SQLite database")
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(data)
            _restrict(database, len(data))
            _check_schema(database)
            _check_pages(database)
            return _read(database)
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise BadImage(f"flist is damaged: {error}") from error


# --- SQLite ---------------------------------------------------------------------------------------


def _restrict(database: sqlite3.Connection, size: int) -> None:
    """Nothing but our own queries, and not for ever."""
    for name, limit in (
        (sqlite3.SQLITE_LIMIT_LENGTH, min(size, FLIST_TAG_BYTES_MAX) + 4096),
        (sqlite3.SQLITE_LIMIT_SQL_LENGTH, 4096),
        (sqlite3.SQLITE_LIMIT_COLUMN, 32),
        (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 16),
        (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
        (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
    ):
        database.setlimit(name, limit)
    steps_left = FLIST_STEPS_MAX // _STEPS_PER_CALL

    def is_over() -> bool:
        nonlocal steps_left
        steps_left -= 1
        return steps_left < 0

    database.set_progress_handler(is_over, _STEPS_PER_CALL)
    database.set_authorizer(_authorize)
    database.text_factory = bytes
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        database.execute(f"PRAGMA {setting}")


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _by: str | None
) -> int:
    """Our selects, reads of our tables and four pragmas; no functions, no writes."""
    del second
    is_allowed = (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and first in _ALLOWED_TABLES)
        or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
    )
    return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY


def _check_schema(database: sqlite3.Connection) -> None:
    """Tables and indexes of rfs and nothing that computes.

    Views, triggers, virtual tables, generated columns, checks, defaults and partial or
    expression indexes all need words that TABLES and INDEXES do not have.
    """
    found = set()
    for kind, name, sql in database.execute("SELECT type, name, sql FROM sqlite_master"):
        if sql is None and kind == b"index":
            continue  # SQLite's own, for a primary key
        # No quotes are allowed below, so nothing can make SQLite see less of a comment than we.
        text = _COMMENT.sub("", sql.decode().lower()) if isinstance(sql, bytes) else ""
        rest = _WORD.sub("", text)
        if (
            kind not in (b"table", b"index")
            or not set(_WORD.findall(text)) <= _WORDS | {"sqlite_sequence", "seq"}
            or rest.strip("() ,;\n\r\t")
        ):
            raise BadImage(f"flist holds something else than tables of files: {show(name)}")
        if kind == b"table":
            found.add(name.decode())
    missing = {"inode", "extra", "block"} - found
    if missing or found - _ALLOWED_TABLES:
        raise BadImage(f"not an flist: its tables are {sorted(found)}")


def _check_pages(database: sqlite3.Connection) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise BadImage(f"flist is damaged: {verdict[:200].decode(errors='replace')}")


# --- rows -----------------------------------------------------------------------------------------


def _read(database: sqlite3.Connection) -> Flist:
    entries, names, parents = _read_entries(database)
    _read_targets(database, entries)
    for ino, entry in entries.items():
        check_entry(entry, names[ino])
    content_bytes = _read_blocks(database, entries)  # believes the sizes, now checked
    _assemble(entries, names, parents)
    return Flist(entries[1], _read_tags(database), len(entries), content_bytes)


def _rows(database: sqlite3.Connection, query: str, most: int) -> Iterator[tuple[object, ...]]:
    for count, row in enumerate(database.execute(query)):
        if count >= most:
            raise BadImage(f"flist has more than {most} rows in one table")
        yield row


def _read_entries(
    database: sqlite3.Connection,
) -> tuple[dict[int, Entry], dict[int, bytes], dict[int, int]]:
    entries, names, parents = {}, {}, {}
    query = "SELECT ino, parent, name, size, uid, gid, mode, rdev, mtime FROM inode"
    for ino, parent, name, *values in _rows(database, query, IMAGE_ENTRIES_MAX):
        size, uid, gid, mode, rdev, mtime = (_number(value) for value in values)
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
        key = _number(ino)
        if key in entries:
            raise BadImage("flist has two entries of one number")
        entries[key], names[key], parents[key] = entry, _data(name), _number(parent)
    return entries, names, parents


def _read_targets(database: sqlite3.Connection, entries: dict[int, Entry]) -> None:
    for ino, data in _rows(database, "SELECT ino, data FROM extra", IMAGE_ENTRIES_MAX):
        entry = entries.get(_number(ino))
        if entry is None or not stat.S_ISLNK(entry.mode):
            raise BadImage("flist has a link target that belongs to no symbolic link")
        entry.target = _data(data)


def _read_blocks(database: sqlite3.Connection, entries: dict[int, Entry]) -> int:
    """Give each file its blocks; returns the plain bytes of all."""
    query = "SELECT ino, id, key FROM block ORDER BY rowid"
    for ino, chunk, key in _rows(database, query, IMAGE_ENTRIES_MAX * 2):
        entry = entries.get(_number(ino))
        if entry is None or not stat.S_ISREG(entry.mode):
            raise BadImage("flist has a block that belongs to no file")
        if len(_data(chunk)) != ID_BYTES or len(_data(key)) != KEY_BYTES:
            raise BadImage("flist has a block whose id or key is not 32 bytes long")
        entry.blocks.append(Block(ChunkId(_data(chunk)), _data(key)))
    total = 0
    for entry in entries.values():
        total += entry.size
        if total > IMAGE_BYTES_MAX:
            raise BadImage(f"flist of more than {IMAGE_BYTES_MAX} bytes of content")
        if len(entry.blocks) != len(block_lengths(entry.size)):
            raise BadImage(f"flist has a file of {entry.size} bytes in {len(entry.blocks)} blocks")
    return total


def _read_tags(database: sqlite3.Connection) -> dict[str, str]:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    if b"tag" not in tables:
        return {}
    rows = _rows(database, "SELECT key, value FROM tag", FLIST_TAGS_MAX)
    return {_data(key).decode(): _data(value).decode() for key, value in rows}


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


def _number(value: object) -> int:
    if type(value) is not int:
        raise BadImage("flist has something else where a number belongs")
    return value


def _data(value: object) -> bytes:
    if type(value) is not bytes:
        raise BadImage("flist has something else where a name or key belongs")
    return value
