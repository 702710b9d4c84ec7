"""The chunk store on disk: pack files, an index of them, and the `.fl` files beside.

    <directory>/pack-00000001.dat …     256 MiB each, see `packs`
    <directory>/flists/<id>.fl

A chunk is hashed, then appended and synced together with those of other
writers, then indexed, then acknowledged. An evicted chunk leaves the index; its room
comes back when the pack it lies in is compacted: what is in use is appended to the
current pack like a new chunk, durable there, before the old pack is removed.
"""

import logging
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path

import trio

from p2pgrid import clock
from p2pgrid.chunks.chunk_store import (
    Blob,
    ChunkUsage,
    KeptChunk,
    OnCount,
    require_chunk,
    require_flist,
)
from p2pgrid.chunks.chunk_use import ChunkUse
from p2pgrid.chunks.eviction import packs_to_compact
from p2pgrid.chunks.flist_files import FlistFiles
from p2pgrid.chunks.holds import Holds
from p2pgrid.chunks.pack_files import PackFiles, Place
from p2pgrid.chunks.pack_index import PackIndex, pin_key, pin_names
from p2pgrid.errors import BadChunk, NotFound, StoreFailed
from p2pgrid.limits.chunks import (
    CHUNK_GROUP_BYTES_MAX,
    COMPACT_BATCH_BYTES,
    FLIST_BYTES_MAX,
    MOVED_READS_MAX,
    PACK_BYTES_MAX,
)
from p2pgrid.model.ids import ChunkId, FlistId, short
from p2pgrid.store.group_commit import GroupCommit
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_chunk_store(
    directory: Path,
    store: Store,
    *,
    pack_bytes_max: int = PACK_BYTES_MAX,
    now_ms: Callable[[], TimestampMs] = clock.now_ms,
) -> AsyncGenerator["PackStore", None]:
    """Open the chunks of `directory`, indexed in `store`, for the block.

    Finds again what a crash kept out of the index; makes the whole index anew
    when `store` is empty, at the speed of the disk.

    Raises:
        Unusable: the directory cannot be used.
        StoreFailed: the index cannot be written.
    """
    packs = await trio.to_thread.run_sync(
        lambda: PackFiles(directory, pack_bytes_max=pack_bytes_max)
    )
    flists = await trio.to_thread.run_sync(FlistFiles, directory / "flists")
    index = PackIndex(store)
    await _recover(packs, index)
    chunks = PackStore(packs, index, flists, store, now_ms)
    try:
        yield chunks
    finally:
        await chunks.aclose()


