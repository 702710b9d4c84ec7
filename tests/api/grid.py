"""A grid behind real control sockets: one full node and one light peer, in one process.

Ledger, explorer, flists and reservations are the real ones over the in-memory
network; only the machine that runs containers is a fake. Clients run in
threads, so that client and server are tested against each other.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import trio

from p2pgrid.api.app import serve_control
from p2pgrid.api.explorer_access import ExplorerAccess
from p2pgrid.api.services import Services
from p2pgrid.chunks.exchange import ChunkExchange
from p2pgrid.chunks.keeper import ChunkKeeper
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.cli.client import NodeClient
from p2pgrid.errors import BadInput
from p2pgrid.explorer.announce import announcement_of
from p2pgrid.explorer.remote import RemoteExplorer
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.flist.service import FlistService
from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.ids import FarmId
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Network
from p2pgrid.node_parts import (
    HolderSearch,
    HoldingsTeller,
    ImageSource,
    Membership,
    PulledImages,
    chunks_of_flist,
)
from p2pgrid.reservation.admission import Offer
from p2pgrid.reservation.consumer import ConsumerParts, ConsumerService
from p2pgrid.reservation.seams import HostParts, Ledger, Machine
from p2pgrid.reservation.service import HostService
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import GIB, SECOND_MS, TFT, TimestampMs
from tests.explorer.grid import facts
from tests.ledger.grids import NOW, account_of, genesis_of, key_of, node_of, witness_names
from tests.reservation.world import OFFER, FakeMachine, Process

_T = TypeVar("_T")

NODE = witness_names(1)[0]
CONSUMER = "consumer"
BALANCE = 1000 * TFT
GENESIS = genesis_of(1, ((CONSUMER, BALANCE),))
SECONDS_MAX = 20.0
POLL_SECONDS = 0.02
_STARTED = time.monotonic()


def now_ms() -> TimestampMs:
    """The wall clock of this grid, which was founded when these tests began."""
    return TimestampMs(NOW + int((time.monotonic() - _STARTED) * SECOND_MS))


@dataclass
class Member:
    """One node with its control socket."""

    services: Services
    client: NodeClient

    @property
    def identity(self) -> str:
        return self.services.node.hex()

    async def get(self, path: str, **query: object) -> Any:
        return await in_thread(partial(self.client.get, path, **query))

    async def read(self, path: str) -> bytes:
        data, _ = await in_thread(lambda: self.client.read(path))
        return data

    async def post(self, path: str, body: object = None) -> Any:
        return await in_thread(partial(self.client.post, path, body))

    async def messages(self, path: str, body: object = None) -> list[dict[str, Any]]:
        """All lines of a streamed answer."""
        return await in_thread(lambda: list(self.client.stream(path, body)))

    async def result(self, path: str, body: object = None) -> Any:
        """The last line of a streamed answer."""
        return (await self.messages(path, body))[-1]["result"]


async def in_thread(ask: Callable[[], _T]) -> _T:
    """What a client says that runs beside the nodes."""
    with trio.fail_after(SECONDS_MAX):
        return await trio.to_thread.run_sync(ask)


async def eventually(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is something: nobody is told when the node has finished."""
    with trio.fail_after(SECONDS_MAX):
        while not await ask():  # noqa: ASYNC110 - as the docstring says
            await trio.sleep(POLL_SECONDS)


@dataclass
class ApiGrid:
    """Both, and the machine of the full one."""

    node: Member
    consumer: Member
    machine: FakeMachine
    explorer: ExplorerService
    hub: MemoryHub

    async def announce(self) -> None:
        """The node says what it has, and for which farm."""
        services = self.node.services
        said = facts(1, node=services.node, farm=_farm(services), total=OFFER.capacity)
        await self.explorer.publish_next(services.key, lambda stamp: announcement_of(said, stamp))


def _farm(services: Services) -> FarmId:
    return FarmId(bytes.fromhex(services.farm_text()))


def _identity(place: Path, name: str) -> Path:
    """A data directory with this key in it."""
    data = place / name[0]
    data.mkdir(mode=0o700)
    (data / "identity.key").write_text(bytes(key_of(name)).hex())
    (data / "identity.key").chmod(0o600)
    return data


