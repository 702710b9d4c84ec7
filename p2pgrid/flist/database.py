"""Opens SQLite databases that anybody may have made: our own few queries run, and nothing else.

SQLite is a large parser and a file can carry programs (views, triggers, generated columns), so:
the file is read into memory and never opened by name; its schema may use only the words of the
one that is expected, so there is nothing to execute; an authorizer allows our own queries and
nothing else; lengths and steps are limited; `quick_check` walks every page once before a row is
believed (cycles and shared pages would be endless tables). Texts come as bytes.
"""

import re
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from p2pgrid.errors import BadImage
from p2pgrid.flist.tree import show
from p2pgrid.limits.chunks import FLIST_BYTES_MAX
from p2pgrid.limits.flist import FLIST_STEPS_MAX

DATABASE_MAGIC = b"SQLite format 3\0"
_STEPS_PER_CALL = 1_000_000
_PRAGMAS = frozenset({"trusted_schema", "cell_size_check", "query_only", "quick_check"})
_WORD = re.compile(r"[a-z_]+|\d+")
_COMMENT = re.compile(r"--[^\n]*")
_ALWAYS_WORDS = frozenset({"text", "blob", "not", "null", "sqlite_sequence", "seq"})
_ALWAYS_TABLES = frozenset({"sqlite_sequence", "sqlite_master"})


@dataclass(frozen=True, slots=True)
class Expected:
    """What a database may hold."""

    statements: str
    """That make all of its tables and indexes, in any form whose words they use."""
    tables: frozenset[str]
    required: frozenset[str]
    """Tables that have to be there."""
    value_bytes_max: int
    """Of one value."""


@contextmanager
def open_database(data: bytes, expected: Expected) -> Generator[sqlite3.Connection]:
    """A database in memory for the block, walked once and found in order.

    Raises:
        BadImage: there is something else, it is damaged or hostile; also where reading it in the
            block shows that.
    """
    if len(data) > FLIST_BYTES_MAX:
        raise BadImage(f"flist of {len(data)} bytes; {FLIST_BYTES_MAX} is the limit")
    if not data.startswith(DATABASE_MAGIC):
        raise BadImage("not an flist: it is no SQLite database")
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
            database.deserialize(data)
            _restrict(database, len(data), expected)
            _check_schema(database, expected)
            _check_pages(database)
            yield database
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise BadImage(f"flist is damaged: {error}") from error


def table_names(database: sqlite3.Connection) -> set[bytes]:
    """Names of what is there."""
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master")}


def rows(database: sqlite3.Connection, query: str, most: int) -> Iterator[tuple[object, ...]]:
    """What a query gives. Raises BadImage for more than `most` rows."""
    for count, row in enumerate(database.execute(query)):
        if count >= most:
            raise BadImage(f"flist has more than {most} rows in one table")
        yield row


def number(value: object) -> int:
    """A value that is one. Raises BadImage."""
    if type(value) is not int:
        raise BadImage("flist has something else where a number belongs")
    return value


def binary(value: object) -> bytes:
    """A value that is text or bytes. Raises BadImage."""
    if type(value) is not bytes:
        raise BadImage("flist has something else where a name or key belongs")
    return value


def _restrict(database: sqlite3.Connection, size: int, expected: Expected) -> None:
    """Nothing but our own queries, and not for ever."""
    for name, limit in (
        (sqlite3.SQLITE_LIMIT_LENGTH, min(size, expected.value_bytes_max) + 4096),
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
    database.set_authorizer(_authorizer(expected.tables | _ALWAYS_TABLES))
    database.text_factory = bytes
    for setting in ("trusted_schema=OFF", "cell_size_check=ON", "query_only=ON"):
        database.execute(f"PRAGMA {setting}")


def _authorizer(
    tables: frozenset[str],
) -> Callable[[int, str | None, str | None, str | None, str | None], int]:
    """Our selects, reads of our tables and four pragmas; no functions, no writes."""

    def authorize(action: int, first: str | None, *_: str | None) -> int:
        is_allowed = (
            action == sqlite3.SQLITE_SELECT
            or (action == sqlite3.SQLITE_READ and first in tables)
            or (action == sqlite3.SQLITE_PRAGMA and first in _PRAGMAS)
        )
        return sqlite3.SQLITE_OK if is_allowed else sqlite3.SQLITE_DENY

    return authorize


def _check_schema(database: sqlite3.Connection, expected: Expected) -> None:
    """The tables and indexes that are expected and nothing that computes.

    Views, triggers, virtual tables, generated columns, checks, defaults and partial or
    expression indexes all need words that the statements do not have.
    """
    words = _ALWAYS_WORDS.union(_WORD.findall(expected.statements.lower()))
    found = set()
    for kind, name, sql in database.execute("SELECT type, name, sql FROM sqlite_master"):
        if sql is None and kind == b"index":
            continue  # SQLite's own, for a primary key
        # No quotes are allowed below, so nothing can make SQLite see less of a comment than we.
        text = _COMMENT.sub("", sql.decode().lower()) if isinstance(sql, bytes) else ""
        rest = _WORD.sub("", text)
        if (
            kind not in (b"table", b"index")
            or not words.issuperset(_WORD.findall(text))
            or rest.strip("() ,;\n\r\t")
        ):
            raise BadImage(f"flist holds something else than tables of files: {show(name)}")
        if kind == b"table":
            found.add(name.decode())
    if expected.required - found or found - expected.tables - _ALWAYS_TABLES:
        raise BadImage(f"not an flist: its tables are {sorted(found)}")


def _check_pages(database: sqlite3.Connection) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != b"ok":
        raise BadImage(f"flist is damaged: {verdict[:200].decode(errors='replace')}")
