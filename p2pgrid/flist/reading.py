"""Reads the blocks of a tree in the order in which its files are read, opened on all cores.

A block is expected once, where it occurs first. What occurs again later is read once more, alone.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from p2pgrid.errors import NotFound
from p2pgrid.flist.blocks import Block, Wanted, decode_block
from p2pgrid.flist.tree import Entry, blocks_in_order
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.ids import ChunkId, short

GetMany = Callable[[Sequence[ChunkId]], Sequence[bytes | None]]
"""Chunks from the store, None for each that is not there."""


class BlockReader:
    """Gives the plain bytes of blocks, one batch held in memory. A context manager."""

    def __init__(
        self, root: Entry, get_many: GetMany, on_bytes: Callable[[int, int], None]
    ) -> None:
        self._order = blocks_in_order(root)
        self._place = {wanted: place for place, wanted in enumerate(self._order)}
        self._total = sum(length for _, length in self._order)
        self._next = 0
        self._done = 0
        self._ready: dict[Wanted, bytearray] = {}
        self._again: dict[Wanted, bytearray] = {}
        self._get_many = get_many
        self._on_bytes = on_bytes
        self._pool = ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="decode")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def plain_bytes(self, block: Block, length: int) -> bytearray:
        """The bytes of one block, verified.

        Raises:
            NotFound: its chunk is not in the store any more.
            BadImage: it is not what the flist says.
        """
        wanted = (block, length)
        place = self._place[wanted]
        if place >= self._next:
            self._load(place)
        elif wanted not in self._ready:
            if wanted not in self._again:
                (blob,) = self._get_many([block.id])
                self._again = {wanted: _open(wanted, blob)}
            return self._again[wanted]
        return self._ready[wanted]

    def _load(self, start: int) -> None:
        batch = self._order[start : start + READ_BATCH_CHUNKS]
        self._next = start + len(batch)
        blobs = self._get_many([block.id for block, _ in batch])
        self._ready = dict(zip(batch, self._pool.map(_open, batch, blobs), strict=True))
        self._done += sum(length for _, length in batch)
        self._on_bytes(min(self._done, self._total), self._total)


def _open(wanted: Wanted, blob: bytes | None) -> bytearray:
    block, length = wanted
    if blob is None:
        raise NotFound(f"chunk {short(block.id)} is not here any more; fetch the flist again")
    return decode_block(block, blob, plain_bytes=length)