@asynccontextmanager
async def open_grid(place: Path) -> AsyncGenerator[ApiGrid]:
    """A grid in `place`, with the node announced and containers offered."""
    async with AsyncExitStack() as parts:
        hub = MemoryHub(latency_seconds=0.001)
        nursery = await parts.enter_async_context(trio.open_nursery())
        parts.callback(nursery.cancel_scope.cancel)
        networks = {
            name: await parts.enter_async_context(hub.open(key_of(name)))
            for name in (NODE, CONSUMER)
        }
        machine = FakeMachine(Process(), deploy_seconds=0)
        full = _full(networks[NODE], _identity(place, NODE), machine, nursery)
        light = _light(networks[CONSUMER], _identity(place, CONSUMER), nursery)
        await networks[CONSUMER].connect(networks[NODE].addresses()[0])
        for services in (full, light):
            await nursery.start(serve_control, services)
        assert isinstance(full.explorer.service, ExplorerService)
        grid = ApiGrid(
            Member(full, NodeClient(full.data)),
            Member(light, NodeClient(light.data)),
            machine,
            full.explorer.service,
            hub,
        )
        await grid.announce()
        yield grid


def _full(network: Network, data: Path, machine: FakeMachine, nursery: trio.Nursery) -> Services:
    key, store = key_of(NODE), MemoryStore()
    explorer = ExplorerService(network, MemoryStore(), GENESIS.network, now_ms, random=Random(1))
    ledger = LedgerService(GENESIS, network, MemoryStore(), key, now_ms, random=Random(2))
    chunks = MemoryChunkStore()
    flists = FlistService(chunks, ChunkExchange(network, chunks, nursery), data / "images")
    teller = HoldingsTeller(key, explorer, flists, now_ms)
    holders = HolderSearch(explorer, network)
    images = ImageSource(flists, holders, teller.recheck)
    membership = Membership(node_of(NODE), store, explorer)

    def offer() -> Offer:
        payout, price_permille = membership.terms()
        return replace(
            OFFER, farm=membership.farm, payout=payout, price_permille=price_permille,
            pricing=GENESIS.pricing,
        )  # fmt: skip

    host = HostService(
        network,
        HostParts(
            store=store,
            ledger=ledger,
            machine=Machine(workloads=machine, exits=machine.exits, flists=images),
            key=key,
            network_id=GENESIS.network,
            offer=offer,
            now_ms=now_ms,
        ),
    )
    consumer = _consumer(network, NODE, ledger, store)
    for run in (explorer.run, ledger.run, host.run, consumer.run, teller.run, flists.recover):
        nursery.start_soon(run)
    return Services(
        data=data,
        key=key,
        genesis=GENESIS,
        network=network,
        explorer=ExplorerAccess(explorer),
        ledger=ledger,
        consumer=consumer,
        flists=flists,
        pulled=PulledImages(flists, holders, teller.recheck),
        chunks=ChunkKeeper(chunks, chunks_of_flist, lambda: GIB, lambda: GIB),
        host=host,
        containers_missing=lambda: None,
        farm_text=membership.text,
        claim_farm=membership.claim,
        holds_changed=teller.recheck,
        peer_role=lambda _: "chosen",
        now_ms=now_ms,
        started_ms=now_ms(),
    )


def _light(network: Network, data: Path, nursery: trio.Nursery) -> Services:
    async def refuse(_: object) -> None:
        raise BadInput("a light peer belongs to no farm")

    explorer = RemoteExplorer(network, MemoryStore(), GENESIS.network, now_ms, random=Random(3))
    ledger = RemoteLedger(GENESIS, network, MemoryStore(), now_ms, random=Random(4))
    consumer = _consumer(network, CONSUMER, ledger, MemoryStore())
    for run in (ledger.run, consumer.run):
        nursery.start_soon(run)
    return Services(
        data=data,
        key=key_of(CONSUMER),
        genesis=GENESIS,
        network=network,
        explorer=ExplorerAccess(explorer),
        ledger=ledger,
        consumer=consumer,
        flists=None,
        pulled=None,
        chunks=None,
        host=None,
        containers_missing=lambda: "a light peer runs nothing",
        farm_text=lambda: "",
        claim_farm=refuse,
        holds_changed=lambda: None,
        peer_role=lambda _: "chosen",
        now_ms=now_ms,
        started_ms=now_ms(),
    )


def _consumer(network: Network, name: str, ledger: Ledger, store: MemoryStore) -> ConsumerService:
    parts = ConsumerParts(
        store=store, ledger=ledger, key=key_of(name), network_id=GENESIS.network, now_ms=now_ms
    )
    return ConsumerService(network, parts)


def account(name: str) -> str:
    """The account of a name, as it is written."""
    return account_of(name).hex()
