"""Damage is found wherever it is; what the disk does not read at all is named and stays."""

import os
from pathlib import Path

import pytest

from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.chunks.verification import verify_chunks
from p2pgrid.model.flist import flist_id
from p2pgrid.store.memory import MemoryStore
from tests.chunks.blobs import blob

BLOBS = [blob(number, 1000) for number in range(70)]
DATA = b"flist" * 100
FLIST = flist_id(DATA)


def ignore(_done: int, _total: int) -> None:
    """For those who do not watch."""


async def test_a_sound_store_is_read_whole(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put(BLOBS)
        await chunks.put_flist(FLIST, DATA)
        found = await verify_chunks(chunks, lambda done, total: heard.append((done, total)))
    assert found.is_sound
    assert (found.chunk_count, found.flist_count) == (70, 1)
    assert heard[-1] == (70, 70)
    assert len(heard) > 2


async def test_damage_is_named_and_forgotten(tmp_path: Path) -> None:
    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put(BLOBS)
        await chunks.put_flist(FLIST, DATA)
        pack = tmp_path / "pack-00000001.dat"
        data = bytearray(pack.read_bytes())
        data[data.index(bytes(BLOBS[33].data)) + 500] ^= 1
        pack.write_bytes(data)
        (tmp_path / "flists" / f"{FLIST.hex()}.fl").write_bytes(DATA[1:])

        found = await verify_chunks(chunks, ignore)

        assert (found.damaged, found.unreadable) == ([BLOBS[33].chunk], [])
        assert found.damaged_flists == [FLIST]
        assert not found.is_sound
        assert not chunks.has(BLOBS[33].chunk)
        assert (await verify_chunks(chunks, ignore)).is_sound


async def test_one_bad_sector_is_named_alone_and_its_chunk_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.pread

    def read_but_one(file: int, size: int, offset: int) -> bytes:
        data = read(file, size, offset)
        if bytes(BLOBS[5].data) in data:
            raise OSError(5, "Input/output error")
        return data

    async with open_chunk_store(tmp_path, MemoryStore()) as chunks:
        await chunks.put(BLOBS)
        with monkeypatch.context() as patched:
            patched.setattr(os, "pread", read_but_one)
            found = await verify_chunks(chunks, ignore)
        assert (found.damaged, found.unreadable) == ([], [BLOBS[5].chunk])
        assert found.chunk_count == 70
        assert await chunks.get(BLOBS[5].chunk) == BLOBS[5].data
