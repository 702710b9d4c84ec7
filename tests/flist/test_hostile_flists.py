"""`.fl` files made to run programs, to never end or to leave their tree: refused."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.database import _restrict
from p2pgrid.flist.fl import encode_flist
from p2pgrid.flist.fl_reader import _EXPECTED, decode_flist
from p2pgrid.flist.tree import Entry, ImageTree
from tests.flist.archives import apply, directory, member, symlink, tar

FILE, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755
GOOD_TREE, _ = apply(tar(directory("d"), member("d/f", b"x" * 1000), symlink("l", "d/f")))
GOOD = encode_flist(GOOD_TREE.root, {"oci.config": "{}"})
# Numbers in it: 1 root, 2 d, 3 d/f, 4 l.


def tampered(*statements: str) -> bytes:
    """The good file after somebody changed it with SQLite."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.deserialize(GOOD)
        for statement in statements:
            database.execute(statement)
        return database.serialize()


def schema(name: str, sql: str) -> bytes:
    """The good file with the text of one table replaced, as no tool would do it."""
    return tampered(
        "PRAGMA writable_schema=ON", f"UPDATE sqlite_master SET sql={sql!r} WHERE name='{name}'"
    )


def inode(values: str) -> bytes:
    return tampered(f"INSERT INTO inode VALUES ({values})")


