"""Brings blocks of a mounted flist when somebody waits for them, and the rest when nobody does.

Who waits goes first, with what follows in the tree. Behind that come the blocks of the image in
order, so that one day nothing has to be waited for.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import trio

from p2pgrid.errors import GridError, Unreachable
from p2pgrid.flist.blocks import Wanted, decode_block
from p2pgrid.flist.reading import GetMany
from p2pgrid.flist.tree import Entry, blocks_in_order
from p2pgrid.limits.fuse import (
    LAZY_BATCH_CHUNKS,
    LAZY_FETCHES_AT_ONCE,
    LAZY_MEMORY_BYTES,
    LAZY_NEIGHBOUR_BYTES,
    LAZY_PAUSE_SECONDS,
    LAZY_PAUSE_SECONDS_MAX,
    LAZY_READ_SECONDS_MAX,
)
from p2pgrid.model.ids import ChunkId, short

log = logging.getLogger(__name__)


class LazyBlocks:
    """Opened blocks in memory, and the fetching of those that are not. One task calls `run`."""

    def __init__(
        self,
        root: Entry,
        get_many: GetMany,
        *,
        memory_bytes: int = LAZY_MEMORY_BYTES,
    ) -> None:
        """Serve the blocks of a tree.

        Args:
            root: of the tree.
            get_many: brings chunks from wherever they are; called in threads.
            memory_bytes: what opened blocks may take; one read may need more for a moment.
        """
        self._order = blocks_in_order(root)
        self._place = {wanted: place for place, wanted in enumerate(self._order)}
        self._get_many = get_many
        self._memory_bytes = memory_bytes
        self._opened: OrderedDict[Wanted, bytearray] = OrderedDict()
        self._opened_bytes = 0
        self._seen: set[ChunkId] = set()
        self._coming: dict[Wanted, trio.Event] = {}
        self._next = 0
        """Everything before this place of the order has come once."""
        self._turns = trio.CapacityLimiter(LAZY_FETCHES_AT_ONCE)
        self._waiting = 0
        self._calm = trio.Event()
        self._calm.set()
        """Nobody waits for a block."""

    def have(self, wanted: Wanted) -> bytearray | None:
        """A block, when it is in memory; it is then kept longer."""
        found = self._opened.get(wanted)
        if found is not None:
            self._opened.move_to_end(wanted)
        return found

    async def bring(self, wanted: Sequence[Wanted]) -> None:
        """Have all of these in memory for a moment; what failed is tried again for a minute.

        Raises:
            Unreachable: something did not come within LAZY_READ_SECONDS_MAX.
        """
        pause_seconds, failed = LAZY_PAUSE_SECONDS, "nobody answers"
        with trio.move_on_after(LAZY_READ_SECONDS_MAX), self._somebody_waits():
            while missing := [one for one in wanted if one not in self._opened]:
                try:
                    await self._bring_once(missing)
                except GridError as error:
                    failed = str(error)
                    log.warning("chunk %s does not come: %s", short(missing[0][0].id), error)
                    await trio.sleep(pause_seconds)
                    pause_seconds = min(2 * pause_seconds, LAZY_PAUSE_SECONDS_MAX)
            return
        raise Unreachable(
            f"chunk {short(wanted[0][0].id)} did not come in {LAZY_READ_SECONDS_MAX:g} s: {failed}"
        )

    @contextmanager
    def _somebody_waits(self) -> Iterator[None]:
        if not self._waiting:
            self._calm = trio.Event()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._calm.set()

    async def run(self) -> None:
        """Bring the whole image once while nobody waits; ends when all of it has come."""
        pause_seconds = LAZY_PAUSE_SECONDS
        while batch := self._next_unseen():
            await self._calm.wait()
            try:
                await self._fetch(batch)
            except GridError as error:
                log.warning("what nobody waits for yet does not come: %s", error)
                await trio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LAZY_PAUSE_SECONDS_MAX)
            else:
                pause_seconds = LAZY_PAUSE_SECONDS

    async def _bring_once(self, missing: Sequence[Wanted]) -> None:
        """Fetch what is not on its way already, with its neighbours; wait for the rest."""
        started = [one for one in missing if one not in self._coming]
        if started:
            await self._fetch([*started, *self._neighbours(started[-1])])
        else:
            await self._coming[missing[0]].wait()

    async def _fetch(self, batch: Sequence[Wanted]) -> None:
        batch = [one for one in batch if one not in self._coming and one not in self._opened]
        arrived = trio.Event()
        self._coming.update(dict.fromkeys(batch, arrived))
        try:
            if batch:
                found = await trio.to_thread.run_sync(
                    self._fetch_blocking,
                    batch,
                    abandon_on_cancel=True,  # type: ignore[call-arg]  # libp2p brings stubs older than trio
                    limiter=self._turns,
                )
                self._keep(batch, found)
        finally:
            for one in batch:
                del self._coming[one]
            arrived.set()

    def _fetch_blocking(self, batch: Sequence[Wanted]) -> list[bytearray]:
        blobs = self._get_many([block.id for block, _ in batch])
        opened = []
        for (block, length), blob in zip(batch, blobs, strict=True):
            if blob is None:
                raise Unreachable(f"nobody gave chunk {short(block.id)}")
            opened.append(decode_block(block, blob, plain_bytes=length))
        return opened

    def _keep(self, batch: Sequence[Wanted], found: Sequence[bytearray]) -> None:
        for wanted, plain in zip(batch, found, strict=True):
            self._opened[wanted] = plain
            self._opened_bytes += len(plain)
            self._seen.add(wanted[0].id)
        while self._opened_bytes > self._memory_bytes and len(self._opened) > len(batch):
            _, gone = self._opened.popitem(last=False)
            self._opened_bytes -= len(gone)

    def _neighbours(self, after: Wanted) -> list[Wanted]:
        """What comes next in the tree."""
        found: list[Wanted] = []
        room = LAZY_NEIGHBOUR_BYTES
        for wanted in self._order[self._place[after] + 1 :][:LAZY_BATCH_CHUNKS]:
            room -= wanted[1]
            if room < 0:
                break
            found.append(wanted)
        return found

    def _next_unseen(self) -> list[Wanted]:
        """The next blocks that have never come."""
        while self._next < len(self._order) and self._order[self._next][0].id in self._seen:
            self._next += 1
        ahead = islice(self._order, self._next, None)
        return list(
            islice((one for one in ahead if one[0].id not in self._seen), LAZY_BATCH_CHUNKS)
        )
