"""A little world of nodes with chunk stores, some of which do not behave."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio
from nacl.signing import SigningKey

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.exchange import ChunkExchange
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.messages import Answer, ChunkAnswer, ChunkRequest, FlistAnswer, Request, Served
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.limits.chunks import (
    CHUNK_BLOB_BYTES_MAX,
    FLIST_BYTES_MAX,
    HOLDER_SILENCE_SECONDS_MAX,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, NodeId
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import BulkHandler, BulkStream, Network
from p2pgrid.net.scopes import bare_errors
from p2pgrid.wire.codec import decode, encode
from tests.chunks.blobs import blob


class LyingStore(MemoryChunkStore):
    """Has everything that it is asked for, and all of it wrong."""

    async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
        honest = await super().get_many(chunks)
        return tuple(data and bytes((data[0] ^ 1,)) + data[1:] for data in honest)

    async def read_flist(self, flist: FlistId, *, start: int, bytes_max: int) -> bytes:
        honest = await super().read_flist(flist, start=start, bytes_max=bytes_max)
        return bytes((honest[0] ^ 1,)) + honest[1:]


@dataclass
class World:
    """One fetching node, and the others that it is connected to."""

    hub: MemoryHub
    network: Network
    stack: AsyncExitStack
    nursery: trio.Nursery
    chunks: MemoryChunkStore = field(default_factory=MemoryChunkStore)
    count: int = 1
    addresses: list[str] = field(default_factory=list)

    def exchange(self) -> ChunkExchange:
        """The fetching node's share in the exchange; once."""
        return ChunkExchange(self.network, self.chunks, self.nursery)

    async def add(self, handler: BulkHandler) -> NodeId:
        """A node that serves bulk streams in this way."""
        self.count += 1
        key = SigningKey(bytes((self.count,)) * 32)
        network = await self.stack.enter_async_context(self.hub.open(key))
        network.serve_bulk(handler)
        self.addresses += network.addresses()
        await self.reconnect()
        return network.id

    async def reconnect(self) -> None:
        """Connect to every node that was added."""
        for address in self.addresses:
            await self.network.connect(address)

    async def add_holder(self, store: MemoryChunkStore) -> NodeId:
        """A node that serves a store as we do."""
        return await self.add(ChunkServer(store).serve)


@asynccontextmanager
async def open_world(*, latency_seconds: float = 0.01) -> AsyncGenerator[World]:
    """An empty world around one node."""
    hub = MemoryHub(latency_seconds=latency_seconds)
    with bare_errors():
        async with AsyncExitStack() as stack:
            network = await stack.enter_async_context(hub.open(SigningKey(bytes((1,)) * 32)))
            nursery = await stack.enter_async_context(trio.open_nursery())
            try:
                yield World(hub, network, stack, nursery)
            finally:
                nursery.cancel_scope.cancel()


async def filled(store: MemoryChunkStore, blobs: Sequence[Blob]) -> MemoryChunkStore:
    """The store, with these in it."""
    await store.put(blobs)
    return store


async def serve_mute(_peer: NodeId, stream: BulkStream) -> None:
    """Takes requests and never answers."""
    while await stream.receive():
        pass


async def serve_closing(_peer: NodeId, stream: BulkStream) -> None:
    """Hangs up when asked."""
    await stream.receive()


async def serve_garbage(_peer: NodeId, stream: BulkStream) -> None:
    """Answers what is no answer."""
    await stream.receive()
    await stream.send(b"garbage")
    await trio.sleep_forever()


async def serve_unasked(_peer: NodeId, stream: BulkStream) -> None:
    """Answers with a good chunk that nobody asked for."""
    await stream.receive()
    unasked = blob(10**6)
    served = Served(unasked.chunk, len(unasked.data))
    await stream.send(encode(Answer(ChunkAnswer((served,)))))
    await stream.send(bytes(unasked.data))
    await trio.sleep_forever()


async def serve_crumbs(_peer: NodeId, stream: BulkStream) -> None:
    """Sends a byte at a time, as slowly as may be."""
    what = decode(Request, await stream.receive()).what
    if isinstance(what, ChunkRequest):
        await stream.send(encode(Answer(ChunkAnswer((Served(what.chunks[0], 1000),)))))
    else:
        await stream.send(encode(Answer(FlistAnswer(1000))))
    while True:
        await stream.send(b"?")
        await trio.sleep(5)


async def serve_trickle(_peer: NodeId, stream: BulkStream) -> None:
    """Gives the longest that there may be, a frame now and then, never silent for too long."""
    what = decode(Request, await stream.receive()).what
    answer: ChunkAnswer | FlistAnswer = FlistAnswer(FLIST_BYTES_MAX)
    if isinstance(what, ChunkRequest):
        served = tuple(Served(chunk, CHUNK_BLOB_BYTES_MAX) for chunk in what.chunks[:4])
        answer = ChunkAnswer(served)
    await stream.send(encode(Answer(answer)))
    while True:
        await trio.sleep(HOLDER_SILENCE_SECONDS_MAX - 1)
        await stream.send(bytes(BULK_FRAME_BYTES))


async def serve_wrong_kind(_peer: NodeId, stream: BulkStream) -> None:
    """Answers chunks with an flist, and an flist with chunks."""
    what = decode(Request, await stream.receive()).what
    answer: ChunkAnswer | FlistAnswer = ChunkAnswer((Served(blob(1).chunk, 0),))
    if isinstance(what, ChunkRequest):
        answer = FlistAnswer(5)
    await stream.send(encode(Answer(answer)))
    await trio.sleep_forever()


MISBEHAVIOURS: dict[str, BulkHandler] = {
    "mute": serve_mute,
    "closing": serve_closing,
    "garbage": serve_garbage,
    "unasked": serve_unasked,
    "crumbs": serve_crumbs,
    "wrong kind": serve_wrong_kind,
}
