"""Serving: every chunk asked for is answered once, and nobody can hold our memory for long."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.messages import Answer, Body, ChunkAnswer, ChunkRequest, FlistRequest, Request
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import MalformedRecord, Unreachable
from p2pgrid.limits.chunks import (
    ANSWER_FRAME_SECONDS_MAX,
    ANSWERS_IN_MEMORY_MAX,
    ANSWERS_PER_PEER_MAX,
    CHUNK_BLOB_BYTES_MAX,
    REQUESTS_QUEUED_MAX,
)
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ChunkId, NodeId
from p2pgrid.net.network import BulkStream
from p2pgrid.units import MIB
from p2pgrid.wire.codec import decode, encode
from tests.chunks.blobs import blob
from tests.chunks.peers import filled, open_world

PEER = NodeId(bytes(32))
LARGE = [blob(number, CHUNK_BLOB_BYTES_MAX - number) for number in range(10)]
SMALL = [blob(number) for number in range(10, 150)]


class PairedStream:
    """One end of a bulk stream that holds no frame under way."""

    def __init__(
        self, sends: trio.MemorySendChannel[bytes], receives: trio.MemoryReceiveChannel[bytes]
    ) -> None:
        self._sends = sends
        self._receives = receives

    async def send(self, frame: bytes) -> None:
        await self._sends.send(frame)

    async def receive(self) -> bytes:
        async for frame in self._receives:
            return frame
        return b""

    async def aclose(self) -> None:
        await self._sends.aclose()


def stream_pair() -> tuple[PairedStream, PairedStream]:
    there, back = trio.open_memory_channel[bytes](0), trio.open_memory_channel[bytes](0)
    return PairedStream(there[0], back[1]), PairedStream(back[0], there[1])


async def receive_chunks(stream: BulkStream) -> dict[ChunkId, bytes]:
    """The blobs of one answer; b"" for what the server lacks."""
    answer = decode(Answer, await stream.receive()).what
    assert isinstance(answer, ChunkAnswer)
    body = Body(answer.body_bytes)
    while not body.is_complete:
        body.feed(await stream.receive())
    parts = body.parts(one.blob_bytes for one in answer.served)
    return {one.chunk: bytes(part) for one, part in zip(answer.served, parts, strict=True)}


async def test_every_chunk_asked_for_is_answered_once_and_requests_are_pipelined() -> None:
    server = ChunkServer(await filled(MemoryChunkStore(), [*LARGE, *SMALL]))
    client, served = stream_pair()
    lacking = blob(10**6)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, PEER, served)

        async def ask() -> None:
            for wanted in ([*LARGE, lacking, LARGE[0]], SMALL):
                request = Request(ChunkRequest(tuple(one.chunk for one in wanted)))
                await client.send(encode(request))

        nursery.start_soon(ask)
        found: dict[ChunkId, bytes] = {}
        for wanted in ([*LARGE, lacking], SMALL):
            here: dict[ChunkId, bytes] = {}
            while len(here) < len(wanted):
                answered = await receive_chunks(client)
                assert not here.keys() & answered.keys()
                here |= answered
            found |= here
        await client.aclose()
    assert found.pop(lacking.chunk) == b""
    assert found == {one.chunk: one.data for one in [*LARGE, *SMALL]}


async def test_a_damaged_chunk_is_answered_as_lacking() -> None:
    class Damaged(MemoryChunkStore):
        """Loses everything between the index and the disk."""

        async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
            return (None,)

    server = ChunkServer(await filled(Damaged(), [blob(1)]))
    client, served = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, PEER, served)
        await client.send(encode(Request(ChunkRequest((blob(1).chunk,)))))
        assert await receive_chunks(client) == {blob(1).chunk: b""}
        await client.aclose()


async def test_an_flist_is_served_in_pieces() -> None:
    store = MemoryChunkStore()
    data = blob(1, 5 * MIB + 17).data
    await store.put_flist(flist_id(bytes(data)), bytes(data))
    client, served = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ChunkServer(store).serve, PEER, served)
        await client.send(encode(Request(FlistRequest(flist_id(bytes(data))))))
        body = Body(decode(Answer, await client.receive()).what.body_bytes)
        while not body.is_complete:
            body.feed(await client.receive())
        await client.aclose()
    assert body.whole() == data


async def test_garbage_ends_the_connection() -> None:
    client, served = stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.send, b"garbage")
        with pytest.raises(MalformedRecord):
            await ChunkServer(MemoryChunkStore()).serve(PEER, served)


async def test_who_does_not_read_is_hung_up_on_and_his_memory_is_free_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    server = ChunkServer(await filled(MemoryChunkStore(), LARGE))
    started = trio.current_time()
    for _ in range(2 * ANSWERS_IN_MEMORY_MAX):
        client, served = stream_pair()
        async with trio.open_nursery() as nursery:
            request = Request(ChunkRequest(tuple(one.chunk for one in LARGE)))
            nursery.start_soon(client.send, encode(request))
            with pytest.raises(Unreachable, match="take in"):
                await server.serve(PEER, served)
    waited = trio.current_time() - started
    assert waited == pytest.approx(2 * ANSWERS_IN_MEMORY_MAX * ANSWER_FRAME_SECONDS_MAX)
    assert server.answers_in_memory == 0


async def test_all_peers_together_hold_a_bounded_number_of_answers(
    autojump_clock: trio.abc.Clock,
) -> None:
    class Counting(MemoryChunkStore):
        reads = 0

        async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
            self.reads += 1
            return await super().get_many(chunks)

    store = Counting()
    await filled(store, [blob(1)])
    server = ChunkServer(store)

    async def serve_a_mute_reader(peer: NodeId) -> None:
        client, served = stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, encode(Request(ChunkRequest((blob(1).chunk,)))))
            await server.serve(peer, served)

    async with trio.open_nursery() as nursery:
        for _ in range(3 * ANSWERS_PER_PEER_MAX):
            nursery.start_soon(serve_a_mute_reader, PEER)
        await trio.testing.wait_all_tasks_blocked()
        assert store.reads == ANSWERS_PER_PEER_MAX
        for number in range(3 * ANSWERS_IN_MEMORY_MAX):
            nursery.start_soon(serve_a_mute_reader, NodeId(bytes((number,)) * 32))
        await trio.testing.wait_all_tasks_blocked()
        assert store.reads == server.answers_in_memory == ANSWERS_IN_MEMORY_MAX
        nursery.cancel_scope.cancel()
    assert server.answers_in_memory == 0


async def test_a_peer_that_breaks_off_leaves_nothing_behind(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        server = ChunkServer(await filled(MemoryChunkStore(), LARGE))
        holder = await world.add(server.serve)
        stream = await world.network.open_bulk(holder)
        await stream.send(encode(Request(ChunkRequest(tuple(one.chunk for one in LARGE)))))
        await stream.receive()
        await stream.aclose()
        await trio.sleep(ANSWER_FRAME_SECONDS_MAX)
        assert server.answers_in_memory == 0


async def test_what_is_needed_now_overtakes_what_was_asked_before_it() -> None:
    server = ChunkServer(await filled(MemoryChunkStore(), [*LARGE, *SMALL]))
    client, served = stream_pair()
    later = Request(ChunkRequest(tuple(one.chunk for one in LARGE)))
    now = Request(ChunkRequest((SMALL[0].chunk,), Urgency.NOW))
    came: list[ChunkId] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, PEER, served)
        await client.send(encode(later))
        await trio.testing.wait_all_tasks_blocked()
        await client.send(encode(now))
        while len(came) < len(LARGE) + 1:
            came += await receive_chunks(client)
        await client.aclose()
    assert came.index(SMALL[0].chunk) == 8  # after the answer on its way and the one read ahead


async def test_requests_beyond_the_queue_are_not_read_and_all_are_answered() -> None:
    server = ChunkServer(await filled(MemoryChunkStore(), SMALL))
    client, served = stream_pair()
    sent = 0

    async def ask() -> None:
        nonlocal sent
        for one in SMALL:
            await client.send(encode(Request(ChunkRequest((one.chunk,)))))
            sent += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve, PEER, served)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        assert REQUESTS_QUEUED_MAX <= sent <= REQUESTS_QUEUED_MAX + 3 < len(SMALL)
        found: dict[ChunkId, bytes] = {}
        while len(found) < len(SMALL):
            found |= await receive_chunks(client)
        await client.aclose()
    assert found == {one.chunk: one.data for one in SMALL}


async def test_who_takes_an_answer_in_crumbs_of_time_is_hung_up_on(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Each frame in time, the whole answer never: memory would be held for minutes."""
    server = ChunkServer(await filled(MemoryChunkStore(), LARGE))
    client, served = stream_pair()

    async def read_slowly() -> None:
        await client.send(encode(Request(ChunkRequest(tuple(one.chunk for one in LARGE)))))
        while True:
            await trio.sleep(ANSWER_FRAME_SECONDS_MAX - 1)
            await client.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly)
        with pytest.raises(Unreachable, match="take in"):
            await server.serve(PEER, served)
        nursery.cancel_scope.cancel()
    assert server.answers_in_memory == 0
    assert trio.current_time() < 3 * ANSWER_FRAME_SECONDS_MAX


async def test_who_breaks_off_while_he_is_answered_is_one_failure() -> None:
    """Reading and sending both fail then."""
    server = ChunkServer(await filled(MemoryChunkStore(), LARGE))

    class Breaking(PairedStream):
        """Breaks off in both directions at once."""

        async def send(self, frame: bytes) -> None:
            await trio.sleep(0.01)
            raise Unreachable("broke off")

        async def receive(self) -> bytes:
            frame = await super().receive()
            if not frame:
                raise Unreachable("broke off")
            return frame

    there, back = trio.open_memory_channel[bytes](1), trio.open_memory_channel[bytes](0)
    await there[0].send(encode(Request(ChunkRequest((LARGE[0].chunk,)))))

    async def break_off() -> None:
        await trio.sleep(0.01)
        await there[0].aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(break_off)
        with pytest.raises(Unreachable):
            await server.serve(PEER, Breaking(back[0], there[1]))
    assert server.answers_in_memory == 0
