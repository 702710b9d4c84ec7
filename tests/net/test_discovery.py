"""Nodes that know one address become a grid, remember each other, and come back."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import (
    ANCHOR_SECONDS_MIN,
    ANCHORS_MAX,
    DISCOVERY_RETRY_SECONDS_MAX,
    INBOUND_PEERS_MAX,
    OUTBOUND_WANTED,
    PEERS_REMEMBERED_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.discovery import (
    ANCHOR_PREFIX,
    PEER_PREFIX,
    Discovery,
    PeersTold,
    RememberedAnchor,
    RememberedPeer,
)
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Method, Network, PeerUp
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode


class Shelf:
    """A store in memory, in order of keys."""

    def __init__(self) -> None:
        self.entries: dict[bytes, bytes] = {}

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(one for one in self.entries.items() if one[0].startswith(prefix)))

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        for key, value in changes:
            if value is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = value

    async def commit(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        self.write(changes)


def key(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def address_of(number: int) -> str:
    node = NodeId(bytes(key(number).verify_key))
    return join_address(f"/memory/{node.hex()}", node)


@asynccontextmanager
async def node(
    hub: MemoryHub,
    number: int,
    *,
    peers: Sequence[str] = (),
    seeds: Sequence[str] = (),
    shelf: Shelf | None = None,
) -> AsyncGenerator[Network]:
    """A node with discovery."""
    async with hub.open(key(number)) as network, trio.open_nursery() as nursery:
        discovery = Discovery(
            network,
            shelf or Shelf(),
            peers=peers,
            seeds=seeds,
            random=Random(number),
            now_ms=lambda: TimestampMs(int(trio.current_time() * 1000)),
        )
        nursery.start_soon(discovery.run)
        yield network
        nursery.cancel_scope.cancel()


def chosen_by(network: Network) -> int:
    return sum(link.is_outbound for link in network.links())


async def until_up(network: Network, peer: NodeId) -> None:
    events = network.peer_events()
    while peer not in network.peers():
        await events.receive()


@pytest.mark.parametrize(("peers", "seeds"), [([1], []), ([], [1])])
async def test_a_given_address_and_a_seed_are_found(
    autojump_clock: trio.testing.MockClock, peers: list[int], seeds: list[int]
) -> None:
    hub = MemoryHub()
    async with (
        node(hub, 1) as first,
        node(hub, 2, peers=[*map(address_of, peers)], seeds=[*map(address_of, seeds)]) as second,
    ):
        await until_up(second, first.id)

        assert first.peers() == (second.id,)


async def test_a_peer_that_comes_later_is_found(autojump_clock: trio.testing.MockClock) -> None:
    hub = MemoryHub()
    async with node(hub, 2, peers=[address_of(1)]) as second:
        await trio.sleep(600)
        async with node(hub, 1) as first:
            started = trio.current_time()
            await until_up(second, first.id)

            assert trio.current_time() - started < 2 * DISCOVERY_RETRY_SECONDS_MAX


async def test_a_lost_peer_is_found_again(autojump_clock: trio.testing.MockClock) -> None:
    """Though it was it that had connected to us."""
    hub = MemoryHub()
    async with node(hub, 2) as second:
        async with node(hub, 1, peers=[address_of(2)]) as first:
            await until_up(second, first.id)
        await trio.testing.wait_all_tasks_blocked()
        assert second.peers() == ()
        async with node(hub, 1) as first:
            await until_up(second, first.id)

            assert first.peers() == (second.id,)


async def test_a_partition_heals(autojump_clock: trio.testing.MockClock) -> None:
    hub = MemoryHub()
    async with node(hub, 1) as first, node(hub, 2, seeds=[address_of(1)]) as second:
        await until_up(second, first.id)
        hub.partition({first.id}, {second.id})
        await trio.sleep(300)
        assert first.peers() == second.peers() == ()
        hub.heal()
        await until_up(second, first.id)

        assert first.peers() == (second.id,)


async def test_peers_are_remembered_over_a_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, shelf = MemoryHub(), Shelf()
    async with node(hub, 1) as first:
        async with node(hub, 2, seeds=[address_of(1)], shelf=shelf) as second:
            await until_up(second, first.id)
            await trio.testing.wait_all_tasks_blocked()
        async with node(hub, 2, shelf=shelf) as second:
            await until_up(second, first.id)

            assert second.peers() == (first.id,)


async def test_many_nodes_with_one_seed_each_find_enough_peers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, count = MemoryHub(), 30
    async with AsyncExitStack() as nodes:
        networks = [
            await nodes.enter_async_context(node(hub, number, seeds=[address_of(0)]))
            for number in range(count)
        ]
        await trio.sleep(300)

        assert min(chosen_by(network) for network in networks[1:]) >= OUTBOUND_WANTED
        assert max(chosen_by(network) for network in networks) <= OUTBOUND_WANTED + 1


async def test_a_peer_that_names_nonsense_harms_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    answers = iter([b"\xff", encode(PeersTold(("nonsense",))), encode(PeersTold((address_of(3),)))])

    async def tell(peer: NodeId, body: bytes) -> bytes:
        return next(answers, encode(PeersTold(())))

    hub = MemoryHub()
    async with hub.open(key(1)) as liar, node(hub, 3) as third:
        liar.serve(Method.PEERS, tell)
        async with node(hub, 2, peers=[address_of(1)]) as second:
            await until_up(second, third.id)

            assert second.peers() == tuple(sorted([liar.id, third.id]))


async def test_peers_are_named_with_bounds_and_not_to_themselves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub = MemoryHub()
    async with AsyncExitStack() as nodes:
        first = await nodes.enter_async_context(node(hub, 0))
        others = [await nodes.enter_async_context(hub.open(key(n))) for n in range(1, 25)]
        for other in others:
            await other.connect(address_of(0))
        told = decode(PeersTold, await others[0].request(first.id, Method.PEERS, b""))

        assert len(told.addresses) == 16
        assert others[0].addresses()[0] not in told.addresses


async def test_an_operator_hears_of_a_wrong_address_and_not_of_a_wrong_seed() -> None:
    async with MemoryHub().open(key(1)) as network:
        with pytest.raises(BadInput, match="is not an address"):
            Discovery(network, Shelf(), peers=["/ip4/1"], seeds=[], random=Random(1))
    async with MemoryHub().open(key(1)) as network:
        discovery = Discovery(network, Shelf(), peers=[], seeds=["/ip4/1"], random=Random(1))
        discovery.suggest(["nonsense"])

        assert network.peers() == ()


async def test_the_oldest_and_the_damaged_are_forgotten(
    autojump_clock: trio.testing.MockClock,
) -> None:
    shelf = Shelf()
    for number in range(PEERS_REMEMBERED_MAX + 5):
        value = encode(RememberedPeer(TimestampMs(number), (address_of(number),)))
        shelf.entries[PEER_PREFIX + number.to_bytes(32, "big")] = value
    shelf.entries[PEER_PREFIX + b"damaged"] = b"?"
    async with node(MemoryHub(), 999, shelf=shelf):
        await trio.testing.wait_all_tasks_blocked()

    left = [int.from_bytes(one[1:], "big") for one in shelf.entries]
    assert sorted(left) == list(range(5, PEERS_REMEMBERED_MAX + 5))


async def test_neighbours_that_lasted_are_the_first_after_a_restart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And who only connected to us is none of them."""
    hub, shelf = MemoryHub(latency_seconds=0), Shelf()  # who is dialled first is up first
    async with AsyncExitStack() as nodes:
        for number in range(10):
            await nodes.enter_async_context(hub.open(key(number)))
        stranger = await nodes.enter_async_context(hub.open(key(30)))
        peers = [address_of(number) for number in range(10)]
        async with node(hub, 20, peers=peers, shelf=shelf) as ours:
            await stranger.connect(address_of(20))
            await trio.sleep(2 * ANCHOR_SECONDS_MIN)
            chosen = {link.peer for link in ours.links() if link.is_outbound}
        stored = [row for row in shelf.entries.items() if row[0].startswith(ANCHOR_PREFIX)]
        anchors = {NodeId(row[0][1:]) for row in stored}
        assert len(anchors) == ANCHORS_MAX
        assert anchors <= chosen
        for row in stored:
            assert decode(RememberedAnchor, row[1]).lasted_seconds >= ANCHOR_SECONDS_MIN

        async with node(hub, 20, seeds=peers, shelf=shelf) as ours:
            events = ours.peer_events()
            firsts = {(await events.receive()).peer for _ in range(ANCHORS_MAX)}

            assert firsts == anchors


