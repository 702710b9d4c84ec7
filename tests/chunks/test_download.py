"""A transfer ends well in any company that includes one honest holder, and ends anyway."""

import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.download import Download, Progress
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import NotFound, StoreFailed, Unreachable
from p2pgrid.limits.chunks import (
    CHUNK_BLOB_BYTES_MAX,
    HOLDER_SILENCE_SECONDS_MAX,
    STORING_ANSWERS_MAX,
    TRANSFER_LINGER_SECONDS,
)
from p2pgrid.limits.net import BULK_LINGER_SECONDS_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import BulkStream
from p2pgrid.net.scopes import bare_errors
from tests.chunks.blobs import blob
from tests.chunks.peers import (
    MISBEHAVIOURS,
    LyingStore,
    World,
    filled,
    open_world,
    serve_garbage,
    serve_mute,
)

BLOBS = [blob(number) for number in range(300)]
NOBODY = NodeId(bytes(32))


async def download(world: World, holders: list[NodeId], blobs: list[Blob]) -> list[Progress]:
    """Fetch them; gives all the progress that was reported."""
    seen: list[Progress] = []
    async with running(world) as download:
        await download.fetch([one.chunk for one in blobs], holders, Urgency.LATER, seen.append)
    return seen


def ignore(progress: Progress) -> None:
    """Nobody watches."""


@asynccontextmanager
async def running(world: World) -> AsyncGenerator[Download]:
    """A transfer that anybody may join."""
    with bare_errors():
        async with trio.open_nursery() as nursery:
            download = Download(world.network, world.chunks)
            nursery.start_soon(download.run)
            try:
                yield download
            finally:
                nursery.cancel_scope.cancel()


async def holds(store: ChunkStore, blobs: list[Blob]) -> bool:
    return await store.get_many([one.chunk for one in blobs]) == tuple(one.data for one in blobs)


async def test_everything_comes_from_one_holder(autojump_clock: trio.abc.Clock) -> None:
    large = [blob(number, CHUNK_BLOB_BYTES_MAX) for number in range(1000, 1010)]
    async with open_world() as world:
        holder = await world.add_holder(await filled(MemoryChunkStore(), [*BLOBS, *large]))
        seen = await download(world, [holder], [*BLOBS, *large])
        assert await holds(world.chunks, [*BLOBS, *large])
    total_bytes = sum(len(one.data) for one in [*BLOBS, *large])
    assert seen[0] == Progress(0, 310, 0)
    last = seen[-1]
    assert (last.done_count, last.wanted_count, last.done_bytes) == (310, 310, total_bytes)
    assert max(one.peer_count for one in seen) == 1
    assert seen[-2].bytes_per_second > 0
    assert [one.done_count for one in seen] == sorted(one.done_count for one in seen)


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS)
async def test_a_bad_holder_beside_a_good_one_changes_nothing(
    autojump_clock: trio.abc.Clock, behaviour: str
) -> None:
    async with open_world() as world:
        bad = await world.add(MISBEHAVIOURS[behaviour])
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        await download(world, [bad, NOBODY, good], BLOBS)
        assert await holds(world.chunks, BLOBS)
        assert trio.current_time() < 30


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS)
async def test_only_bad_holders_end_in_a_clear_failure(
    autojump_clock: trio.abc.Clock, behaviour: str
) -> None:
    async with open_world() as world:
        bad = await world.add(MISBEHAVIOURS[behaviour])
        with pytest.raises((NotFound, Unreachable), match=bad[:4].hex()):
            await download(world, [bad], BLOBS)
        assert world.chunks.usage().chunk_count == 0
        assert trio.current_time() < 60


