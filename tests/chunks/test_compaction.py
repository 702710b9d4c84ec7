"""Compaction gives room back and never loses what is in use, whatever the disk does meanwhile."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import trio

from p2pgrid.chunks.pack_files import PackFiles, Place
from p2pgrid.chunks.pack_store import PackStore, open_chunk_store
from p2pgrid.errors import StoreFailed
from p2pgrid.model.ids import ChunkId
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

BLOBS = [blob(number) for number in range(60)]
LOOSE, NEEDED = BLOBS[::2], BLOBS[1::2]
PACK_BYTES_MAX = 20 * KIB


def ignore(_done: int, _total: int) -> None:
    """For those who do not watch."""


def packs_bytes(directory: Path) -> int:
    """What the packs take on disk."""
    return sum(file.stat().st_size for file in directory.glob("pack-*"))


async def fill_and_evict(chunks: PackStore) -> None:
    for one in BLOBS:
        await chunks.put([one])
    chunks.evict([one.chunk for one in LOOSE], pins_version=chunks.pins_version)


async def hold_needed(chunks: PackStore) -> None:
    """Every needed chunk is there, byte for byte."""
    found = await chunks.get_many([one.chunk for one in NEEDED])
    assert found == tuple(one.data for one in NEEDED)
    assert chunks.usage().chunk_count >= len(NEEDED)


async def test_the_room_comes_back_and_stays_back(tmp_path: Path) -> None:
    store = MemoryStore()
    async with open_chunk_store(tmp_path, store, pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        before = chunks.usage()
        heard: list[tuple[int, int]] = []
        freed = await chunks.compact(lambda done, total: heard.append((done, total)))
        after = chunks.usage()
        assert freed == before.pack_bytes - after.pack_bytes > before.pack_bytes // 4
        assert after.chunk_bytes == before.chunk_bytes
        assert heard[0][0] == 0
        assert heard[-1][0] == heard[-1][1] > 0
        assert packs_bytes(tmp_path) == after.pack_bytes
        await hold_needed(chunks)
        assert await chunks.compact(ignore) == 0
    for index in (store, MemoryStore()):
        async with open_chunk_store(tmp_path, index) as chunks:
            await hold_needed(chunks)
            assert chunks.usage() == after


async def test_chunks_are_read_while_they_are_moved(tmp_path: Path) -> None:
    async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        is_over = trio.Event()
        reads = 0

        async def read() -> None:
            nonlocal reads
            while not is_over.is_set():
                await hold_needed(chunks)
                reads += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            for number in range(100, 140):
                await chunks.put([blob(number)])
                chunks.evict([blob(number).chunk], pins_version=chunks.pins_version)
                await chunks.compact(ignore)
            is_over.set()
        assert reads > 0
        await hold_needed(chunks)


async def test_a_chunk_that_moved_between_look_up_and_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        read = PackFiles.read

        def compact_first(self: PackFiles, places: Mapping[ChunkId, Place]) -> dict[ChunkId, bytes]:
            monkeypatch.setattr(PackFiles, "read", read)
            trio.from_thread.run(chunks.compact, ignore)
            return read(self, places)

        monkeypatch.setattr(PackFiles, "read", compact_first)
        await hold_needed(chunks)


async def test_a_crash_before_the_old_pack_is_removed_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    async with open_chunk_store(tmp_path, store, pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        monkeypatch.setattr(PackFiles, "remove", lambda _self, _pack: 0)
        await chunks.compact(ignore)
    async with open_chunk_store(tmp_path, store, pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await hold_needed(chunks)


async def test_a_pack_goes_only_after_the_index_is_durable_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a later pack of the same number could meet places of the old one."""
    events: list[str] = []

    class Watched(MemoryStore):
        async def commit(self, changes: Sequence[Change]) -> None:
            await super().commit(changes)
            events.append("durable")

    remove = PackFiles.remove

    def watched_remove(self: PackFiles, pack: int) -> int:
        events.append("removed")
        return remove(self, pack)

    monkeypatch.setattr(PackFiles, "remove", watched_remove)
    async with open_chunk_store(tmp_path, Watched(), pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        await chunks.compact(ignore)
    assert events == ["durable", "removed"] * (len(events) // 2)
    assert events


async def test_a_damaged_chunk_does_not_move(tmp_path: Path) -> None:
    async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        first = tmp_path / "pack-00000001.dat"
        data = bytearray(first.read_bytes())
        start = data.index(bytes(NEEDED[0].data))
        data[start] ^= 1
        first.write_bytes(data)
        await chunks.compact(ignore)
        assert not chunks.has(NEEDED[0].chunk)
        await chunks.put([NEEDED[0]])
        await hold_needed(chunks)


@pytest.mark.parametrize("call", ["pwritev", "fdatasync", "pread"])
async def test_a_disk_that_refuses_keeps_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    store = MemoryStore()
    async with open_chunk_store(tmp_path, store, pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, refuse)
            with pytest.raises(StoreFailed):
                await chunks.compact(ignore)
        await hold_needed(chunks)
        await chunks.compact(ignore)
        await hold_needed(chunks)


async def test_packs_that_hold_nothing_go_even_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=PACK_BYTES_MAX) as chunks:
        await fill_and_evict(chunks)
        chunks.evict([one.chunk for one in NEEDED], pins_version=chunks.pins_version)
        monkeypatch.setattr(os, "pwritev", refuse)
        await chunks.compact(ignore)
        assert chunks.usage().pack_bytes == 0
