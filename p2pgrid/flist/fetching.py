"""What flists need of the exchange between peers, and chunks from wherever they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Progress as Fetched
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.model.ids import ChunkId, FlistId, NodeId, short

_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a long task is."""

    phase: str
    """convert, fetch or unpack."""
    done_bytes: int
    total_bytes: int
    peer_count: int = 0
    """Of a fetch: peers that send something now."""
    bytes_per_second: int = 0


OnProgress = Callable[[Progress], None]


def fetch_progress(told: Fetched, content_bytes: int) -> Progress:
    """How far a fetch is, in plain bytes: a person knows the size of the image."""
    return Progress(
        "fetch",
        content_bytes * told.done_count // max(1, told.wanted_count),
        content_bytes,
        told.peer_count,
        told.bytes_per_second,
    )


class Fetch(Protocol):
    """What is needed from the exchange of chunks between peers."""

    async def fetch_flist(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        """A `.fl` file from one of `holders`. Raises NotFound, Unreachable."""
        ...

    async def fetch_chunks(
        self,
        flist: FlistId,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: Callable[[Fetched], None],
        urgency: Urgency,
    ) -> Mapping[NodeId, int]:
        """Bring chunks of an flist into our store; gives how many bytes each holder sent.

        Raises NotFound, Unreachable, StoreFailed.
        """
        ...


async def bring_blobs(
    flist: FlistId,
    chunks: Sequence[ChunkId],
    holders: Sequence[NodeId],
    store: ChunkStore,
    fetch: Fetch,
) -> tuple[bytes, ...]:
    """These chunks of an flist; those that are not in the store are fetched first, at once.

    They stay as a cache. All of them are held in memory.

    Raises:
        NotFound: no holder has one of them.
        Unreachable: no holder answers.
        StoreFailed: the disk refused.
    """
    with store.hold(chunks):
        missing = [chunk for chunk in dict.fromkeys(chunks) if not store.has(chunk)]
        if missing:
            await fetch.fetch_chunks(flist, missing, holders, lambda _: None, Urgency.NOW)
        found = await store.get_many(chunks)
    blobs = tuple(blob for blob in found if blob is not None)
    if len(blobs) != len(chunks):
        lost = next(chunk for chunk, blob in zip(chunks, found, strict=True) if blob is None)
        raise NotFound(f"chunk {short(lost)} cannot be read; ask once more")
    return blobs


def pack_blobs(blobs: Sequence[bytes]) -> bytes:
    """Blobs in one piece, each after its length, for `unpack_blobs`."""
    return b"".join(len(blob).to_bytes(_LENGTH_BYTES, "big") + blob for blob in blobs)


def unpack_blobs(data: bytes, count: int) -> list[bytes]:
    """The `count` blobs of an answer. Raises Unreachable where it was cut off."""
    blobs, at = [], 0
    for _ in range(count):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        blobs.append(data[start:at])
    if at != len(data):
        raise Unreachable("the answer of the node is cut off")
    return blobs