OWN = f"5, 0, 0, {FILE}, 0, 0, 0"
HOSTILE = {
    "no database": b"SQLite format 4\0" + bytes(5000),
    "empty": b"",
    "header alone": GOOD[:100],
    "truncated": GOOD[:-4096],
    "truncated within a page": GOOD[:-1000],
    "one page": GOOD[:4096],
    "write-ahead log": GOOD[:18] + b"\x02\x02" + GOOD[20:],
    "page size of nonsense": GOOD[:16] + b"\x03\x00" + GOOD[18:],
    "other encoding": GOOD[:56] + b"\0\0\0\x02" + GOOD[60:],
    "view in place of a table": tampered(
        "DROP TABLE extra", "CREATE VIEW extra AS SELECT 4 AS ino, randomblob(100000000) AS data"
    ),
    "endless view": tampered(
        "DROP TABLE extra",
        "CREATE VIEW extra AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
        "SELECT i AS ino, x'' AS data FROM n",
    ),
    "trigger": tampered("CREATE TRIGGER t AFTER INSERT ON inode BEGIN SELECT 1; END"),
    "virtual table": tampered("CREATE VIRTUAL TABLE v USING fts5(x)"),
    "generated column": tampered(
        "DROP TABLE tag",
        "CREATE TABLE tag (key TEXT, value TEXT GENERATED ALWAYS AS (hex(zeroblob(9))))",
    ),
    "check of a table": tampered("CREATE TABLE x (a CHECK (load_extension('/tmp/x') = 1))"),
    "index of an expression": tampered("CREATE INDEX x ON inode (abs(size))"),
    "partial index": tampered("CREATE INDEX x ON inode (size) WHERE size > 0"),
    "program hidden in a comment": tampered(
        "DROP TABLE tag",
        'CREATE TABLE tag (key TEXT, "value--" TEXT DEFAULT (hex(1)),\n value TEXT)',
    ),
    "schema of garbage": schema("tag", "CREATE TABLE tag (key"),
    "schema of another table": schema("block", "CREATE TABLE inode (ino, parent)"),
    "another table": tampered("CREATE TABLE data (id INTEGER)"),
    "table missing": tampered("DROP TABLE block"),
    "no rows": tampered("DELETE FROM inode", "DELETE FROM block", "DELETE FROM extra"),
    "root that is a file": tampered(f"UPDATE inode SET mode={FILE} WHERE ino=1"),
    "root with a parent": tampered("UPDATE inode SET parent=2 WHERE ino=1"),
    "two roots": inode(f"9, 0, '/', 0, 0, 0, {DIRECTORY}, 0, 0, 0"),
    "name ..": inode(f"9, 1, '..', {OWN}".replace(", 5,", ", 0,")),
    "name .": inode(f"9, 1, '.', 0, 0, 0, {DIRECTORY}, 0, 0, 0"),
    "empty name": inode(f"9, 1, '', 0, 0, 0, {FILE}, 0, 0, 0"),
    "name with a slash": inode(f"9, 1, '../../etc/passwd', 0, 0, 0, {FILE}, 0, 0, 0"),
    "name with a zero": inode(f"9, 1, x'610062', 0, 0, 0, {FILE}, 0, 0, 0"),
    "name too long": inode(f"9, 1, '{'n' * 256}', 0, 0, 0, {FILE}, 0, 0, 0"),
    "name that is missing": inode(f"9, 1, NULL, 0, 0, 0, {FILE}, 0, 0, 0"),
    "the same name twice": inode(f"9, 1, 'd', 0, 0, 0, {FILE}, 0, 0, 0"),
    "the same name as text and as bytes": inode(f"9, 1, x'64', 0, 0, 0, {FILE}, 0, 0, 0"),
    "orphan": inode(f"9, 77, 'o', 0, 0, 0, {FILE}, 0, 0, 0"),
    "in a file": inode(f"9, 3, 'o', 0, 0, 0, {FILE}, 0, 0, 0"),
    "in a symbolic link": inode(f"9, 4, 'o', 0, 0, 0, {FILE}, 0, 0, 0"),
    "its own parent": inode(f"9, 9, 'o', 0, 0, 0, {DIRECTORY}, 0, 0, 0"),
    "two that contain each other": tampered(
        f"INSERT INTO inode VALUES (8, 9, 'a', 0, 0, 0, {DIRECTORY}, 0, 0, 0)",
        f"INSERT INTO inode VALUES (9, 8, 'b', 0, 0, 0, {DIRECTORY}, 0, 0, 0)",
    ),
    "negative size": tampered("UPDATE inode SET size=-1 WHERE ino=3"),
    "size of an exabyte": tampered("UPDATE inode SET size=1<<60 WHERE ino=3"),
    "sizes that add up to little": tampered(
        f"INSERT INTO inode VALUES (0, 1, 'o', -(1<<61), 0, 0, {FILE}, 0, 0, 0)",
        "UPDATE inode SET size=1<<60 WHERE ino=3",
    ),
    "size that is text": tampered("UPDATE inode SET size='large' WHERE ino=3"),
    "size that is no whole number": tampered("UPDATE inode SET size=0.5 WHERE ino=3"),
    "size without blocks": tampered("UPDATE inode SET size=524289 WHERE ino=3"),
    "blocks without size": tampered("UPDATE inode SET size=0 WHERE ino=3"),
    "block of a directory": tampered("UPDATE block SET ino=2"),
    "block of nothing": tampered("UPDATE block SET ino=77"),
    "block with a short id": tampered("UPDATE block SET id=x'00'"),
    "block with a long key": tampered("UPDATE block SET key=zeroblob(33)"),
    "block with a key of text": tampered("UPDATE block SET key=7"),
    "target of a file": tampered("INSERT INTO extra VALUES (3, 'x')"),
    "target of nothing": tampered("INSERT INTO extra VALUES (77, 'x')"),
    "target missing": tampered("DELETE FROM extra"),
    "target too long": tampered("UPDATE extra SET data=zeroblob(5000)"),
    "target with a zero": tampered("UPDATE extra SET data=x'610062'"),
    "block device": tampered(f"UPDATE inode SET mode={stat.S_IFBLK}, rdev=2048 WHERE ino=2"),
    "memory device": inode(f"9, 1, 'mem', 0, 0, 0, {stat.S_IFCHR | 0o666}, 257, 0, 0"),
    "mode of nonsense": inode("9, 1, 'o', 0, 0, 0, 0, 0, 0, 0"),
    "mode too large": inode(f"9, 1, 'o', 0, 0, 0, {FILE + (1 << 20)}, 0, 0, 0"),
    "owner out of range": tampered("UPDATE inode SET uid=4294967295 WHERE ino=3"),
    "owner below zero": tampered("UPDATE inode SET gid=-1 WHERE ino=3"),
    "tag too large": tampered("UPDATE tag SET value=hex(zeroblob(2000000))"),
    "tag that is no text": tampered("UPDATE tag SET value=x'ff'"),
    "too many tags": tampered(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<100) "
        "INSERT INTO tag SELECT i, i FROM n"
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_flist_is_refused(data: bytes, canary: Path) -> None:
    with pytest.raises(BadImage) as refused:
        decode_flist(data)

    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH '/etc/passwd' AS other",
        "SELECT randomblob(9)",
        "SELECT load_extension('x')",
        "DELETE FROM inode",
        "CREATE TABLE x (a)",
        "PRAGMA query_only=OFF",
        "PRAGMA writable_schema=ON",
        "SELECT * FROM pragma_table_list",
        "VACUUM",
    ],
)
def test_a_file_could_do_nothing_even_if_its_schema_were_believed(statement: str) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.deserialize(GOOD)
        _restrict(database, len(GOOD), _EXPECTED)

        if "query_only" in statement:  # a name that is allowed: it must have no effect
            database.execute(statement)
            statement = "DELETE FROM inode"
        with pytest.raises(sqlite3.DatabaseError, match=r"authoriz|prohibited"):
            database.execute(statement).fetchall()


