"""On disk: nothing acknowledged is ever lost, and what cannot be used is said clearly."""

import random
import resource
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plyvel
import pytest
import trio

from p2pgrid.errors import DataInUse, NewerFormat, StoreFailed, Unusable
from p2pgrid.store.leveldb import LevelDbStore, open_leveldb
from p2pgrid.store.store import FORMAT_VERSION, Table
from p2pgrid.units import KIB

KILLS = 6


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """A disk that is full: writes beyond this offset fail (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class RecordingDatabase:
    """LevelDB, noting which writes were synchronous."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self.syncs: list[bool] = []

    def write_batch(self, *, sync: bool) -> Any:
        self.syncs.append(sync)
        return self._database.write_batch(sync=sync)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    choice = random.Random(1)
    acknowledged: set[int] = set()
    for _ in range(KILLS):
        acknowledged |= _commit_and_kill(tmp_path, start=len(acknowledged) * 1000, choice=choice)
        async with open_leveldb(tmp_path, name="test") as store:
            stored = {int.from_bytes(key[1:], "big") for key, _ in store.scan(b"a")}
            assert acknowledged <= stored
            halves = {int.from_bytes(key[1:], "big") for key, _ in store.scan(b"b")}
            assert halves == stored, "a commit is there in part"
    assert len(acknowledged) > 10 * KILLS


def _commit_and_kill(directory: Path, *, start: int, choice: random.Random) -> set[int]:
    command = [sys.executable, "-m", "tests.store.committing", str(directory), str(start)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(choice.randrange(1, 500))]
        process.kill()
        lines += process.stdout.readlines()
    return {int(line) for line in lines if line.endswith("\n")}


async def test_commits_are_synced_and_many_share_one(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        recording = store._database = RecordingDatabase(store._database)
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(store.commit, [(b"%d" % number, b"")])
        assert all(recording.syncs)
        assert len(recording.syncs) <= 3
        store.write([(b"a", b"")])
        assert recording.syncs[-1] is False


async def test_a_full_disk_refuses_and_loses_nothing(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        await store.commit([(b"a", b"old"), (b"b", b"1")])
        with file_size_limit(64 * KIB):
            for _ in range(3):
                with pytest.raises(StoreFailed, match=r"make room|cannot be written"):
                    await store.commit([(b"a", b"new"), (b"c", bytes(100 * KIB))])
                with pytest.raises(StoreFailed):
                    store.write([(b"b", b"new"), (b"d", bytes(100 * KIB))])
            assert store.get(b"a") == b"old"
        await store.commit([(b"e", b"after")])
        assert _content(store) == {b"a": b"old", b"b": b"1", b"e": b"after"}
    async with open_leveldb(tmp_path, name="test") as store:
        assert _content(store) == {b"a": b"old", b"b": b"1", b"e": b"after"}


async def test_what_a_refused_write_left_on_disk_is_undone(tmp_path: Path) -> None:
    """A failed fsync leaves a whole record, which a restart would bring back."""

    class UnsyncedDatabase(RecordingDatabase):
        def write_batch(self, *, sync: bool) -> Any:
            return _written_but_refused(self._database)

    async with open_leveldb(tmp_path, name="test") as store:
        await store.commit([(b"a", b"old")])
        store._database = UnsyncedDatabase(store._database)
        store._database.get = lambda key, **_: b"old" if key == b"a" else None
        with pytest.raises(StoreFailed):
            await store.commit([(b"a", b"new"), (b"b", b"new")])
        await store.commit([(b"c", b"1")])
        assert _content(store) == {b"a": b"old", b"c": b"1"}


@contextmanager
def _written_but_refused(database: Any) -> Generator[Any, None, None]:
    with database.write_batch(sync=True) as batch:
        yield batch
    raise plyvel.IOError(b"IO error: fsync")


async def test_a_newer_format_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        store.write([(Table.FORMAT.key(), b"%d" % (FORMAT_VERSION + 1))])
    with pytest.raises(NewerFormat, match="install that version"):
        LevelDbStore(tmp_path / "test.ldb")


async def test_a_foreign_database_is_left_alone(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        store.write([(Table.FORMAT.key(), None), (b"theirs", b"1")])
    for _ in range(2):
        with pytest.raises(Unusable, match="not a store of p2pgrid"):
            LevelDbStore(tmp_path / "test.ldb")


async def test_an_open_database_is_in_use(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test"):
        with pytest.raises(DataInUse, match="in use by another process"):
            LevelDbStore(tmp_path / "test.ldb")


@pytest.mark.parametrize("victim", ["*.log", "MANIFEST-*"])
async def test_a_flipped_byte_is_found_at_the_start(tmp_path: Path, victim: str) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        await store.commit([(b"vote", bytes(1000))])
        await store.commit([(b"other", bytes(1000))])
    _flip(next((tmp_path / "test.ldb").glob(victim)), 20)
    with pytest.raises(Unusable, match="is damaged"):
        LevelDbStore(tmp_path / "test.ldb")


async def test_a_lost_index_file_does_not_look_like_an_empty_store(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        await store.commit([(b"vote", b"1")])
    (tmp_path / "test.ldb" / "CURRENT").unlink()
    with pytest.raises(Unusable, match="CURRENT is missing"):
        LevelDbStore(tmp_path / "test.ldb")


async def test_a_flipped_byte_is_found_when_read(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        await store.commit([(b"vote", bytes(1000)), (b"other", random.Random(1).randbytes(5000))])
    LevelDbStore(tmp_path / "test.ldb")._database.close()  # turns the log into a table
    _flip(next((tmp_path / "test.ldb").glob("*.ldb")), 3000)
    async with open_leveldb(tmp_path, name="test") as store:
        with pytest.raises(Unusable, match="is damaged"):
            store.get(b"other")
        with pytest.raises(Unusable, match="is damaged"):
            list(store.scan(b""))


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with open_leveldb(tmp_path, name="test") as store:
        entries = store.scan(b"")
    with pytest.raises(StoreFailed, match="cannot be read"):
        store.get(b"a")
    with pytest.raises(StoreFailed, match="cannot be read"):
        list(entries)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.ldb").write_text("not a directory")
    with pytest.raises(Unusable, match=r"test\.ldb"):
        LevelDbStore(tmp_path / "test.ldb")


def _content(store: LevelDbStore) -> dict[bytes, bytes]:
    return {key: value for key, value in store.scan(b"") if key != Table.FORMAT.key()}


def _flip(file: Path, offset: int) -> None:
    data = bytearray(file.read_bytes())
    data[offset] ^= 0xFF
    file.write_bytes(data)
