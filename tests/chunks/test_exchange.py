"""What we lack moves, once; flists come from whoever is quick and honest; on real sockets too."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from nacl.signing import SigningKey

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Progress
from p2pgrid.chunks.exchange import ChunkExchange, open_exchange
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.errors import GridError, NotFound, StoreFailed, Unreachable
from p2pgrid.limits.chunks import (
    CHUNK_BLOB_BYTES_MAX,
    FLIST_HEDGE_SECONDS,
    HOLDERS_AT_ONCE_MAX,
    HOLDERS_TRIED_MAX,
)
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Network
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import MIB
from p2pgrid.wire.signed import NetworkId
from tests.chunks.blobs import blob
from tests.chunks.peers import (
    MISBEHAVIOURS,
    LyingStore,
    World,
    filled,
    open_world,
    serve_mute,
    serve_trickle,
)

BLOBS = [blob(number) for number in range(50)]
WANTED = [one.chunk for one in BLOBS]
FLIST = bytes(blob(1, MIB + 5).data)
FLIST_ID = flist_id(FLIST)
OTHER_ID = flist_id(b"another")
NOBODY = NodeId(bytes(32))


async def flist_holder(world: World, store: MemoryChunkStore) -> NodeId:
    await store.put_flist(FLIST_ID, FLIST)
    return await world.add_holder(store)


async def test_only_what_is_missing_moves_and_our_own_id_is_nobody(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        holder = await world.add_holder(await filled(MemoryChunkStore(), BLOBS))
        await filled(world.chunks, BLOBS[:30])
        exchange = world.exchange()
        seen: list[Progress] = []
        await exchange.fetch_chunks(
            FLIST_ID, WANTED, [world.network.id, holder, holder], seen.append
        )
        assert seen[0] == Progress(0, 20, 0)
        assert seen[-1].done_count == seen[-1].wanted_count == 20
        assert seen[-1].done_bytes == sum(len(one.data) for one in BLOBS[30:])
        await exchange.fetch_chunks(FLIST_ID, WANTED, [])
        with pytest.raises(NotFound, match="no holder is known"):
            await exchange.fetch_chunks(OTHER_ID, [blob(100).chunk], [world.network.id])


async def test_what_was_fetched_is_served_on(autojump_clock: trio.abc.Clock) -> None:
    hub = MemoryHub()
    async with AsyncExitStack() as stack:
        stores = [MemoryChunkStore() for _ in range(3)]
        networks = [
            await stack.enter_async_context(hub.open(SigningKey(bytes((number,)) * 32)))
            for number in range(3)
        ]
        exchanges = [
            await stack.enter_async_context(open_exchange(network, store))
            for network, store in zip(networks, stores, strict=True)
        ]
        await filled(stores[0], BLOBS)
        await stores[0].put_flist(FLIST_ID, FLIST)
        for before, here in ((0, 1), (1, 2)):
            await networks[here].connect(networks[before].addresses()[0])
            await exchanges[here].fetch_chunks(FLIST_ID, WANTED, [networks[before].id])
            assert await exchanges[here].fetch_flist(FLIST_ID, [networks[before].id]) == FLIST
        assert await stores[2].get_many(WANTED) == tuple(one.data for one in BLOBS)


async def test_an_flist_is_fetched_once_and_kept(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world:
        holder = await flist_holder(world, MemoryChunkStore())
        exchange = world.exchange()
        assert await exchange.fetch_flist(FLIST_ID, [holder]) == FLIST
        assert world.chunks.flists() == (FLIST_ID,)
        assert await exchange.fetch_flist(FLIST_ID, []) == FLIST


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS)
async def test_a_bad_holder_costs_an_flist_a_few_seconds_at_most(
    autojump_clock: trio.abc.Clock, behaviour: str
) -> None:
    async with open_world() as world:
        bad = await world.add(MISBEHAVIOURS[behaviour])
        good = await flist_holder(world, MemoryChunkStore())
        exchange = world.exchange()
        assert await exchange.fetch_flist(FLIST_ID, [bad, good]) == FLIST
        assert trio.current_time() < FLIST_HEDGE_SECONDS + 2


@pytest.mark.parametrize("behaviour", MISBEHAVIOURS)
async def test_an_flist_that_nobody_gives_ends_in_a_clear_failure(
    autojump_clock: trio.abc.Clock, behaviour: str
) -> None:
    async with open_world() as world:
        bad = await world.add(MISBEHAVIOURS[behaviour])
        exchange = world.exchange()
        with pytest.raises((NotFound, Unreachable), match=bad[:4].hex()):
            await exchange.fetch_flist(FLIST_ID, [bad])
        assert world.chunks.flists() == ()


async def test_a_forged_flist_is_refused_and_asked_elsewhere(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        liar = await flist_holder(world, LyingStore())
        good = await flist_holder(world, MemoryChunkStore())
        exchange = world.exchange()
        with pytest.raises(NotFound, match="does not have the hash"):
            await exchange.fetch_flist(FLIST_ID, [liar])
        assert await exchange.fetch_flist(FLIST_ID, [liar, good]) == FLIST


async def test_who_lacks_an_flist_and_who_is_away_is_told_apart(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        lacking = await world.add_holder(MemoryChunkStore())
        exchange = world.exchange()
        with pytest.raises(NotFound, match="does not have it"):
            await exchange.fetch_flist(FLIST_ID, [lacking])
        with pytest.raises(Unreachable, match=NOBODY[:4].hex()):
            await exchange.fetch_flist(FLIST_ID, [lacking, NOBODY])
        with pytest.raises(NotFound, match="no holder is known"):
            await exchange.fetch_flist(FLIST_ID, [])


async def test_an_flist_that_cannot_be_stored_is_a_failure_of_ours(
    autojump_clock: trio.abc.Clock,
) -> None:
    class Full(MemoryChunkStore):
        """Takes no flist."""

        async def put_flist(self, flist: FlistId, data: bytes) -> None:
            raise StoreFailed("the disk is full")

    async with open_world() as world:
        holder = await flist_holder(world, MemoryChunkStore())
        world.chunks = Full()
        exchange = world.exchange()
        with pytest.raises(StoreFailed, match="full"):
            await exchange.fetch_flist(FLIST_ID, [holder])


async def test_many_slow_holders_of_an_flist_do_not_add_up(
    autojump_clock: trio.abc.Clock,
) -> None:
    async with open_world() as world:
        mute = [await world.add(serve_mute) for _ in range(5)]
        exchange = world.exchange()
        with pytest.raises(Unreachable, match="silent"):
            await exchange.fetch_flist(FLIST_ID, mute)
        assert trio.current_time() < 40


@pytest.mark.parametrize("behaviour", [*MISBEHAVIOURS, "trickle", "lying", "lacking"])
async def test_more_liars_than_are_asked_at_once_keep_no_image_from_us(
    autojump_clock: trio.abc.Clock, behaviour: str
) -> None:
    async with open_world() as world:

        async def add_liar() -> NodeId:
            if behaviour in MISBEHAVIOURS:
                return await world.add(MISBEHAVIOURS[behaviour])
            if behaviour == "trickle":
                return await world.add(serve_trickle)
            store = LyingStore() if behaviour == "lying" else MemoryChunkStore()
            if behaviour == "lying":
                await store.put_flist(FLIST_ID, FLIST)
                await filled(store, BLOBS)
            return await world.add_holder(store)

        liars = [await add_liar() for _ in range(2 * HOLDERS_AT_ONCE_MAX + 1)]
        good = await flist_holder(world, await filled(MemoryChunkStore(), BLOBS))
        exchange = world.exchange()
        assert await exchange.fetch_flist(FLIST_ID, [*liars, good]) == FLIST
        assert trio.current_time() < 60
        await exchange.fetch_chunks(FLIST_ID, WANTED, [*liars, good])
        assert trio.current_time() < 200


async def test_who_is_asked_is_bounded(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world:
        lacking = [await world.add_holder(MemoryChunkStore()) for _ in range(3)]
        nobody = [NodeId(bytes((1, number)) * 16) for number in range(HOLDERS_TRIED_MAX - 3)]
        good = await flist_holder(world, await filled(MemoryChunkStore(), BLOBS))
        exchange = world.exchange()
        with pytest.raises(Unreachable, match="and 54 more"):
            await exchange.fetch_flist(FLIST_ID, [*lacking, *nobody, good])
        with pytest.raises(GridError):
            await exchange.fetch_chunks(FLIST_ID, WANTED, [*lacking, *nobody, good])


async def test_disk_to_disk_over_libp2p_and_real_sockets(tmp_path: Path) -> None:
    blobs = [*BLOBS, *(blob(number, CHUNK_BLOB_BYTES_MAX) for number in range(100, 120))]
    wanted = [one.chunk for one in blobs]

    async with AsyncExitStack() as stack:

        async def node(number: int) -> tuple[Network, ChunkStore, ChunkExchange]:
            key = SigningKey(bytes((number,)) * 32)
            network = await stack.enter_async_context(
                open_libp2p(
                    key=key,
                    listen=["/ip4/127.0.0.1/tcp/0"],
                    network_id=NetworkId(bytes(16)),
                    mdns=False,
                )
            )
            store = await stack.enter_async_context(
                open_chunk_store(tmp_path / str(number), MemoryStore())
            )
            exchange = await stack.enter_async_context(open_exchange(network, store))
            return network, store, exchange

        first, second, third = [await node(number) for number in (1, 2, 3)]
        await first[1].put(blobs)
        await first[1].put_flist(FLIST_ID, FLIST)
        await second[0].connect(first[0].addresses()[0])
        await second[2].fetch_chunks(FLIST_ID, wanted[::2], [first[0].id])
        third[0].learn_addresses(first[0].id, first[0].addresses())
        third[0].learn_addresses(second[0].id, second[0].addresses())
        await third[2].fetch_chunks(FLIST_ID, wanted, [second[0].id, first[0].id])
        assert await third[2].fetch_flist(FLIST_ID, [second[0].id, first[0].id]) == FLIST
        assert await third[1].get_many(wanted) == tuple(one.data for one in blobs)
