"""Ledger nodes on an in-memory network: some full, some light, each with a store that survives."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import trio

from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.genesis import Genesis
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Network
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from tests.ledger.grids import NOW, key_of, node_of


class World:
    """A hub, a genesis, and the stores that outlive their nodes."""

    def __init__(self, genesis: Genesis, *, gossip_loss: float = 0.0) -> None:
        self.genesis = genesis
        self.hub = MemoryHub(gossip_loss=gossip_loss)
        self.stores: dict[str, Store] = {}
        self.networks: dict[str, Network] = {}
        self._started = trio.current_time()

    def now_ms(self) -> TimestampMs:
        """The wall clock of these nodes follows trio's."""
        return TimestampMs(NOW + round((trio.current_time() - self._started) * 1000))

    @asynccontextmanager
    async def open_full(self, name: str) -> AsyncGenerator[LedgerService]:
        """A full node, connected to all others that are up."""
        async with self._open_network(name) as network, trio.open_nursery() as nursery:
            service = LedgerService(
                self.genesis,
                network,
                self.stores.setdefault(name, MemoryStore()),
                key_of(name),
                self.now_ms,
                random=Random(name),
            )
            nursery.start_soon(service.run)
            await self._connect(name)
            yield service
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def open_light(self, name: str) -> AsyncGenerator[RemoteLedger]:
        """A light peer, connected to all others that are up."""
        async with self._open_network(name) as network, trio.open_nursery() as nursery:
            remote = RemoteLedger(
                self.genesis,
                network,
                self.stores.setdefault(name, MemoryStore()),
                self.now_ms,
                random=Random(name),
            )
            nursery.start_soon(remote.run)
            await self._connect(name)
            yield remote
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _open_network(self, name: str) -> AsyncGenerator[Network]:
        async with self.hub.open(key_of(name)) as network:
            self.networks[name] = network
            try:
                yield network
            finally:
                del self.networks[name]

    async def _connect(self, name: str) -> None:
        for other, network in list(self.networks.items()):
            if other != name and node_of(other) not in self.networks[name].peers():
                await self.networks[name].connect(network.addresses()[0])