async def test_a_liar_is_dropped_at_its_first_lie_and_nothing_of_it_is_stored(
    autojump_clock: trio.abc.Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world() as world:
        liar = await world.add_holder(await filled(LyingStore(), [*BLOBS, blob(1000)]))
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        await download(world, [liar, good], BLOBS)
        assert await holds(world.chunks, BLOBS)
        with pytest.raises(NotFound, match="served a bad chunk"):
            await download(world, [liar], [blob(1000)])
    assert f"{liar[:4].hex()} is not asked for chunks any more" in caplog.text


async def test_parts_from_several_make_a_whole(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world:
        stores = [await filled(MemoryChunkStore(), BLOBS[start::3]) for start in range(3)]
        holders = [await world.add_holder(store) for store in stores]
        await download(world, holders, BLOBS)
        assert await holds(world.chunks, BLOBS)
        with pytest.raises(NotFound, match="does not have it"):
            await download(world, holders, [blob(1000)])


async def test_a_holder_that_breaks_off_now_and_then_is_used_all_the_same(
    autojump_clock: trio.abc.Clock,
) -> None:
    choice = random.Random(1)
    async with open_world() as world:
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        async with trio.open_nursery() as nursery:

            async def disturb() -> None:
                for _ in range(4):
                    await trio.sleep(choice.uniform(0.02, 0.05))
                    world.hub.partition([world.network.id])
                    world.hub.heal()
                    await world.reconnect()

            nursery.start_soon(disturb)
            await download(world, [good], BLOBS)
        assert await holds(world.chunks, BLOBS)


async def test_three_holders_share_the_work(autojump_clock: trio.abc.Clock) -> None:
    seconds = []
    for count in (1, 3):
        async with open_world(latency_seconds=0.05) as world:
            store = await filled(MemoryChunkStore(), BLOBS)
            holders = [await world.add_holder(store) for _ in range(count)]
            started = trio.current_time()
            await download(world, holders, BLOBS)
            seconds.append(trio.current_time() - started)
    assert seconds[1] < seconds[0]


async def test_a_full_disk_ends_the_transfer_and_keeps_what_came(
    autojump_clock: trio.abc.Clock,
) -> None:
    class Full(MemoryChunkStore):
        """Takes two answers."""

        puts = 0

        async def put(self, blobs: Sequence[Blob]) -> None:
            self.puts += 1
            if self.puts > 2:
                raise StoreFailed("the disk is full")
            await super().put(blobs)

    async with open_world() as world:
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        world.chunks = Full()
        with pytest.raises(StoreFailed, match="full"):
            await download(world, [good], BLOBS)
        assert 0 < world.chunks.usage().chunk_count < len(BLOBS)


async def test_a_slow_disk_slows_the_reading_down_and_blames_nobody(
    autojump_clock: trio.abc.Clock,
) -> None:
    class Slow(MemoryChunkStore):
        """A minute for each answer."""

        storing = 0
        storing_max = 0

        async def put(self, blobs: Sequence[Blob]) -> None:
            self.storing += 1
            self.storing_max = max(self.storing, self.storing_max)
            await trio.sleep(60)
            self.storing -= 1
            await super().put(blobs)

    async with open_world() as world:
        holders = [
            await world.add_holder(await filled(MemoryChunkStore(), BLOBS)) for _ in range(3)
        ]
        world.chunks = slow = Slow()
        await download(world, holders, BLOBS)
        assert await holds(world.chunks, BLOBS)
        assert slow.storing_max <= STORING_ANSWERS_MAX


async def test_a_cancelled_transfer_closes_its_connections(
    autojump_clock: trio.abc.Clock,
) -> None:
    closed: list[NodeId] = []

    async def serve(peer: NodeId, stream: BulkStream) -> None:
        await serve_mute(peer, stream)
        closed.append(peer)

    async with open_world() as world:
        holders = [await world.add(serve) for _ in range(3)]
        with trio.move_on_after(5):
            await download(world, holders, BLOBS)
        await trio.sleep(1)
        assert len(closed) == 3


async def test_who_broke_the_protocol_is_asked_once(autojump_clock: trio.abc.Clock) -> None:
    served: list[NodeId] = []

    async def serve(peer: NodeId, stream: BulkStream) -> None:
        served.append(peer)
        await serve_garbage(peer, stream)

    async with open_world() as world:
        bad = await world.add(serve)
        with pytest.raises(NotFound, match="broke the protocol"):
            await download(world, [bad], BLOBS)
        assert len(served) == 1


async def test_nothing_wanted_is_done_at_once() -> None:
    async with open_world() as world:
        assert await download(world, [], []) == [Progress(0, 0, 0)]


async def test_who_owes_only_what_others_gave_is_hung_up_on_at_once(
    autojump_clock: trio.abc.Clock,
) -> None:
    closed: list[NodeId] = []

    async def serve(peer: NodeId, stream: BulkStream) -> None:
        try:
            await serve_mute(peer, stream)
        finally:
            closed.append(peer)

    async with open_world() as world:
        mute = await world.add(serve)
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        async with running(world) as download:
            chunks = [one.chunk for one in BLOBS]
            await download.fetch(chunks, [mute, good], Urgency.LATER, ignore)
            assert trio.current_time() < HOLDER_SILENCE_SECONDS_MAX - 2
            await trio.sleep(BULK_LINGER_SECONDS_MAX + 0.5)
            assert closed == [world.network.id]


async def test_who_lacked_something_is_asked_again_when_it_is_wanted_again(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        store = MemoryChunkStore()
        holder = await world.add_holder(store)
        async with running(world) as download:
            chunks = [one.chunk for one in BLOBS]
            with pytest.raises(NotFound, match="does not have it"):
                await download.fetch(chunks, [holder], Urgency.LATER, ignore)
            await filled(store, BLOBS)
            await download.fetch(chunks, [holder], Urgency.LATER, ignore)
        assert await holds(world.chunks, BLOBS)


async def test_who_wants_the_same_shares_one_transfer_and_each_hears_of_his_own(
    autojump_clock: trio.abc.Clock,
) -> None:
    served: list[NodeId] = []
    seen: list[Progress] = []
    async with open_world() as world:
        store = await filled(MemoryChunkStore(), BLOBS)

        async def serve(peer: NodeId, stream: BulkStream) -> None:
            served.append(peer)
            await ChunkServer(store).serve(peer, stream)

        holder = await world.add(serve)
        chunks = [one.chunk for one in BLOBS]
        async with running(world) as download, trio.open_nursery() as nursery:
            for part, urgency in ((chunks, Urgency.LATER), (chunks[250:], Urgency.NOW)):
                on_progress = seen.append if urgency is Urgency.NOW else ignore
                nursery.start_soon(download.fetch, part, [holder], urgency, on_progress)
        assert await holds(world.chunks, BLOBS)
        assert served == [world.network.id]
    assert (seen[-1].done_count, seen[-1].wanted_count) == (50, 50)


async def test_what_is_needed_now_comes_long_before_the_rest(
    autojump_clock: trio.abc.Clock,
) -> None:
    blobs = [blob(number, CHUNK_BLOB_BYTES_MAX) for number in range(200)]
    async with open_world(latency_seconds=0.05) as world:
        holder = await world.add_holder(await filled(MemoryChunkStore(), blobs))
        chunks = [one.chunk for one in blobs]
        async with running(world) as download, trio.open_nursery() as nursery:
            started = trio.current_time()
            nursery.start_soon(download.fetch, chunks, [holder], Urgency.LATER, ignore)
            await trio.sleep(1)
            await download.fetch(chunks[-1:], [holder], Urgency.NOW, ignore)
            waited = trio.current_time() - started - 1
            done_count = world.chunks.usage().chunk_count
        assert waited < (trio.current_time() - started) / 4
        assert done_count < len(blobs) / 2


async def test_one_who_leaves_takes_his_wishes_with_him_and_nothing_of_others(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world(latency_seconds=0.05) as world:
        holder = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        chunks = [one.chunk for one in BLOBS]
        async with running(world) as download:
            with trio.move_on_after(0.2):
                await download.fetch(chunks, [holder], Urgency.LATER, ignore)
            await download.fetch(chunks[-5:], [holder], Urgency.LATER, ignore)
            await trio.sleep(TRANSFER_LINGER_SECONDS / 2)
            assert world.chunks.usage().chunk_count < len(BLOBS)
            assert not download.is_over
            await trio.sleep(TRANSFER_LINGER_SECONDS)
            assert download.is_over


async def test_after_a_full_disk_the_next_caller_is_served(
    autojump_clock: trio.abc.Clock,
) -> None:
    class FullOnce(MemoryChunkStore):
        """Refuses the first answer."""

        is_full = True

        async def put(self, blobs: Sequence[Blob]) -> None:
            if self.is_full:
                self.is_full = False
                raise StoreFailed("the disk is full")
            await super().put(blobs)

    async with open_world() as world:
        holder = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        world.chunks = FullOnce()
        chunks = [one.chunk for one in BLOBS]
        async with running(world) as download:
            with pytest.raises(StoreFailed):
                await download.fetch(chunks, [holder], Urgency.LATER, ignore)
            given = await download.fetch(chunks, [holder], Urgency.LATER, ignore)
        assert await holds(world.chunks, BLOBS)
        assert given[holder] > 0


async def test_whoever_waits_when_the_node_stops_is_told() -> None:
    async with open_world() as world:
        silent = await world.add(serve_mute)
        download = Download(world.network, world.chunks)
        stopping = trio.CancelScope()

        async def run() -> None:
            with stopping:
                await download.run()

        async def stop() -> None:
            await trio.sleep(0.05)
            stopping.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            nursery.start_soon(stop)
            with pytest.raises(Unreachable, match="stops"):
                await download.fetch([BLOBS[0].chunk], [silent], Urgency.LATER, ignore)
        assert download.is_over
