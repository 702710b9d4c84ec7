"""On disk: acknowledged chunks survive kill -9, torn tails, a lost index and a full disk."""

import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.errors import NotFound, StoreFailed, Unusable
from p2pgrid.model.flist import flist_id
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

KILLS = 6
BLOBS = [blob(number) for number in range(40)]


@contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """A disk that is full: writes beyond this offset fail (Python ignores SIGXFSZ)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def packs(directory: Path) -> list[Path]:
    """The pack files, oldest first."""
    return sorted(directory.glob("pack-*.dat"))


async def stored(directory: Path, store: MemoryStore, blobs: list[Blob]) -> set[int]:
    """Which of `blobs`, by position, a store opened now gives back intact."""
    async with open_chunk_store(directory, store, pack_bytes_max=20 * KIB) as chunks:
        found = await chunks.get_many([one.chunk for one in blobs])
        assert chunks.usage().chunk_count == len({one for one in found if one is not None})
    return {number for number, data in enumerate(found) if data == blobs[number].data}


async def fill(directory: Path, store: MemoryStore) -> None:
    async with open_chunk_store(directory, store, pack_bytes_max=20 * KIB) as chunks:
        for one in BLOBS:
            await chunks.put([one])


@pytest.mark.slow
async def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    choice = random.Random(1)
    acknowledged: set[int] = set()
    for round_number in range(KILLS):
        acknowledged |= put_and_kill(tmp_path, start=round_number * 10**6, choice=choice)
        if round_number == KILLS // 2:
            shutil.rmtree(tmp_path / "chunks.ldb")
        async with (
            open_leveldb(tmp_path, name="chunks") as store,
            open_chunk_store(tmp_path / "packs", store, pack_bytes_max=200 * KIB) as chunks,
        ):
            numbers = sorted(acknowledged)
            found = await chunks.get_many([blob(number).chunk for number in numbers])
            assert found == tuple(blob(number).data for number in numbers)
            assert chunks.usage().chunk_count >= len(acknowledged)
    assert len(acknowledged) > 5 * KILLS


@pytest.mark.slow
async def test_what_is_needed_is_there_after_kill_9_amid_eviction_and_compaction(
    tmp_path: Path,
) -> None:
    choice = random.Random(2)
    needed: set[int] = set()
    for round_number in range(KILLS):
        put = put_and_kill(tmp_path, "evict", start=round_number * 10**6, choice=choice)
        needed |= {number for number in put if number % 2 == 0}
        if round_number == KILLS // 2:
            shutil.rmtree(tmp_path / "chunks.ldb")
        async with (
            open_leveldb(tmp_path, name="chunks") as store,
            open_chunk_store(tmp_path / "packs", store, pack_bytes_max=20 * KIB) as chunks,
        ):
            found = await chunks.get_many([blob(number).chunk for number in sorted(needed)])
            assert found == tuple(blob(number).data for number in sorted(needed))
    assert len(needed) > 5 * KILLS
    newest = int(packs(tmp_path / "packs")[-1].stem.removeprefix("pack-"))
    assert len(packs(tmp_path / "packs")) < newest, "no pack was ever compacted away"


def put_and_kill(directory: Path, *arguments: str, start: int, choice: random.Random) -> set[int]:
    command = [sys.executable, "-m", "tests.chunks.putting", str(directory), str(start)]
    command += arguments
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(choice.randrange(1, 200))]
        process.kill()
        lines += process.stdout.readlines()
    return {int(line) for line in lines if line.endswith("\n")}


async def test_a_lost_index_is_made_anew_from_the_packs(tmp_path: Path) -> None:
    await fill(tmp_path, MemoryStore())
    assert len(packs(tmp_path)) > 1
    assert await stored(tmp_path, MemoryStore(), BLOBS) == set(range(40))


async def test_a_torn_tail_is_cut_and_written_over(tmp_path: Path) -> None:
    store = MemoryStore()
    await fill(tmp_path, store)
    last = packs(tmp_path)[-1]
    with last.open("ab") as file:
        file.write(b"p2pk\0\0\1\0 torn")
    size = last.stat().st_size
    assert await stored(tmp_path, store, BLOBS) == set(range(40))
    assert last.stat().st_size < size
    async with open_chunk_store(tmp_path, store, pack_bytes_max=20 * KIB) as chunks:
        await chunks.put([blob(100)])
    assert await stored(tmp_path, MemoryStore(), [*BLOBS, blob(100)]) == set(range(41))


async def test_a_pack_that_lost_its_end_is_indexed_anew(tmp_path: Path) -> None:
    store = MemoryStore()
    await fill(tmp_path, store)
    last = packs(tmp_path)[-1]
    os.truncate(last, last.stat().st_size - 1)
    async with open_chunk_store(tmp_path, store) as chunks:
        assert [one for one in BLOBS if not chunks.has(one.chunk)] == BLOBS[39:]
    assert await stored(tmp_path, store, BLOBS) == set(range(39))


async def test_a_lost_pack_costs_its_own_chunks_only(tmp_path: Path) -> None:
    store = MemoryStore()
    await fill(tmp_path, store)
    packs(tmp_path)[0].unlink()
    found = await stored(tmp_path, store, BLOBS)
    assert found == set(range(min(found), 40))
    assert 0 < len(found) < 40


async def test_a_damaged_chunk_is_forgotten_so_that_it_is_fetched_again(tmp_path: Path) -> None:
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put(BLOBS)
        pack = bytearray((tmp_path / "pack-00000001.dat").read_bytes())
        pack[60] ^= 1
        (tmp_path / "pack-00000001.dat").write_bytes(pack)
        with pytest.raises(NotFound):
            await chunks.get(BLOBS[0].chunk)
        assert not chunks.has(BLOBS[0].chunk)
        assert chunks.usage().chunk_count == len(BLOBS) - 1
        assert chunks.usage().chunk_bytes == sum(len(one.data) for one in BLOBS[1:])
        await chunks.put([BLOBS[0]])
        assert await chunks.get(BLOBS[0].chunk) == BLOBS[0].data


async def test_a_full_disk_refuses_and_the_node_goes_on(tmp_path: Path) -> None:
    store = MemoryStore()
    async with open_chunk_store(tmp_path, store) as chunks:
        await chunks.put(BLOBS)
        usage = chunks.usage()
        with file_size_limit(usage.pack_bytes + 5000):
            with pytest.raises(StoreFailed, match="make room"):
                await chunks.put([blob(100, 3000), blob(101, 3000)])
            assert not chunks.has(blob(100, 3000).chunk)
            assert chunks.usage() == usage
            assert (tmp_path / "pack-00000001.dat").stat().st_size == usage.pack_bytes
            await chunks.put([blob(102, 100)])
        await chunks.put([blob(100, 3000)])
    everything = [*BLOBS, blob(102, 100), blob(100, 3000)]
    for index in (store, MemoryStore()):
        async with open_chunk_store(tmp_path, index) as chunks:
            found = await chunks.get_many([one.chunk for one in everything])
            assert found == tuple(one.data for one in everything)


async def test_an_index_that_cannot_be_written_takes_the_chunk_back(tmp_path: Path) -> None:
    class FullStore(MemoryStore):
        is_full = False

        def write(self, changes: Sequence[Change]) -> None:
            if self.is_full:
                raise StoreFailed("full")
            super().write(changes)

    store = FullStore()
    async with open_chunk_store(tmp_path, store) as chunks:
        await chunks.put(BLOBS)
        usage = chunks.usage()
        store.is_full = True
        with pytest.raises(StoreFailed):
            await chunks.put([blob(100)])
        assert chunks.usage() == usage
        store.is_full = False
        await chunks.put([blob(101)])
        assert await chunks.get(blob(101).chunk) == blob(101).data
        assert not chunks.has(blob(100).chunk)


async def test_chunks_are_synced_before_they_are_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def record_sync(file: int) -> None:
        synced.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fdatasync", record_sync)
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        for number in range(3):
            await chunks.put([blob(number)])
            assert synced[-1] == chunks.usage().pack_bytes
    assert len(synced) == 3


async def test_a_failed_sync_is_a_refusal_and_its_pack_gets_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(file: int) -> None:
        raise OSError(5, "Input/output error")

    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put([blob(1)])
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", fail)
            with pytest.raises(StoreFailed):
                await chunks.put([blob(2)])
        assert not chunks.has(blob(2).chunk)
        before = (tmp_path / "pack-00000001.dat").stat().st_size
        await chunks.put([blob(3)])
        assert (tmp_path / "pack-00000001.dat").stat().st_size == before
        assert await chunks.get_many([blob(1).chunk, blob(3).chunk]) == (
            blob(1).data,
            blob(3).data,
        )


async def test_flists_and_pins_are_there_after_a_restart(tmp_path: Path) -> None:
    data = b"flist" * 1000
    async with open_leveldb(tmp_path, name="chunks") as store:
        async with open_chunk_store(tmp_path / "packs", store) as chunks:
            await chunks.put_flist(flist_id(data), data)
            await chunks.pin(flist_id(data), "running")
        (tmp_path / "packs" / "flists" / "half.part").write_bytes(b"half")
        async with open_chunk_store(tmp_path / "packs", store) as chunks:
            assert chunks.flists() == (flist_id(data),)
            assert await chunks.get_flist(flist_id(data)) == data
            assert chunks.pins(flist_id(data)) == ("running",)
    assert not (tmp_path / "packs" / "flists" / "half.part").exists()


async def test_a_damaged_flist_is_forgotten_so_that_it_is_fetched_again(tmp_path: Path) -> None:
    data = b"flist" * 1000
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put_flist(flist_id(data), data)
        (tmp_path / "flists" / f"{flist_id(data).hex()}.fl").write_bytes(data[:-1] + b"?")
        with pytest.raises(NotFound, match="damaged"):
            await chunks.get_flist(flist_id(data))
        assert chunks.flists() == ()
        await chunks.put_flist(flist_id(data), data)
        assert await chunks.get_flist(flist_id(data)) == data


async def test_an_flist_that_the_disk_refuses_leaves_nothing(tmp_path: Path) -> None:
    data = bytes(50 * KIB)
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        with file_size_limit(10 * KIB), pytest.raises(StoreFailed, match="make room"):
            await chunks.put_flist(flist_id(data), data)
        assert chunks.flists() == ()
        assert list((tmp_path / "flists").iterdir()) == []
        await chunks.put_flist(flist_id(data), data)
        assert await chunks.get_flist(flist_id(data)) == data


async def test_a_foreign_file_among_the_packs_is_named(tmp_path: Path) -> None:
    (tmp_path / "pack-holiday.dat").touch()
    with pytest.raises(Unusable, match="holiday"):
        async with open_chunk_store(tmp_path, MemoryStore()):
            pass
