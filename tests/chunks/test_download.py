"""A transfer ends well in any company that includes one honest holder, and ends anyway."""

import random
from collections.abc import Sequence

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.download import Download
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.swarm import Progress, Swarm
from p2pgrid.errors import NotFound, StoreFailed, Unreachable
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX, STORING_ANSWERS_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import BulkStream
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
    swarm = Swarm([one.chunk for one in blobs], holders)
    await Download(world.network, world.chunks, swarm, seen.append).run()
    return seen


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
    assert seen[-1] == Progress(310, 310, total_bytes)
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
        liar = await world.add_holder(await filled(LyingStore(), BLOBS))
        good = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        await download(world, [liar, good], BLOBS)
        assert await holds(world.chunks, BLOBS)
        with pytest.raises(NotFound, match="served a bad chunk"):
            await download(world, [liar], [blob(1000), blob(1)])
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
