"""Bulk streams of every `Network`, in memory and on libp2p alike, with and without TCP."""

import pytest
import trio

from p2pgrid.errors import (
    BrokenProtocol,
    Unreachable,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import (
    BulkStream,
)
from tests.contracts.network_world import World, pair, until, world_of

pytestmark = pytest.mark.usefixtures("_in_time")


@pytest.fixture(params=["memory", "libp2p", "libp2p, no bulk ports"])
def world(request: pytest.FixtureRequest) -> World:
    return world_of(request.param)


async def answer_frames(peer: NodeId, stream: BulkStream) -> None:
    while frame := await stream.receive():
        await stream.send(peer[:4] + frame[:-4])


async def test_bulk_frames_travel_both_ways(world: World) -> None:
    frame = bytes(range(256)) * (BULK_FRAME_BYTES // 256)
    async with pair(world) as (left, right):
        right.serve_bulk(answer_frames)
        stream = await left.open_bulk(right.id)
        for _ in range(5):
            await stream.send(frame)
            assert await stream.receive() == left.id[:4] + frame[:-4]
        await stream.aclose()
        await stream.aclose()


async def test_a_bulk_stream_ends_with_its_handler(world: World) -> None:
    async def give(peer: NodeId, stream: BulkStream) -> None:
        await stream.send(b"one")
        await stream.send(b"two")

    async with pair(world) as (left, right):
        right.serve_bulk(give)
        stream = await left.open_bulk(right.id)

        assert [await stream.receive() for _ in range(4)] == [b"one", b"two", b"", b""]
        await stream.aclose()


async def test_a_bulk_sender_waits_for_a_reader_that_does_not_read(world: World) -> None:
    sent = 0
    may_read = trio.Event()
    got: list[int] = []

    async def read_late(peer: NodeId, stream: BulkStream) -> None:
        await may_read.wait()
        while frame := await stream.receive():
            got.append(len(frame))

    async with pair(world) as (left, right), trio.open_nursery() as nursery:
        right.serve_bulk(read_late)
        stream = await left.open_bulk(right.id)
        count = 200

        async def send() -> None:
            nonlocal sent
            for _ in range(count):
                await stream.send(bytes(BULK_FRAME_BYTES))
                sent += 1
            await stream.aclose()

        nursery.start_soon(send)
        before = -1
        while sent != before:  # until it stands still
            before = sent
            await trio.sleep(0.1)
        assert sent < count
        may_read.set()
        await until(lambda: len(got) == count)

    assert got == [BULK_FRAME_BYTES] * count


async def test_a_bulk_frame_is_neither_empty_nor_too_long(world: World) -> None:
    async with pair(world) as (left, right):
        right.serve_bulk(answer_frames)
        stream = await left.open_bulk(right.id)
        for frame in (b"", bytes(BULK_FRAME_BYTES + 1)):
            with pytest.raises(ValueError, match="frame"):
                await stream.send(frame)

        await stream.send(b"good.")
        assert await stream.receive() == left.id[:4] + b"g"
        await stream.aclose()


async def test_a_failing_bulk_handler_closes_its_stream_only(world: World) -> None:
    async def fail(peer: NodeId, stream: BulkStream) -> None:
        if await stream.receive() == b"fail":
            raise RuntimeError
        await stream.send(b"fine")

    async with pair(world) as (left, right):
        right.serve_bulk(fail)
        streams = [await left.open_bulk(right.id) for _ in range(2)]
        await streams[0].send(b"fail")
        with pytest.raises(Unreachable):  # not b"": what came is not all
            await streams[0].receive()
        await streams[1].send(b"work")

        assert await streams[1].receive() == b"fine"
        for stream in streams:
            await stream.aclose()


async def test_no_bulk_without_a_handler(world: World) -> None:
    async with pair(world) as (left, right):
        with pytest.raises(Unreachable):
            await left.open_bulk(right.id)


async def test_a_bulk_stream_of_a_node_that_leaves_is_not_taken_for_complete(world: World) -> None:
    async with world(1) as left:
        async with world(2) as right:
            right.serve_bulk(answer_frames)
            await left.connect(right.addresses()[0])
            stream = await left.open_bulk(right.id)
        with pytest.raises((Unreachable, BrokenProtocol)):
            await stream.receive()
        await stream.aclose()
