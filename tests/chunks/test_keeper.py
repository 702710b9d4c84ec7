"""Chunks stay within their share, and what a pinned image needs stays whatever happens."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pgrid.chunks.chunk_store import OnCount, chunk_id
from p2pgrid.chunks.keeper import ChunkKeeper
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.errors import BadImage, StoreFailed
from p2pgrid.limits.chunks import KEEPER_SECONDS
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ID_BYTES, ChunkId
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

BLOBS = [blob(number, 1000) for number in range(40)]
NEEDED, LOOSE = BLOBS[:10], BLOBS[10:]
FLIST = b"".join(one.chunk for one in NEEDED)
FLIST_ID = flist_id(FLIST)


def chunks_of(data: bytes) -> list[ChunkId]:
    """An flist of these tests is nothing but the ids of its chunks."""
    if len(data) % ID_BYTES:
        raise BadImage("no flist")
    return [ChunkId(data[at : at + ID_BYTES]) for at in range(0, len(data), ID_BYTES)]


@dataclass
class Kept:
    """A keeper whose disk is as the test says."""

    chunks: MemoryChunkStore = field(default_factory=MemoryChunkStore)
    read: Callable[[bytes], Iterable[ChunkId]] = chunks_of
    share_bytes: int = 20_000
    free_bytes: int = 1 << 40

    def __post_init__(self) -> None:
        self.keeper = ChunkKeeper(
            self.chunks,
            self._read,
            lambda: self.share_bytes,
            lambda: self.free_bytes,
        )

    def _read(self, data: bytes) -> Iterable[ChunkId]:
        return self.read(data)

    async def fill(self) -> None:
        await self.chunks.put(BLOBS)
        await self.chunks.put_flist(FLIST_ID, FLIST)
        await self.chunks.pin(FLIST_ID, "running")

    @property
    def count(self) -> int:
        return self.chunks.usage().chunk_count

    def hold_needed(self) -> None:
        assert all(self.chunks.has(one.chunk) for one in NEEDED)


@pytest.fixture
async def kept() -> Kept:
    made = Kept()
    await made.fill()
    return made


async def test_what_exceeds_the_share_goes_and_what_is_pinned_stays(kept: Kept) -> None:
    report = await kept.keeper.report()
    assert (report.loose_count, report.loose_bytes, report.excess_bytes) == (30, 30_000, 27_000)
    made = await kept.keeper.collect()
    assert made.evicted_bytes == 27_000
    assert kept.count == 13
    kept.hold_needed()
    assert (await kept.keeper.collect()).evicted_bytes == 0


async def test_all_that_is_loose_goes_on_demand_and_after_the_pin_the_rest(kept: Kept) -> None:
    await kept.keeper.collect(is_all=True)
    assert kept.count == 10
    kept.hold_needed()
    await kept.chunks.unpin(FLIST_ID, "running")
    await kept.keeper.collect(is_all=True)
    assert kept.count == 0


async def test_an_image_that_is_pinned_during_the_choice_keeps_its_chunks() -> None:
    kept = Kept()
    await kept.fill()
    await kept.chunks.unpin(FLIST_ID, "running")
    other = flist_id(b"")
    for data, flist in ((FLIST, FLIST_ID), (LOOSE[0].chunk, flist_id(LOOSE[0].chunk))):
        await kept.chunks.put_flist(flist, data)
    await kept.chunks.pin(flist_id(LOOSE[0].chunk), "running")
    pinned: list[bytes] = []

    def pin_meanwhile(data: bytes) -> list[ChunkId]:
        if not pinned:
            trio.from_thread.run(kept.chunks.pin, FLIST_ID, "running")
            pinned.append(data)
        return chunks_of(data)

    kept.read = pin_meanwhile
    await kept.keeper.collect(is_all=True)
    assert pinned
    kept.hold_needed()
    assert kept.count == len(NEEDED) + 1
    assert not kept.chunks.pins(other)


async def test_nothing_goes_while_a_pinned_image_cannot_be_read(kept: Kept) -> None:
    broken = b"broken"
    await kept.chunks.put_flist(flist_id(broken), broken)
    await kept.chunks.pin(flist_id(broken), "running")
    with pytest.raises(BadImage):
        await kept.keeper.collect(is_all=True)
    await kept.keeper.keep_share()  # says so in the log, and goes on
    await kept.keeper.make_room(1 << 50)
    assert kept.count == len(BLOBS)


async def test_room_is_made_only_when_the_disk_lacks_it(kept: Kept) -> None:
    await kept.keeper.make_room(kept.free_bytes)
    assert kept.count == len(BLOBS)
    kept.free_bytes = 0
    await kept.keeper.make_room(5000)  # as much goes as is lacking; the disk stays full, so all
    assert kept.count == len(NEEDED)
    kept.hold_needed()


async def test_it_looks_after_the_share_but_not_in_vain(kept: Kept) -> None:
    kept.share_bytes = 0
    reads: list[bytes] = []

    def count_reads(data: bytes) -> list[ChunkId]:
        reads.append(data)
        return chunks_of(data)

    kept.read = count_reads
    for _ in range(3):
        await kept.keeper.keep_share()
    assert kept.count == len(NEEDED)
    assert len(reads) == 1
    await kept.chunks.put([LOOSE[0]])
    await kept.keeper.keep_share()
    assert len(reads) == 2
    kept.hold_needed()


class TellingStore(MemoryChunkStore):
    """Tells when it is compacted, which comes after what is evicted."""

    def __init__(self) -> None:
        super().__init__()
        self.compacted = trio.Event()

    async def compact(self, on_progress: OnCount) -> int:
        self.compacted.set()
        return await super().compact(on_progress)


async def test_it_does_so_by_itself(mock_clock: trio.testing.MockClock) -> None:
    chunks = TellingStore()
    kept = Kept(chunks)
    await kept.fill()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kept.keeper.run)
        await trio.testing.wait_all_tasks_blocked()
        assert kept.count == len(BLOBS)
        mock_clock.jump(KEEPER_SECONDS)
        await chunks.compacted.wait()
        assert kept.count == 13
        nursery.cancel_scope.cancel()
    kept.hold_needed()


async def test_the_least_lately_used_of_a_real_store_goes_and_its_room_comes_back(
    tmp_path: Path,
) -> None:
    async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=8 * KIB) as chunks:
        for one in BLOBS:
            await chunks.put([one])
        await chunks.put_flist(FLIST_ID, FLIST)
        await chunks.pin(FLIST_ID, "running")
        share_bytes = 25_000
        keeper = ChunkKeeper(chunks, chunks_of, lambda: share_bytes, lambda: 1 << 40)
        made = await keeper.collect()
        assert made.freed_bytes > 0
        assert chunks.usage().pack_bytes <= share_bytes
        found = await chunks.get_many([one.chunk for one in NEEDED])
        assert found == tuple(one.data for one in NEEDED)


async def test_a_damaged_flist_pins_nothing_and_a_disk_that_does_not_read_stops_eviction(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        async def refuse(*_arguments: object) -> bytes:
            raise StoreFailed("the disk does not read")

        patched.setattr(kept.chunks, "get_flist", refuse)
        with pytest.raises(StoreFailed):
            await kept.keeper.collect(is_all=True)
    assert kept.count == len(BLOBS)
    await kept.chunks.remove_flist(FLIST_ID)
    await kept.keeper.collect(is_all=True)
    assert kept.count == 0
    assert chunk_id(b"") not in [one.chunk for one in kept.chunks.kept()]
