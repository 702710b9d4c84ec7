"""A `.fl` file is the same for the same tree, and rfs and we read each other's."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from hypothesis import given

from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.fl import encode_flist
from p2pgrid.flist.fl_reader import decode_flist
from p2pgrid.flist.tree import Entry, walk
from p2pgrid.model.flist import flist_id
from tests.flist.archives import apply, device, directory, member, symlink, tar
from tests.flist.trees import contents, plant

# rfs/schema/schema.sql, as rfs itself executes it.
RFS_SCHEMA = """
CREATE TABLE IF NOT EXISTS inode (
    ino INTEGER PRIMARY KEY AUTOINCREMENT,
    parent INTEGER,
    name VARCHAR(255),
    size INTEGER,
    uid INTEGER,
    gid INTEGER,
    mode INTEGER,
    rdev INTEGER,
    ctime INTEGER,
    mtime INTEGER
);
CREATE INDEX IF NOT EXISTS parents ON inode (parent);
CREATE INDEX IF NOT EXISTS names ON inode (name);
CREATE TABLE IF NOT EXISTS extra (
    ino INTEGER PRIMARY KEY,
    data VARCHAR(4096)
);
CREATE TABLE IF NOT EXISTS block (
    ino INTEGER,
    id VARCHAR(32),
    key VARCHAR(32)
);
CREATE INDEX IF NOT EXISTS block_ino ON block (ino);
CREATE TABLE IF NOT EXISTS tag (
    key VARCHAR(10) PRIMARY KEY,
    value VARCHAR(255)
);
CREATE TABLE IF NOT EXISTS route (
    start integer, -- one byte hash prefix
    end integer,   -- one byte hash prefix
    url VARCHAR(2048)
);
"""


def pack_like_rfs(top: Path, fl: Path) -> None:
    """What `rfs pack` does: directories last in first out, times and sizes of the file system."""
    with closing(sqlite3.connect(fl)) as database:
        database.execute("PRAGMA journal_mode=DELETE")
        database.executescript(RFS_SCHEMA)
        database.execute("INSERT INTO route VALUES (0, 255, 'zdb://hub.example:9900/ns')")
        database.execute("INSERT INTO tag VALUES ('version', '1.0')")

        def insert(parent: int, name: str, path: Path) -> int:
            status = path.lstat()
            row = (parent, name, status.st_size, status.st_uid, status.st_gid, status.st_mode)
            times = (status.st_rdev, int(status.st_ctime), int(status.st_mtime))
            ino = database.execute(
                "INSERT INTO inode (parent, name, size, uid, gid, mode, rdev, ctime, mtime)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (*row, *times),
            ).lastrowid
            assert ino is not None
            return ino

        pending = [(0, "/", top)]
        while pending:
            parent, name, path = pending.pop()
            own = insert(parent, name, path)
            for child in path.iterdir():
                if child.is_dir() and not child.is_symlink():
                    pending.append((own, child.name, child))
                    continue
                ino = insert(own, child.name, child)
                if child.is_symlink():
                    target = os.fsencode(child.readlink())
                    database.execute("INSERT INTO extra VALUES (?,?)", (ino, target))
                elif data := child.read_bytes():
                    for at in range(0, len(data), 524288):
                        block, _ = encode_block(data[at : at + 524288])
                        database.execute("INSERT INTO block VALUES (?,?,?)", (ino, *block))
        database.commit()


def test_a_file_that_rfs_packed_opens(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "large").write_bytes(b"x" * 1_200_000)
    (top / "a" / "empty").touch()
    (top / "link").symlink_to("a/b")
    pack_like_rfs(top, tmp_path / "rfs.fl")

    flist = decode_flist((tmp_path / "rfs.fl").read_bytes())

    assert [path for path, _ in walk(flist.root)] == [
        *(b"", b"a", b"a/b", b"a/b/large", b"a/empty", b"link"),
    ]
    assert flist.content_bytes == 1_200_000
    assert flist.root.children[b"link"].target == b"a/b"
    assert flist.tags == {"version": "1.0"}


FIXED = tar(
    directory("d", mode=0o750, uid=1, gid=2, mtime=1_700_000_000),
    member("d/f", b"hello world\n", mtime=1_700_000_001),
    member("d/ä", b""),
    symlink("l", "d/f"),
    device("null", 1, 3, b"3"),
)


def test_the_bytes_of_a_flist_cannot_change_by_accident() -> None:
    """Ids of flists are published: another id for the same tree breaks sharing over versions."""
    tree, _ = apply(FIXED)

    data = encode_flist(tree.root, {"oci.config": "{}"})

    assert flist_id(data).hex() == (
        "76f5679effdfd031a895f43a54df49aaabd689379b6dc5ba45d3d83e7fc8ed03"
    )


def test_other_programs_see_the_tables_of_rfs(tmp_path: Path) -> None:
    tree, _ = apply(FIXED)
    (tmp_path / "a.fl").write_bytes(encode_flist(tree.root, {}))

    with closing(sqlite3.connect(tmp_path / "a.fl")) as database:
        rows = database.execute(
            "SELECT ino, parent, name, size, uid, gid, mode, rdev, ctime, mtime FROM inode"
        ).fetchall()
        extra = database.execute("SELECT ino, data FROM extra").fetchall()
        blocks = database.execute("SELECT ino, hex(id) FROM block").fetchall()
        (verdict,) = database.execute("PRAGMA integrity_check").fetchone()
        database.executescript(RFS_SCHEMA)  # rfs does so when it opens a file to write

    assert verdict == "ok"
    assert rows[0] == (1, 0, "/", 0, 0, 0, stat.S_IFDIR | 0o755, 0, 0, 0)
    assert rows[1] == (
        *(2, 1, "d", 0, 1, 2, stat.S_IFDIR | 0o750, 0),
        *(1_700_000_000, 1_700_000_000),
    )
    assert rows[2][2:4] == ("f", 12)
    assert rows[3][2] == "ä"
    assert extra == [(5, b"d/f")]
    assert blocks == [(3, "D139C46E6CC65ACFA2EEF1D0CD7ABF014667FDC9A5CA75D9184671F97301A0DB")]


@given(contents)
def test_what_is_written_is_read(content: dict[bytes, Entry]) -> None:
    root = plant(content)
    tags = {"oci.config": '{"config":{}}', "author": "ä"}

    data = encode_flist(root, tags)
    found = decode_flist(data)

    assert found.tags == tags
    assert [path for path, _ in walk(found.root)] == [path for path, _ in walk(root)]
    assert encode_flist(found.root, tags) == data


@given(contents)
def test_the_order_in_which_a_tree_was_made_does_not_matter(content: dict[bytes, Entry]) -> None:
    backwards = dict(reversed(content.items()))

    assert encode_flist(plant(content), {}) == encode_flist(plant(backwards), {})


def test_names_that_are_no_text_survive() -> None:
    root = plant({b"\xff\xfe": Entry(mode=stat.S_IFREG | 0o644)})

    assert list(decode_flist(encode_flist(root, {})).root.children) == [b"\xff\xfe"]
