"""What every chunk store keeps to: nothing gets in that is not what its id says."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore, ChunkUsage, chunk_id
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.errors import BadChunk, NotFound
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ChunkId
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

FLIST = b"an flist, as far as chunks are concerned" * 100
FLIST_ID = flist_id(FLIST)


@pytest.fixture(params=["memory", "packs"])
async def chunks(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ChunkStore]:
    """An empty chunk store of each kind; the packs are small, so that there are several."""
    if request.param == "memory":
        yield MemoryChunkStore()
    else:
        async with open_chunk_store(tmp_path, MemoryStore(), pack_bytes_max=20 * KIB) as store:
            yield store


async def test_what_was_put_is_there_byte_for_byte(chunks: ChunkStore) -> None:
    blobs = [blob(number) for number in range(100)]
    for start in range(0, 100, 7):
        await chunks.put(blobs[start : start + 7])
    assert all(chunks.has(one.chunk) for one in blobs)
    assert [chunks.chunk_bytes(one.chunk) for one in blobs] == [len(one.data) for one in blobs]
    assert await chunks.get_many([one.chunk for one in blobs]) == tuple(one.data for one in blobs)
    for one in blobs:
        assert await chunks.get(one.chunk) == one.data


async def test_what_is_not_there_is_said(chunks: ChunkStore) -> None:
    await chunks.put([blob(1)])
    assert not chunks.has(blob(2).chunk)
    assert chunks.chunk_bytes(blob(2).chunk) is None
    assert await chunks.get_many([blob(2).chunk, blob(1).chunk]) == (None, blob(1).data)
    assert await chunks.get_many([]) == ()
    with pytest.raises(NotFound):
        await chunks.get(blob(2).chunk)


@pytest.mark.parametrize(
    "lie",
    [
        Blob(blob(1).chunk, blob(2).data),
        Blob(blob(1).chunk, bytes(blob(1).data) + b"\0"),
        Blob(ChunkId(blob(1).chunk[:31]), blob(1).data),
        Blob(chunk_id(b""), b""),
        Blob(chunk_id(bytes(CHUNK_BLOB_BYTES_MAX + 1)), bytes(CHUNK_BLOB_BYTES_MAX + 1)),
    ],
    ids=["other", "longer", "id cut", "empty", "too long"],
)
async def test_a_lie_is_refused_with_all_that_came_with_it(chunks: ChunkStore, lie: Blob) -> None:
    with pytest.raises(BadChunk):
        await chunks.put([blob(3), lie])
    assert not chunks.has(blob(3).chunk)
    assert not chunks.has(lie.chunk)
    assert chunks.usage().chunk_count == 0


async def test_a_known_chunk_costs_nothing_but_a_lie_about_it_is_still_one(
    chunks: ChunkStore,
) -> None:
    await chunks.put([blob(1), blob(1)])
    usage = chunks.usage()
    assert usage.chunk_count == 1
    await chunks.put([blob(1)])
    assert chunks.usage() == usage
    with pytest.raises(BadChunk):
        await chunks.put([Blob(blob(1).chunk, b"lie")])


async def test_many_writers_of_the_same_and_of_different_chunks(chunks: ChunkStore) -> None:
    async def put(start: int) -> None:
        await chunks.put([blob(number) for number in range(start, start + 10)])
        assert chunks.has(blob(start + 9).chunk)

    async with trio.open_nursery() as nursery:
        for start in range(0, 100, 5):
            nursery.start_soon(put, start)
    wanted = [blob(number) for number in range(105)]
    assert await chunks.get_many([one.chunk for one in wanted]) == tuple(one.data for one in wanted)
    assert chunks.usage().chunk_count == 105
    assert chunks.usage().chunk_bytes == sum(len(one.data) for one in wanted)


async def test_a_view_of_a_larger_buffer_is_kept_as_its_own_bytes(chunks: ChunkStore) -> None:
    buffer = bytearray(blob(1).data)
    await chunks.put([Blob(blob(1).chunk, memoryview(buffer))])
    buffer[:] = bytes(len(buffer))
    assert await chunks.get(blob(1).chunk) == blob(1).data


async def test_flists_are_kept_whole_and_read_in_pieces(chunks: ChunkStore) -> None:
    assert chunks.flists() == ()
    await chunks.put_flist(FLIST_ID, FLIST)
    await chunks.put_flist(FLIST_ID, FLIST)
    assert chunks.flists() == (FLIST_ID,)
    assert chunks.flist_bytes(FLIST_ID) == len(FLIST)
    assert await chunks.get_flist(FLIST_ID) == FLIST
    assert await chunks.read_flist(FLIST_ID, start=10, bytes_max=5) == FLIST[10:15]
    assert await chunks.read_flist(FLIST_ID, start=len(FLIST) - 2, bytes_max=5) == FLIST[-2:]
    assert chunks.usage() == ChunkUsage(0, 0, 0, 1, len(FLIST))


async def test_an_flist_that_is_not_what_its_id_says_is_refused(chunks: ChunkStore) -> None:
    for data in (FLIST[:-1], b""):
        with pytest.raises(BadChunk):
            await chunks.put_flist(FLIST_ID, data)
    assert chunks.flist_bytes(FLIST_ID) is None
    with pytest.raises(NotFound):
        await chunks.get_flist(FLIST_ID)


async def test_a_removed_flist_is_gone(chunks: ChunkStore) -> None:
    await chunks.put_flist(FLIST_ID, FLIST)
    await chunks.remove_flist(FLIST_ID)
    await chunks.remove_flist(FLIST_ID)
    assert chunks.flists() == ()
    with pytest.raises(NotFound):
        await chunks.read_flist(FLIST_ID, start=0, bytes_max=1)


async def test_pins_are_reasons_that_come_and_go(chunks: ChunkStore) -> None:
    other = flist_id(b"other")
    await chunks.pin(FLIST_ID, "running é")
    await chunks.pin(FLIST_ID, "published")
    await chunks.pin(FLIST_ID, "published")
    assert chunks.pins(FLIST_ID) == ("published", "running é")
    assert chunks.pins(other) == ()
    await chunks.unpin(FLIST_ID, "published")
    await chunks.unpin(other, "published")
    assert chunks.pins(FLIST_ID) == ("running é",)


def ignore(_done: int, _total: int) -> None:
    """For those who do not watch."""


async def test_what_is_evicted_is_gone_and_the_rest_stays(chunks: ChunkStore) -> None:
    blobs = [blob(number) for number in range(60)]
    await chunks.put(blobs)
    going = [one.chunk for one in blobs if one.data[0] % 3]

    gone_bytes = chunks.evict([*going, *going, blob(99).chunk], pins_version=chunks.pins_version)

    stay = [one for one in blobs if one.chunk not in going]
    assert gone_bytes == sum(len(one.data) for one in blobs) - sum(len(one.data) for one in stay)
    for _ in range(2):
        assert not any(chunks.has(chunk) for chunk in going)
        assert await chunks.get_many([one.chunk for one in stay]) == tuple(one.data for one in stay)
        assert [(one.chunk, one.blob_bytes) for one in chunks.kept()] == sorted(
            (one.chunk, len(one.data)) for one in stay
        )
        assert chunks.usage().chunk_count == len(stay)
        await chunks.compact(ignore)
    await chunks.put(blobs)
    assert await chunks.get_many(going) == tuple(one.data for one in blobs if one.chunk in going)


async def test_what_is_held_stays_until_the_hold_ends(chunks: ChunkStore) -> None:
    first, second, third = (blob(number) for number in range(3))
    await chunks.put([first, second, third])
    everything = [one.chunk for one in (first, second, third)]
    with chunks.hold([first.chunk]):
        await chunks.put([second])  # here already: somebody counts on it all the same
        chunks.evict(everything, pins_version=chunks.pins_version)
        assert [chunks.has(chunk) for chunk in everything] == [True, True, False]
    chunks.evict(everything, pins_version=chunks.pins_version)
    assert not any(chunks.has(chunk) for chunk in everything)


async def test_nothing_goes_by_a_choice_that_is_older_than_a_pin(chunks: ChunkStore) -> None:
    await chunks.put([blob(1)])
    before = chunks.pins_version
    await chunks.pin(FLIST_ID, "running")
    assert chunks.evict([blob(1).chunk], pins_version=before) is None
    assert chunks.has(blob(1).chunk)
    assert chunks.evict([blob(1).chunk], pins_version=chunks.pins_version) == len(blob(1).data)
