"""Peers of an imagined grid in one process, over the in-memory network."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import trio
import trio.testing

from p2pgrid.explorer.announce import announcement_of
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Network
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Store
from p2pgrid.units import SECOND_MS, TimestampMs
from tests.explorer.grid import GRID, NOW, facts, key_of, node_of

GOSSIP_SECONDS = 1.0
"""Time enough for gossip to reach everybody."""


def clock() -> TimestampMs:
    return TimestampMs(NOW + int(trio.current_time() * SECOND_MS))


class World:
    """Peers over the in-memory network; who joins is connected to all that can be reached."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.hub = MemoryHub(seed=1)
        self.networks: dict[int, Network] = {}
        self._nursery = nursery

    async def join(self, number: int) -> Network:
        network = await self.join_unconnected(number)
        await self._connect(network, self.networks.values())
        self.networks[number] = network
        return network

    async def join_unconnected(self, number: int) -> Network:
        network: Network = await self._nursery.start(self._hold, number)
        return network

    def partition(self, *groups: Sequence[int]) -> None:
        self.hub.partition(*[[node_of(number) for number in group] for group in groups])

    async def heal(self) -> None:
        self.hub.heal()
        for network in self.networks.values():
            await self._connect(network, self.networks.values())

    async def _hold(self, number: int, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        async with self.hub.open(key_of(number)) as network:
            task_status.started(network)
            await trio.sleep_forever()

    async def _connect(self, network: Network, others: Iterable[Network]) -> None:
        for other in others:
            if other is not network and other.id not in network.peers():
                await network.connect(other.addresses()[0])


@asynccontextmanager
async def open_world() -> AsyncGenerator[World, None]:
    async with trio.open_nursery() as nursery:
        yield World(nursery)
        nursery.cancel_scope.cancel()


class Grid:
    """Full peers of one world."""

    def __init__(self, world: World, nursery: trio.Nursery) -> None:
        self.world = world
        self.explorers: dict[int, ExplorerService] = {}
        self._nursery = nursery

    async def join(self, number: int, store: Store | None = None) -> ExplorerService:
        network = await self.world.join(number)
        explorer = ExplorerService(
            network, store or MemoryStore(), GRID, clock, random=Random(number)
        )
        self._nursery.start_soon(explorer.run)
        self.explorers[number] = explorer
        await trio.testing.wait_all_tasks_blocked()
        return explorer

    def are_equal(self) -> bool:
        return len({explorer.view.ids.root() for explorer in self.explorers.values()}) == 1

    async def publish(self, number: int) -> None:
        await self.explorers[number].publish_next(
            key_of(number), lambda stamp: announcement_of(facts(number), stamp)
        )
        await trio.sleep(GOSSIP_SECONDS)


@asynccontextmanager
async def open_grid(*numbers: int) -> AsyncGenerator[Grid, None]:
    async with open_world() as world, trio.open_nursery() as nursery:
        grid = Grid(world, nursery)
        for number in numbers:
            await grid.join(number)
        yield grid
        nursery.cancel_scope.cancel()
