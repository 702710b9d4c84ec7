"""The chunk seam: encrypted chunks and `.fl` files by their hash, kept by every node.

Two adapters pass one contract suite: `pack_store` (pack files) and `memory`.
What does not have the hash that it is known by never gets in.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from p2pgrid.errors import BadChunk
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX, FLIST_BYTES_MAX
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ID_BYTES, ChunkId, FlistId, short


@dataclass(frozen=True, slots=True)
class Blob:
    """An encrypted chunk, not believed to be what `chunk` says until it is stored."""

    chunk: ChunkId
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class ChunkUsage:
    """What a chunk store holds, and what that takes on disk."""

    chunk_count: int
    chunk_bytes: int
    """Of the chunks alone."""
    pack_bytes: int
    """Of the files that the chunks lie in, damaged and superseded copies included."""
    flist_count: int
    flist_bytes: int


@dataclass(frozen=True, slots=True)
class KeptChunk:
    """One chunk of a store, as eviction sees it."""

    chunk: ChunkId
    blob_bytes: int
    used_hour: int
    """Hour since 1970 in which it was last stored or read; 0 when that is not known."""


OnCount = Callable[[int, int], None]
"""(done, total) of a long task."""


class ChunkStore(Protocol):
    """Chunks and flists. What is asked for and not here is NotFound."""

    def has(self, chunk: ChunkId) -> bool:
        """Whether a chunk is here. Microseconds."""
        ...

    def chunk_bytes(self, chunk: ChunkId) -> int | None:
        """Size of a chunk, None when it is not here. Microseconds."""
        ...

    async def get(self, chunk: ChunkId) -> bytes:
        """One chunk. Raises NotFound, also where it is damaged on disk."""
        ...

    async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
        """Several at once, None for each that is not here; cheaper than one by one."""
        ...

    async def put(self, blobs: Sequence[Blob]) -> None:
        """Keep chunks, durable on return; one that is here already costs nothing.

        Raises:
            BadChunk: one is not what its id says; none of them is stored.
            StoreFailed: the disk refused; none counts as stored, later ones may succeed.
        """
        ...

    def flists(self) -> tuple[FlistId, ...]:
        """The `.fl` files that are here, sorted."""
        ...

    def flist_bytes(self, flist: FlistId) -> int | None:
        """Size of a `.fl` file, None when it is not here."""
        ...

    async def get_flist(self, flist: FlistId) -> bytes:
        """A whole `.fl` file. Raises NotFound, also where it is damaged on disk."""
        ...

    async def read_flist(self, flist: FlistId, *, start: int, bytes_max: int) -> bytes:
        """A piece of a `.fl` file, shorter only at its end. Raises NotFound."""
        ...

    async def put_flist(self, flist: FlistId, data: bytes) -> None:
        """Keep a `.fl` file, durable on return. Raises BadChunk, StoreFailed."""
        ...

    async def remove_flist(self, flist: FlistId) -> None:
        """Forget a `.fl` file; fine when it is not here. Raises StoreFailed."""
        ...

    async def pin(self, flist: FlistId, name: str) -> None:
        """Keep this flist and its chunks for the reason `name`, durable on return."""
        ...

    async def unpin(self, flist: FlistId, name: str) -> None:
        """Take one reason back; fine when there was none."""
        ...

    def pins(self, flist: FlistId) -> tuple[str, ...]:
        """Why an flist is kept, sorted; nothing when it need not be."""
        ...

    @property
    def pins_version(self) -> int:
        """Goes up with every pin that was set."""
        ...

    def usage(self) -> ChunkUsage:
        """How much is here."""
        ...

    def hold(self, chunks: Iterable[ChunkId] = ()) -> AbstractContextManager[None]:
        """For the block, evict neither `chunks`, here or still to come, nor what is put."""
        ...

    def kept(self) -> Iterator[KeptChunk]:
        """Every chunk that is here now, in order of ids. May be read in another thread."""
        ...

    def evict(self, chunks: Collection[ChunkId], *, pins_version: int) -> int | None:
        """Give chunks up, except those that are held; the room comes back by `compact`.

        Args:
            chunks: what no pin needs.
            pins_version: as it was before that was found out.

        Returns:
            Bytes of what is gone; None when something was pinned since: nothing is gone, and
            what may go has to be found out anew.

        Raises:
            StoreFailed: the disk refused; all of them are still here.
        """
        ...

    async def compact(self, on_progress: OnCount) -> int:
        """Give the disk back what evicted and damaged chunks take; hears (packs, of packs).

        Returns:
            Bytes that the packs have become smaller by.

        Raises:
            StoreFailed: the disk refused. Nothing is lost; go on later.
        """
        ...


def chunk_id(data: bytes | memoryview) -> ChunkId:
    """What a chunk is known by: blake2b-256 of its encrypted bytes."""
    return ChunkId(blake2b(data, digest_size=ID_BYTES).digest())


def require_chunk(blob: Blob) -> None:
    """Raise BadChunk unless a blob is what it says. Hashes: 0.8 GB/s, and the GIL is free."""
    if not 0 < len(blob.data) <= CHUNK_BLOB_BYTES_MAX:
        raise BadChunk(f"chunk {short(blob.chunk)} has {len(blob.data)} bytes")
    if chunk_id(blob.data) != blob.chunk:
        raise BadChunk(f"chunk {short(blob.chunk)} does not have the hash that it is known by")


def require_flist(flist: FlistId, data: bytes) -> None:
    """Raise BadChunk unless a `.fl` file is what its id says."""
    if not 0 < len(data) <= FLIST_BYTES_MAX:
        raise BadChunk(f"flist {short(flist)} has {len(data)} bytes, allowed are {FLIST_BYTES_MAX}")
    if flist_id(data) != flist:
        raise BadChunk(f"flist {short(flist)} does not have the hash that it is known by")
