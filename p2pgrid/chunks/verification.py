"""Reads a whole chunk store again, to see whether all in it is what it is known by."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from p2pgrid.chunks.chunk_store import ChunkStore, OnCount, chunk_id
from p2pgrid.errors import NotFound, StoreFailed
from p2pgrid.limits.chunks import VERIFY_BATCH_CHUNKS
from p2pgrid.model.ids import ChunkId, FlistId


@dataclass(slots=True)
class Verified:
    """What reading everything again has shown. What is damaged is forgotten, to be fetched again.

    What the disk does not read at all stays: it may be the cable.
    """

    chunk_count: int = 0
    damaged: list[ChunkId] = field(default_factory=list)
    unreadable: list[ChunkId] = field(default_factory=list)
    flist_count: int = 0
    damaged_flists: list[FlistId] = field(default_factory=list)
    unreadable_flists: list[FlistId] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether everything is as it should be."""
        return not (
            self.damaged or self.unreadable or self.damaged_flists or self.unreadable_flists
        )


async def verify_chunks(chunks: ChunkStore, on_progress: OnCount) -> Verified:
    """Read and hash everything; hears (chunks, of chunks)."""
    found = Verified()
    everything = await trio.to_thread.run_sync(lambda: [one.chunk for one in chunks.kept()])
    for start in range(0, len(everything), VERIFY_BATCH_CHUNKS):
        on_progress(start, len(everything))
        await _verify_batch(chunks, everything[start : start + VERIFY_BATCH_CHUNKS], found)
    on_progress(len(everything), len(everything))
    for flist in chunks.flists():
        found.flist_count += 1
        try:
            await chunks.get_flist(flist)
        except NotFound:
            found.damaged_flists.append(flist)
        except StoreFailed:
            found.unreadable_flists.append(flist)
    return found


async def _verify_batch(chunks: ChunkStore, batch: Sequence[ChunkId], found: Verified) -> None:
    """Count a batch. One bad sector must not hide what the others are."""
    present = [chunk for chunk in batch if chunks.has(chunk)]
    try:
        read = await chunks.get_many(present)
    except StoreFailed:
        if len(present) == 1:
            found.chunk_count += 1
            found.unreadable += present
            return
        for chunk in present:
            await _verify_batch(chunks, [chunk], found)
        return
    found.chunk_count += len(present)
    wrong = await trio.to_thread.run_sync(_wrong, present, read)
    found.damaged += wrong
    chunks.evict(wrong, pins_version=chunks.pins_version)


def _wrong(chunks: Sequence[ChunkId], read: Sequence[bytes | None]) -> list[ChunkId]:
    pairs = zip(chunks, read, strict=True)
    return [chunk for chunk, data in pairs if data is None or chunk_id(data) != chunk]