class PackStore:
    """See `ChunkStore`."""

    def __init__(
        self,
        packs: PackFiles,
        index: PackIndex,
        flists: FlistFiles,
        store: Store,
        now_ms: Callable[[], TimestampMs],
    ) -> None:
        self._packs = packs
        self._index = index
        self._flists = flists
        self._store = store
        self._puts = GroupCommit(self._write_group, group_bytes_max=CHUNK_GROUP_BYTES_MAX)
        self._flist_turn = trio.Lock()
        self._use = ChunkUse(store, now_ms)
        self._holds = Holds()
        self._appending = trio.Lock()
        self._compacting = trio.Lock()
        self.pins_version = 0

    async def aclose(self) -> None:
        """Return once the write that is under way has ended."""
        with trio.CancelScope(shield=True):
            await self._puts.wait_idle()

    def has(self, chunk: ChunkId) -> bool:
        """Whether a chunk is here."""
        return self._index.place(chunk) is not None

    def chunk_bytes(self, chunk: ChunkId) -> int | None:
        """Size of a chunk, None when it is not here."""
        place = self._index.place(chunk)
        return None if place is None else place.payload_bytes

    async def get(self, chunk: ChunkId) -> bytes:
        """One chunk. Raises NotFound, also where it is damaged on disk."""
        (data,) = await self.get_many([chunk])
        if data is None:
            raise NotFound(f"chunk {short(chunk)} is not here")
        return data

    async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
        """Several at once, None for each that is not here or damaged."""
        places = self._places(chunks)
        found = await trio.to_thread.run_sync(self._packs.read, places)
        for _ in range(MOVED_READS_MAX):
            missed = {chunk: place for chunk, place in places.items() if chunk not in found}
            places = self._places(missed)
            moved = {chunk: place for chunk, place in places.items() if place != missed[chunk]}
            for chunk in places.keys() - moved.keys():
                self._forget(chunk, places[chunk])
            if not moved:
                break
            places = moved
            found |= await trio.to_thread.run_sync(self._packs.read, moved)
        self._use.note(found)
        return tuple(found.get(chunk) for chunk in chunks)

    async def put(self, blobs: Sequence[Blob]) -> None:
        """Keep chunks, durable on return. Raises BadChunk, StoreFailed."""
        await trio.to_thread.run_sync(_require_chunks, blobs)
        self._holds.note(blob.chunk for blob in blobs)
        if not all(self.has(blob.chunk) for blob in blobs):
            await self._puts.submit(blobs, sum(len(blob.data) for blob in blobs))
        self._use.note(blob.chunk for blob in blobs)

    def flists(self) -> tuple[FlistId, ...]:
        """The `.fl` files that are here, sorted."""
        return tuple(sorted(self._flists.sizes()))

    def flist_bytes(self, flist: FlistId) -> int | None:
        """Size of a `.fl` file, None when it is not here."""
        return self._flists.size_bytes(flist)

    async def get_flist(self, flist: FlistId) -> bytes:
        """A whole `.fl` file, verified. Raises NotFound, also where it is damaged on disk."""
        data = await self.read_flist(flist, start=0, bytes_max=FLIST_BYTES_MAX)
        if await trio.to_thread.run_sync(_is_flist, flist, data):
            return data
        log.error("flist %s is damaged; forgotten", flist.hex())
        await self.remove_flist(flist)
        raise NotFound(f"flist {short(flist)} is not here: it was damaged on disk")

    async def read_flist(self, flist: FlistId, *, start: int, bytes_max: int) -> bytes:
        """A piece of a `.fl` file. Raises NotFound."""
        return await trio.to_thread.run_sync(
            lambda: self._flists.read(flist, start=start, bytes_max=bytes_max)
        )

    async def put_flist(self, flist: FlistId, data: bytes) -> None:
        """Keep a `.fl` file, durable on return. Raises BadChunk, StoreFailed."""
        await trio.to_thread.run_sync(require_flist, flist, data)
        async with self._flist_turn:
            if self._flists.size_bytes(flist) is None:
                await trio.to_thread.run_sync(self._flists.write, flist, data)

    async def remove_flist(self, flist: FlistId) -> None:
        """Forget a `.fl` file. Raises StoreFailed."""
        async with self._flist_turn:
            await trio.to_thread.run_sync(self._flists.remove, flist)

    async def pin(self, flist: FlistId, name: str) -> None:
        """Keep this flist and its chunks for the reason `name`. Raises StoreFailed."""
        await self._store.commit([(pin_key(flist, name), b"")])
        self.pins_version += 1

    async def unpin(self, flist: FlistId, name: str) -> None:
        """Take one reason back. Raises StoreFailed."""
        await self._store.commit([(pin_key(flist, name), None)])

    def pins(self, flist: FlistId) -> tuple[str, ...]:
        """Why an flist is kept, sorted."""
        return tuple(pin_names(self._store, flist))

    def usage(self) -> ChunkUsage:
        """How much is here."""
        states = self._index.packs().values()
        sizes = self._flists.sizes()
        return ChunkUsage(
            chunk_count=sum(state.live_count for state in states),
            chunk_bytes=sum(state.live_bytes for state in states),
            pack_bytes=sum(self._packs.ends().values()),
            flist_count=len(sizes),
            flist_bytes=sum(sizes.values()),
        )

    # --- giving up --------------------------------------------------------------------------------

    def hold(self, chunks: Iterable[ChunkId] = ()) -> AbstractContextManager[None]:
        """For the block, evict neither `chunks` nor what is put."""
        return self._holds.hold(chunks)

    def kept(self) -> Iterator[KeptChunk]:
        """Every chunk that is here now, in order of ids."""
        hours = self._use.hours()
        known, hour = next(hours, (None, 0))
        for chunk, place in self._index.places():
            while known is not None and known < chunk:
                known, hour = next(hours, (None, 0))
            yield KeptChunk(chunk, place.payload_bytes, hour if known == chunk else 0)

    def evict(self, chunks: Collection[ChunkId], *, pins_version: int) -> int | None:
        """Give chunks up, except those that are held; None when something was pinned since."""
        if pins_version != self.pins_version:
            return None
        return self._index.evict(chunk for chunk in chunks if not self._holds.is_held(chunk))

    async def compact(self, on_progress: OnCount) -> int:
        """Give the disk back what evicted and damaged chunks take. Raises StoreFailed."""
        async with self._compacting:
            before = self.usage().pack_bytes
            refused: StoreFailed | None = None
            packs = packs_to_compact(self._index.packs(), self._packs.ends())
            async with self._appending:
                for pack in packs:
                    self._packs.retire(pack)
            live = await trio.to_thread.run_sync(self._live_in, packs)
            for number, pack in enumerate(packs):
                on_progress(number, len(packs))
                try:
                    await self._compact_pack(pack, live[pack])
                except StoreFailed as error:
                    log.warning("pack %d stays as it is: %s", pack, error)
                    refused = error
            on_progress(len(packs), len(packs))
            if refused is not None:
                raise refused
            return max(0, before - self.usage().pack_bytes)

    def _live_in(self, packs: Collection[int]) -> dict[int, dict[ChunkId, Place]]:
        """What is in use of retired packs: it can only become less."""
        live: dict[int, dict[ChunkId, Place]] = {pack: {} for pack in packs}
        for chunk, place in self._index.places():
            if place.pack in live:
                live[place.pack][chunk] = place
        return live

    async def _compact_pack(self, pack: int, live: Mapping[ChunkId, Place]) -> None:
        """Move what is in use, then drop the pack; a crash in between loses nothing."""
        for places in _batches(live):
            await self._move(places)
        async with self._appending:
            with trio.CancelScope(shield=True):
                await self._index.drop_pack(pack)
                await trio.to_thread.run_sync(self._packs.remove, pack)

    async def _move(self, places: Mapping[ChunkId, Place]) -> None:
        async with self._appending:
            with trio.CancelScope(shield=True):
                old = {
                    chunk: place
                    for chunk, place in places.items()
                    if self._index.place(chunk) == place
                }
                read = await trio.to_thread.run_sync(self._packs.read, old)
                blobs = [Blob(chunk, data) for chunk, data in read.items()]
                await self._append(blobs, lambda new, ends: self._index.move(old, new, ends))

    async def _write_group(self, group: Sequence[Sequence[Blob]]) -> None:
        """Append, sync, index: in this order, so that the index never promises too much."""
        async with self._appending:
            blobs = {blob.chunk: blob for one in group for blob in one}
            fresh = [blob for chunk, blob in blobs.items() if not self.has(chunk)]
            await self._append(fresh, self._index.add)

    async def _append(
        self,
        blobs: Sequence[Blob],
        note: Callable[[Mapping[ChunkId, Place], Mapping[int, int]], None],
    ) -> None:
        """Append, sync, then have the index note (places, ends of their packs)."""
        before = self._packs.ends()
        places = await trio.to_thread.run_sync(self._packs.append, blobs)
        after = self._packs.ends()
        try:
            note(places, {place.pack: after[place.pack] for place in places.values()})
        except StoreFailed:
            self._packs.cut_back(before)
            raise

    def _places(self, chunks: Iterable[ChunkId]) -> dict[ChunkId, Place]:
        return {chunk: place for chunk in chunks if (place := self._index.place(chunk)) is not None}

    def _forget(self, chunk: ChunkId, place: Place) -> None:
        """A chunk that cannot be read back is fetched again when somebody wants it."""
        log.error("chunk %s in pack %d is damaged; forgotten", chunk.hex(), place.pack)
        self._index.forget(chunk, place)


