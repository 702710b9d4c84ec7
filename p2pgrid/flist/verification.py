"""Whether every chunk of an flist is here, and what the flist says it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import Wanted, decode_block
from p2pgrid.flist.tree import Entry, blocks_in_order
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.ids import ChunkId


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the chunks of an flist."""

    block_count: int
    """Different blocks that the flist names."""
    missing: tuple[ChunkId, ...]
    damaged: tuple[ChunkId, ...]
    """Here, but they do not open, or hold something else than the flist says."""


async def verify_blocks(
    root: Entry, chunks: ChunkStore, on_bytes: Callable[[int, int], None]
) -> Verdict:
    """Read every block, open it and compare its hash; one batch is held in memory.

    `on_bytes` hears (plain bytes verified, in all) after each batch.
    """
    order = blocks_in_order(root)
    total, done = sum(length for _, length in order), 0
    missing: dict[ChunkId, None] = {}
    damaged: dict[ChunkId, None] = {}
    for start in range(0, len(order), READ_BATCH_CHUNKS):
        batch = order[start : start + READ_BATCH_CHUNKS]
        blobs = await chunks.get_many([block.id for block, _ in batch])
        missing |= {
            block.id: None for (block, _), blob in zip(batch, blobs, strict=True) if blob is None
        }
        damaged |= dict.fromkeys(await trio.to_thread.run_sync(_damaged, batch, blobs))
        done += sum(length for _, length in batch)
        on_bytes(done, total)
    return Verdict(len(order), tuple(missing), tuple(damaged))


def _damaged(batch: Sequence[Wanted], blobs: Sequence[bytes | None]) -> list[ChunkId]:
    found = []
    for (block, length), blob in zip(batch, blobs, strict=True):
        try:
            if blob is not None:
                decode_block(block, blob, plain_bytes=length)
        except BadImage:
            found.append(block.id)
    return found
