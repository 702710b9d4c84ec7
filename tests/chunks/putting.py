"""A process that stores chunks until it is killed.

Run as `python -m tests.chunks.putting DIRECTORY START [evict]`. It prints each number after its
chunk was acknowledged, so that chunk must be on disk. With `evict`, chunks of odd numbers are
evicted again all the time, and packs compacted; those of even numbers are needed.
"""

import sys
from pathlib import Path

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

TASKS = 4


async def _put_from(chunks: ChunkStore, start: int) -> None:
    for number in range(start, start + 10**9, TASKS):
        await chunks.put([blob(number)])
        print(number, flush=True)  # noqa: T201 - the parent reads it


async def _evict_and_compact(chunks: ChunkStore, start: int) -> None:
    while True:
        evicted = [blob(number).chunk for number in range(start + 1, start + 400, 2)]
        chunks.evict(evicted, pins_version=chunks.pins_version)
        await chunks.compact(lambda _done, _total: None)
        await trio.lowlevel.checkpoint()


async def main() -> None:
    directory = Path(sys.argv[1])
    async with (
        open_leveldb(directory, name="chunks") as store,
        open_chunk_store(directory / "packs", store, pack_bytes_max=200 * KIB) as chunks,
        trio.open_nursery() as nursery,
    ):
        if sys.argv[3:] == ["evict"]:
            nursery.start_soon(_evict_and_compact, chunks, int(sys.argv[2]))
        for task in range(TASKS):
            nursery.start_soon(_put_from, chunks, int(sys.argv[2]) + task)


if __name__ == "__main__":
    trio.run(main)
