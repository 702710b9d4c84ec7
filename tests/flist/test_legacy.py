"""Old flists are read as they were meant, and hostile ones are refused.

`vectors/legacy.flist` was written by pycapnp 2.2.4 with the schema of 0-flist, so that it holds
messages of one segment and of several.
"""

import gzip
import io
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.legacy import decode_legacy, is_legacy
from p2pgrid.flist.listing import list_tree
from p2pgrid.flist.lookup import find_file
from tests.flist.archives import member, tar

GOOD = (Path(__file__).parents[1] / "vectors" / "legacy.flist").read_bytes()


def key_of(path: str) -> str:
    return blake2b(path.encode(), digest_size=16).hexdigest()


def database() -> bytes:
    with tarfile.open(fileobj=io.BytesIO(GOOD)) as archive:
        file = archive.extractfile("flistdb.sqlite3")
        assert file is not None
        return file.read()


DATABASE = database()


def packed(data: bytes, name: str = "flistdb.sqlite3") -> bytes:
    return gzip.compress(tar(member(name, data)), 1)


def tampered(change: Callable[[sqlite3.Connection], object]) -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as opened:
        opened.deserialize(DATABASE)
        change(opened)
        return packed(opened.serialize())


def with_entry(path: str, change: Callable[[bytes], bytes]) -> bytes:
    """The good one with the message of a directory changed."""

    def write(opened: sqlite3.Connection) -> None:
        (value,) = opened.execute(
            "SELECT value FROM entries WHERE key=?", (key_of(path),)
        ).fetchone()
        opened.execute("UPDATE entries SET value=? WHERE key=?", (change(value), key_of(path)))

    return tampered(write)


def replaced(path: str, old: bytes, new: bytes) -> bytes:
    def change(value: bytes) -> bytes:
        assert old in value
        return value.replace(old, new)

    return with_entry(path, change)


def sql(statement: str) -> bytes:
    return tampered(lambda opened: opened.execute(statement))


# --- the good one ---------------------------------------------------------------------------------


def test_the_keys_are_those_of_the_format() -> None:
    assert key_of("") == "cae66941d9efbd404e4d88758ea67670"
    assert key_of("usr/bin") == "46c939da162118cf47886fe40f8b5600"


def test_an_old_flist_is_read() -> None:
    found = decode_legacy(GOOD)

    lines = {one.path: one for one in list_tree(found.root)}
    assert found.entry_count == len(lines) == 212
    assert found.content_bytes == 12 + 528_384 + 200 * 12
    assert found.tags["readme"] == "an old one"
    assert (lines["bin"].target, lines["bin"].mode) == ("usr/bin", "lrwxrwxrwx")
    tool = lines["usr/bin/tool-199"]
    assert (tool.mode, tool.uid, tool.gid, tool.size) == ("-rwsr-xr-x", 7, 8, 12)
    assert (lines["hello"].mode, lines["hello"].uid) == ("-rw-------", 1000)
    assert lines["usr/bin"].mtime == 1_500_000_009
    assert lines["dev/console"].device == "5:1"
    assert lines["dev/pipe"].mode.startswith("p")
    assert lines["dev/sock"].mode.startswith("s")


def test_blocks_have_the_ids_and_keys_of_the_format() -> None:
    root = decode_legacy(GOOD).root

    (block,) = find_file(root, b"hello").blocks
    assert block.id.hex() == "a5147f6e7cac3a7076f942cb5e00d896"
    assert block.key.hex() == "c0cdb4699cdaa9eea4c563a934f1d52b"
    assert len(find_file(root, b"zeros").blocks) == 2


def test_it_may_be_a_plain_archive_as_well() -> None:
    plain = tar(member("./router.yaml", b"pools: {}"), member("./flistdb.sqlite3", DATABASE))

    assert is_legacy(plain)
    assert is_legacy(GOOD)
    assert not is_legacy(DATABASE)
    assert decode_legacy(plain).entry_count == 212


# --- hostile ones ---------------------------------------------------------------------------------