def _batches(places: Mapping[ChunkId, Place]) -> Iterator[dict[ChunkId, Place]]:
    """In order of their places, about COMPACT_BATCH_BYTES each."""
    batch: dict[ChunkId, Place] = {}
    size_bytes = 0
    for chunk, place in sorted(places.items(), key=lambda one: one[1].offset):
        batch[chunk] = place
        size_bytes += place.payload_bytes
        if size_bytes >= COMPACT_BATCH_BYTES:
            yield batch
            batch, size_bytes = {}, 0
    if batch:
        yield batch


def _require_chunks(blobs: Sequence[Blob]) -> None:
    for blob in blobs:
        require_chunk(blob)


def _is_flist(flist: FlistId, data: bytes) -> bool:
    try:
        require_flist(flist, data)
    except BadChunk:
        return False
    return True


async def _recover(packs: PackFiles, index: PackIndex) -> None:
    """Make the index say what the packs hold."""
    ends = packs.ends()
    index.forget_packs(
        {pack for pack, state in index.packs().items() if ends.get(pack, -1) < state.indexed_bytes}
    )
    for pack, end in sorted(ends.items()):
        indexed = index.packs()[pack].indexed_bytes if pack in index.packs() else 0
        if end > indexed:
            records = await trio.to_thread.run_sync(packs.recover, pack, indexed)
            index.add_records(pack, records, packs.ends()[pack])
            log.info("pack %d: found %d chunks that were not indexed", pack, len(records))
