"""What the contract suite of networks has in common."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

import trio
from nacl.signing import SigningKey

from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import (
    GossipMessage,
    Method,
    Network,
    Topic,
    Verdict,
)

GRID = NetworkId(b"one grid........")
OTHER_GRID = NetworkId(b"another grid....")
SECONDS_MAX = 15


class World(Protocol):
    """Opens nodes that can reach each other."""

    def __call__(
        self, number: int, *, grid: NetworkId = GRID
    ) -> AbstractAsyncContextManager[Network]: ...


def world_of(kind: str) -> World:
    """`memory`, `libp2p`, or `libp2p, no bulk ports`: as behind a firewall."""
    hub = MemoryHub(latency_seconds=0.001)

    @asynccontextmanager
    async def open_in_memory(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        async with hub.open(key(number), network_id=grid) as network:
            yield network

    @asynccontextmanager
    async def open_on_libp2p(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        listen = ["/ip4/127.0.0.1/tcp/0"]
        async with open_libp2p(
            key=key(number), listen=listen, network_id=grid, mdns=False
        ) as network:
            if kind != "libp2p":
                cast(Any, network)._bulk._ports = {4: 0, 6: 0}
            yield network

    return open_in_memory if kind == "memory" else open_on_libp2p


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


@asynccontextmanager
async def pair(world: World) -> AsyncGenerator[tuple[Network, Network]]:
    """Two connected nodes."""
    async with world(1) as left, world(2) as right:
        await left.connect(right.addresses()[0])
        await until(lambda: left.id in right.peers())
        yield left, right


async def until(condition: Callable[[], bool]) -> None:
    """For what nothing tells of."""
    while not condition():  # noqa: ASYNC110 - the adapter under test has no such event
        await trio.sleep(0.005)


async def connect_and_ask(left: Network, right: Network) -> None:
    """A refusal may show at either."""
    await left.connect(right.addresses()[0])
    await left.request(right.id, Method.EXPLORER_QUERY, b"")


async def echo(peer: NodeId, body: bytes) -> bytes:
    return body


def accept(forwarder: NodeId, data: bytes) -> Verdict:
    return Verdict.ACCEPT


async def spread(
    sender: Network, topic: Topic, data: bytes, inbox: trio.MemoryReceiveChannel[GossipMessage]
) -> NodeId:
    """Publish until it arrives (subscriptions take a while to be known); who passed it on."""
    async with trio.open_nursery() as nursery:

        async def publish() -> None:
            while True:
                await sender.publish(topic, data)
                await trio.sleep(0.1)

        nursery.start_soon(publish)
        while (message := await inbox.receive()).data != data:
            pass
        nursery.cancel_scope.cancel()
    return message.forwarder