async def test_a_stranger_among_too_many_is_hung_up_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub = MemoryHub()
    async with AsyncExitStack() as nodes:
        ours = await nodes.enter_async_context(node(hub, 0))
        for number in range(1, INBOUND_PEERS_MAX + 20):
            transport = f"/ip4/10.1.0.1/tcp/{number}"
            stranger = hub.open(key(number), transport=transport)
            await (await nodes.enter_async_context(stranger)).connect(address_of(0))
        await trio.sleep(5)

        assert len(ours.peers()) <= INBOUND_PEERS_MAX + OUTBOUND_WANTED


async def test_where_a_stranger_says_it_is_is_not_remembered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hub, shelf = MemoryHub(), Shelf()
    async with node(hub, 1, shelf=shelf) as first, hub.open(key(2)) as stranger:
        await stranger.connect(first.addresses()[0])
        await trio.sleep(60)

        assert first.peers() == (stranger.id,)
        assert shelf.entries == {}


async def test_the_real_store_will_do(autojump_clock: trio.testing.MockClock) -> None:
    hub, store = MemoryHub(), MemoryStore()
    assert (Table.PEER.value, Table.ANCHOR.value) == (PEER_PREFIX, ANCHOR_PREFIX)
    async with (
        hub.open(key(1)) as first,
        hub.open(key(2)) as second,
        trio.open_nursery() as nursery,
    ):
        discovery = Discovery(second, store, peers=first.addresses(), seeds=[], random=Random(1))
        events = second.peer_events()
        nursery.start_soon(discovery.run)
        assert await events.receive() == PeerUp(first.id)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    (entry,) = store.scan(PEER_PREFIX)

    assert decode(RememberedPeer, entry[1]).addresses == first.addresses()