HOSTILE = {
    "empty": b"",
    "truncated": GOOD[:-200],
    "no database in it": packed(DATABASE, "other"),
    "not a database": packed(b"x" * 9000),
    "truncated database": packed(DATABASE[:-8192]),
    "endless name of a database": packed(DATABASE, "flistdb.sqlite3" + "x" * 5000),
    "view in place of entries": sql("CREATE VIEW evil AS SELECT 1"),
    "trigger": sql("CREATE TRIGGER x AFTER DELETE ON entries BEGIN DELETE FROM metadata; END"),
    "another table": sql("CREATE TABLE more (key)"),
    "no table": sql("DROP TABLE entries"),
    "number for a message": sql(f"UPDATE entries SET value=7 WHERE key='{key_of('')}'"),
    "nothing for a message": sql(f"UPDATE entries SET value=NULL WHERE key='{key_of('')}'"),
    "no root": sql(f"DELETE FROM entries WHERE key='{key_of('')}'"),
    "a directory that is not there": sql(f"DELETE FROM entries WHERE key='{key_of('usr')}'"),
    "owners that are not there": sql("DELETE FROM entries WHERE key='d7683de000c13689'"),
    "text that is not UTF-8": sql("INSERT INTO metadata VALUES ('x', CAST(x'ff' AS TEXT))"),
    "too much metadata": sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION SELECT i+1 FROM n LIMIT 100) "
        "INSERT INTO metadata SELECT 'k' || i, 'v' FROM n"
    ),
    "empty message": with_entry("", lambda _: b""),
    "short message": with_entry("", lambda value: value[:-8]),
    "long message": with_entry("", lambda value: value + bytes(8)),
    "millions of segments": with_entry("", lambda value: b"\xff\xff\xff\x7f" + value[4:]),
    "cycle": replaced("usr", key_of("usr/bin").encode(), key_of("usr").encode()),
    "cycle through the root": replaced("usr", key_of("usr/bin").encode(), key_of("").encode()),
    "way up": replaced("", b"hello\0", b"..\0\0\0\0"),
    "zero in a target": replaced("", b"usr/bin\0", b"usr\0bin\0"),
    "slash": replaced("", b"hello\0", b"a/b/c\0"),
    "zero in a name": replaced("", b"hello\0", b"he\0lo\0"),
    "text without an end": replaced("", b"hello\0", b"hellos"),
    "the same name twice": replaced("", b"zeros\0", b"hello\0"),
    "device without numbers": replaced("dev", b"5,1", b"5;1"),
    "negative device": replaced("dev", b"5,1", b"5-1"),
    "block too many": replaced("", (524_288 + 4096).to_bytes(8, "little"), bytes([1] + [0] * 7)),
    "gigantic": replaced("", (524_288 + 4096).to_bytes(8, "little"), b"\xff" * 8),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_ones_are_refused(name: str) -> None:
    with pytest.raises(BadImage):
        decode_legacy(HOSTILE[name])


@pytest.mark.parametrize("name", ["cycle", "cycle through the root"])
def test_a_directory_is_in_one_place_only(name: str) -> None:
    with pytest.raises(BadImage, match="another one as well"):
        decode_legacy(HOSTILE[name])


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pgrid.flist.legacy.FLIST_BYTES_MAX", len(DATABASE) - 1)

    with pytest.raises(BadImage, match="is the limit"):
        decode_legacy(GOOD)


@pytest.mark.parametrize("limit", ["IMAGE_ENTRIES_MAX", "IMAGE_BYTES_MAX", "IMAGE_DEPTH_MAX"])
def test_there_is_a_limit_to_everything(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"p2pgrid.flist.legacy.{limit}", 1)

    with pytest.raises(BadImage):
        decode_legacy(GOOD)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_message_is_read_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(["", "usr", "dev", "usr/bin"]))

    def change(value: bytes) -> bytes:
        changed = bytearray(value)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, min(len(value), 600) - 1))
            changed[place] = data.draw(st.integers(0, 255))
        return bytes(changed)

    hostile = with_entry(path, change)
    try:
        found = decode_legacy(hostile)
    except BadImage:
        return
    assert found.entry_count == sum(1 for _ in list_tree(found.root))
