"""Turns the data of files into chunks, on all cores, and hands them on in batches.

Hashing is the bottleneck and runs without Python's lock, so threads scale. Small files are
encoded many at a time: a task for each would cost more than its hash.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.flist.blocks import Block, encode_block
from p2pgrid.flist.tree import Entry
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import ENCODE_BATCH_CHUNKS, ENCODE_TASK_BYTES
from p2pgrid.model.ids import ChunkId

Put = Callable[[Sequence[Blob]], None]
"""Stores a batch of chunks for good; called from the thread that packs."""

_Task = list[tuple[list[Block], int, bytes]]
"""Pieces to encode: the list of blocks and the place in it, and the plain bytes."""

_UNKNOWN = Block(ChunkId(b""), b"")
_ZERO_CHUNK = bytes(CHUNK_BYTES)


class Packer:
    """Fills in the blocks of entries. A context manager; all blocks are known at its end."""

    def __init__(self, put: Put, *, threads: int | None = None) -> None:
        self._put = put
        self._threads = threads or min(4, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="encode")
        self._task: _Task = []
        self._task_bytes = 0
        self._running: deque[tuple[_Task, Future[list[tuple[Block, bytes]]]]] = deque()
        self._ready: list[Blob] = []
        self._ready_bytes = 0
        self._stored: set[ChunkId] = set()
        self._zero: Block | None = None

    @property
    def chunk_count(self) -> int:
        """Different chunks so far."""
        return len(self._stored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._pool.shutdown(cancel_futures=True)

    def pack(self, entry: Entry, pieces: Iterable[bytes]) -> None:
        """Append the blocks of `pieces` (of CHUNK_BYTES, the last shorter) to the entry's."""
        for plain in pieces:
            place = len(entry.blocks)
            entry.blocks.append(_UNKNOWN)
            if len(plain) == CHUNK_BYTES and plain == _ZERO_CHUNK:
                entry.blocks[place] = self._zero_block()  # holes: gigabytes of them cost nothing
                continue
            self._task.append((entry.blocks, place, plain))
            self._task_bytes += len(plain)
            if self._task_bytes >= ENCODE_TASK_BYTES:
                self._start_task()

    def _zero_block(self) -> Block:
        if self._zero is None:
            self._zero, blob = encode_block(_ZERO_CHUNK)
            self._keep(self._zero, blob)
        return self._zero

    def _start_task(self) -> None:
        task, self._task, self._task_bytes = self._task, [], 0
        self._running.append((task, self._pool.submit(_encode, task)))
        while len(self._running) > 2 * self._threads:
            self._collect()

    def _collect(self) -> None:
        """Take the result of the oldest task; waits for it."""
        task, future = self._running.popleft()
        for (blocks, place, _), (block, blob) in zip(task, future.result(), strict=True):
            blocks[place] = block
            self._keep(block, blob)
        if self._ready_bytes >= ENCODE_BATCH_CHUNKS * CHUNK_BYTES:
            self._store()

    def _keep(self, block: Block, blob: bytes) -> None:
        if block.id not in self._stored:
            self._stored.add(block.id)
            self._ready.append(Blob(block.id, blob))
            self._ready_bytes += len(blob)

    def _store(self) -> None:
        ready, self._ready, self._ready_bytes = self._ready, [], 0
        self._put(ready)

    def _finish(self) -> None:
        self._start_task()
        while self._running:
            self._collect()
        if self._ready:
            self._store()


def _encode(task: _Task) -> list[tuple[Block, bytes]]:
    return [encode_block(plain) for _, _, plain in task]
