"""A chunk store in memory, for tests and simulations."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager

from p2pgrid.chunks.chunk_store import (
    Blob,
    ChunkUsage,
    KeptChunk,
    OnCount,
    require_chunk,
    require_flist,
)
from p2pgrid.chunks.holds import Holds
from p2pgrid.errors import NotFound
from p2pgrid.model.ids import ChunkId, FlistId, short


class MemoryChunkStore:
    """Passes the same contract as the one on disk; forgets everything with the process."""

    def __init__(self) -> None:
        self._chunks: dict[ChunkId, bytes] = {}
        self._flists: dict[FlistId, bytes] = {}
        self._pins: set[tuple[FlistId, str]] = set()
        self._holds = Holds()
        self.pins_version = 0

    def has(self, chunk: ChunkId) -> bool:
        """Whether a chunk is here."""
        return chunk in self._chunks

    def chunk_bytes(self, chunk: ChunkId) -> int | None:
        """Size of a chunk, None when it is not here."""
        return len(self._chunks[chunk]) if chunk in self._chunks else None

    async def get(self, chunk: ChunkId) -> bytes:
        """One chunk. Raises NotFound."""
        if chunk not in self._chunks:
            raise NotFound(f"chunk {short(chunk)} is not here")
        return self._chunks[chunk]

    async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
        """Several at once, None for each that is not here."""
        return tuple(self._chunks.get(chunk) for chunk in chunks)

    async def put(self, blobs: Sequence[Blob]) -> None:
        """Keep chunks. Raises BadChunk."""
        for blob in blobs:
            require_chunk(blob)
        self._holds.note(blob.chunk for blob in blobs)
        self._chunks.update((blob.chunk, bytes(blob.data)) for blob in blobs)

    def flists(self) -> tuple[FlistId, ...]:
        """The `.fl` files that are here, sorted."""
        return tuple(sorted(self._flists))

    def flist_bytes(self, flist: FlistId) -> int | None:
        """Size of a `.fl` file, None when it is not here."""
        return len(self._flists[flist]) if flist in self._flists else None

    async def get_flist(self, flist: FlistId) -> bytes:
        """A whole `.fl` file. Raises NotFound."""
        if flist not in self._flists:
            raise NotFound(f"flist {short(flist)} is not here")
        return self._flists[flist]

    async def read_flist(self, flist: FlistId, *, start: int, bytes_max: int) -> bytes:
        """A piece of a `.fl` file. Raises NotFound."""
        return (await self.get_flist(flist))[start : start + bytes_max]

    async def put_flist(self, flist: FlistId, data: bytes) -> None:
        """Keep a `.fl` file. Raises BadChunk."""
        require_flist(flist, data)
        self._flists[flist] = data

    async def remove_flist(self, flist: FlistId) -> None:
        """Forget a `.fl` file."""
        self._flists.pop(flist, None)

    async def pin(self, flist: FlistId, name: str) -> None:
        """Keep this flist and its chunks for the reason `name`."""
        self._pins.add((flist, name))
        self.pins_version += 1

    async def unpin(self, flist: FlistId, name: str) -> None:
        """Take one reason back."""
        self._pins.discard((flist, name))

    def pins(self, flist: FlistId) -> tuple[str, ...]:
        """Why an flist is kept, sorted."""
        return tuple(sorted(name for pinned, name in self._pins if pinned == flist))

    def usage(self) -> ChunkUsage:
        """How much is here."""
        chunk_bytes = sum(map(len, self._chunks.values()))
        flist_bytes = sum(map(len, self._flists.values()))
        return ChunkUsage(
            len(self._chunks), chunk_bytes, chunk_bytes, len(self._flists), flist_bytes
        )

    def hold(self, chunks: Iterable[ChunkId] = ()) -> AbstractContextManager[None]:
        """For the block, evict neither `chunks` nor what is put."""
        return self._holds.hold(chunks)

    def kept(self) -> Iterator[KeptChunk]:
        """Every chunk that is here now, in order of ids."""
        return (KeptChunk(chunk, len(data), 0) for chunk, data in sorted(self._chunks.items()))

    def evict(self, chunks: Collection[ChunkId], *, pins_version: int) -> int | None:
        """Give chunks up, except those that are held; None when something was pinned since."""
        if pins_version != self.pins_version:
            return None
        going = {chunk for chunk in chunks if self.has(chunk) and not self._holds.is_held(chunk)}
        return sum(len(self._chunks.pop(chunk)) for chunk in going)

    async def compact(self, on_progress: OnCount) -> int:
        """Nothing to do: memory is given back at once."""
        on_progress(0, 0)
        return 0
