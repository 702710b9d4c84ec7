"""Keeps the chunks of a node within their share of the disk, and tells how they stand.

What pinned images need stays, whatever it takes. The rest is a cache: the least
lately used of it goes when packs exceed their share or the disk has no room.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import trio

from p2pgrid.chunks.chunk_store import ChunkStore, ChunkUsage, OnCount
from p2pgrid.chunks.eviction import chunks_to_evict, excess_over_share
from p2pgrid.chunks.verification import Verified, verify_chunks
from p2pgrid.errors import GridError, NotFound
from p2pgrid.limits.chunks import EVICT_ATTEMPTS_MAX, EVICT_BATCH_CHUNKS, KEEPER_SECONDS
from p2pgrid.model.ids import ChunkId

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChunkReport:
    """How the chunks of a node stand."""

    usage: ChunkUsage
    share_bytes: int
    """What packs may take; they exceed it only by what pinned images need."""
    loose_count: int
    """Chunks that no pinned image needs."""
    loose_bytes: int
    excess_bytes: int
    """Of chunks, what the next eviction would give up."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What an eviction and the compaction after it achieved."""

    evicted_bytes: int
    freed_bytes: int
    """What the packs have become smaller by."""


def _ignore(_done: int, _total: int) -> None:
    """For callers who do not watch."""


class ChunkKeeper:
    """Evicts from one store, by itself and when asked."""

    def __init__(
        self,
        chunks: ChunkStore,
        chunks_of: Callable[[bytes], Iterable[ChunkId]],
        share_bytes: Callable[[], int],
        free_bytes: Callable[[], int],
    ) -> None:
        """Keep `chunks` within `share_bytes`.

        Args:
            chunks: the store.
            chunks_of: the chunks that a `.fl` file names; raises GridError when it is broken.
            share_bytes: what packs may take now.
            free_bytes: what the disk still takes.
        """
        self._chunks = chunks
        self._chunks_of = chunks_of
        self._share_bytes = share_bytes
        self._free_bytes = free_bytes
        self._turn = trio.Lock()
        self._settled: ChunkUsage | None = None

    async def run(self) -> None:
        """Look after the share for ever."""
        while True:
            await trio.sleep(KEEPER_SECONDS)
            await self.keep_share()

    async def keep_share(self) -> None:
        """Evict when packs exceed their share, unless that was tried and nothing came since."""
        usage = self._chunks.usage()
        if usage.pack_bytes <= self._share_bytes() or usage == self._settled:
            return
        try:
            await self.collect()
        except GridError as error:
            log.warning("chunks exceed their share of the disk: %s", error)
        self._settled = self._chunks.usage()

    async def make_room(self, room_bytes: int) -> None:
        """Evict until the disk has so much room, or nothing may go any more. Never raises."""
        try:
            lacking_bytes = room_bytes - self._free_bytes()
            if lacking_bytes > 0:
                await self._collect(lacking_bytes, _ignore)
            if self._free_bytes() < room_bytes:
                await self.collect(is_all=True)  # what went lay among what stays
        except GridError as error:
            log.warning("chunks make no room: %s", error)

    async def collect(self, *, is_all: bool = False, on_progress: OnCount = _ignore) -> Collected:
        """Evict down to the share, or all that may go; then compact.

        Raises:
            StoreFailed: the disk refused. Nothing that is needed is lost.
        """
        usage = self._chunks.usage()
        excess = usage.chunk_bytes if is_all else excess_over_share(usage, self._share_bytes())
        return await self._collect(excess, on_progress)

    async def report(self) -> ChunkReport:
        """How it stands. Raises StoreFailed."""
        needed = await self._needed()
        sizes = await trio.to_thread.run_sync(
            lambda: [one.blob_bytes for one in self._chunks.kept() if one.chunk not in needed]
        )
        usage, share_bytes = self._chunks.usage(), self._share_bytes()
        return ChunkReport(
            usage=usage,
            share_bytes=max(0, share_bytes),
            loose_count=len(sizes),
            loose_bytes=sum(sizes),
            excess_bytes=min(sum(sizes), excess_over_share(usage, share_bytes)),
        )

    async def verify(self, on_progress: OnCount = _ignore) -> Verified:
        """Read and hash all that is here; what is damaged is forgotten."""
        return await verify_chunks(self._chunks, on_progress)

    async def _collect(self, excess_bytes: int, on_progress: OnCount) -> Collected:
        async with self._turn:
            evicted_bytes = await self._evict(excess_bytes)
            freed_bytes = await self._chunks.compact(on_progress)
        log.info("evicted %d bytes of chunks, freed %d", evicted_bytes, freed_bytes)
        return Collected(evicted_bytes, freed_bytes)

    async def _evict(self, excess_bytes: int) -> int:
        """Choose and give up; choose anew when an image was pinned meanwhile."""
        evicted_bytes = 0
        for _ in range(EVICT_ATTEMPTS_MAX):
            if evicted_bytes >= excess_bytes:
                break
            version = self._chunks.pins_version
            chosen = await self._choose(excess_bytes - evicted_bytes)
            gone_bytes = await self._give_up(chosen, version)
            evicted_bytes += gone_bytes
            if version == self._chunks.pins_version:
                break
        return evicted_bytes

    async def _choose(self, excess_bytes: int) -> list[ChunkId]:
        needed = await self._needed()
        return await trio.to_thread.run_sync(
            lambda: chunks_to_evict(self._chunks.kept(), needed, excess_bytes=excess_bytes)
        )

    async def _give_up(self, chosen: Sequence[ChunkId], version: int) -> int:
        evicted_bytes = 0
        for start in range(0, len(chosen), EVICT_BATCH_CHUNKS):
            batch = chosen[start : start + EVICT_BATCH_CHUNKS]
            gone_bytes = self._chunks.evict(batch, pins_version=version)
            if gone_bytes is None:
                break
            evicted_bytes += gone_bytes
            await trio.lowlevel.checkpoint()
        return evicted_bytes

    async def _needed(self) -> set[ChunkId]:
        """The chunks of all pinned images.

        Raises:
            GridError: one of them cannot be read: nothing may go, since it may be needed.
        """
        needed: set[ChunkId] = set()
        for flist in self._chunks.flists():
            if self._chunks.pins(flist):
                try:
                    data = await self._chunks.get_flist(flist)
                except NotFound:
                    continue  # damaged, so nobody can tell which chunks it had
                needed.update(await trio.to_thread.run_sync(self._chunks_of, data))
        return needed