def test_the_good_one_is_read() -> None:
    assert decode_flist(GOOD).entry_count == 4


def test_two_of_one_name_are_named() -> None:
    with pytest.raises(BadImage, match="two entries 'd' in one directory"):
        decode_flist(HOSTILE["the same name twice"])


def test_nested_too_deep_is_refused() -> None:
    root = top = Entry(mode=DIRECTORY)
    for _ in range(200):
        top.children[b"d"] = Entry(mode=DIRECTORY)
        top = top.children[b"d"]

    with pytest.raises(BadImage, match="deeper"):
        decode_flist(encode_flist(root, {}))


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ("fl_reader.IMAGE_ENTRIES_MAX", "rows"),
        ("database.FLIST_BYTES_MAX", "limit"),
        ("fl_reader.IMAGE_BYTES_MAX", "bytes of content"),
        ("database.FLIST_STEPS_MAX", "damaged: interrupted"),
    ],
)
def test_there_is_a_limit_to_everything(
    limit: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"p2pgrid.flist.{limit}", 3)
    monkeypatch.setattr("p2pgrid.flist.database._STEPS_PER_CALL", 3)

    with pytest.raises(BadImage, match=message):
        decode_flist(GOOD)


def test_pages_that_contain_each_other_are_refused() -> None:
    """A table whose inner page names one leaf again and again would have endless rows."""
    tree = ImageTree()
    block, _ = encode_block(b"x")
    for number in range(3000):
        tree.add(b"f%d" % number, Entry(mode=FILE, size=1, blocks=[block]))
    data = bytearray(encode_flist(tree.root, {}))
    inner = [at for at in range(4096, len(data), 4096) if data[at] == 5]
    for at in inner:  # interior pages of tables: let every cell name the first child
        cells = [at + 12 + 2 * n for n in range(int.from_bytes(data[at + 3 : at + 5], "big"))]
        places = [at + int.from_bytes(data[cell : cell + 2], "big") for cell in cells]
        for place in places:
            data[place : place + 4] = data[places[0] : places[0] + 4]

    assert inner
    with pytest.raises(BadImage, match="damaged"):
        decode_flist(bytes(data))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=6))
def test_damage_gives_bad_image_or_a_tree_and_nothing_else(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(GOOD)
    for place, value in changes:
        damaged[place] = value

    try:
        found = decode_flist(bytes(damaged))
    except BadImage:
        return
    assert found.root.is_dir
