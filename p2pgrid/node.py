"""The composition root: the only place that knows every part.

Parts are opened from the ground up and closed in reverse order. A part that
breaks ends the program, which then says why; a service manager starts it again,
and it goes on where it was.
"""

import logging
import signal
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import SystemRandom
from typing import Any

import trio
from nacl.signing import SigningKey

from p2pgrid import clock, keys
from p2pgrid.api.app import SOCKET_NAME, serve_control
from p2pgrid.api.explorer_access import ExplorerAccess
from p2pgrid.api.services import Services
from p2pgrid.chunks.exchange import open_exchange
from p2pgrid.chunks.keeper import ChunkKeeper
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.collector import keep_all
from p2pgrid.config import Config
from p2pgrid.errors import BadInput, GridError, Unusable
from p2pgrid.explorer.remote import RemoteExplorer
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.farming.service import open_machine
from p2pgrid.flist.service import FlistService
from p2pgrid.gridproxy.service import serve_gridproxy
from p2pgrid.introductions import Introductions
from p2pgrid.ledger.genesis_file import GENESIS_NAME, read_genesis, write_genesis
from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import FarmId, NodeId, short
from p2pgrid.net.discovery import Discovery
from p2pgrid.net.network import Network
from p2pgrid.node_parts import (
    FARM_KEY,
    HolderSearch,
    HoldingsTeller,
    ImageSource,
    Membership,
    PulledImages,
    Station,
    background,
    chunks_of_flist,
    image_share,
    recheck_at_changes,
    refuse_farm,
    share_left,
)
from p2pgrid.reservation.consumer import ConsumerParts, ConsumerService
from p2pgrid.reservation.seams import HostParts, Machine
from p2pgrid.reservation.service import HostService
from p2pgrid.store.directory import lock_directory
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.store.store import Store, Table
from p2pgrid.workload.service import WorkloadService, open_workloads

log = logging.getLogger(__name__)

_NETWORK_KEY = Table.META.key(b"network")


def run_node(config: Config, grid: Path | None) -> None:
    """Be a node until SIGINT or SIGTERM.

    Args:
        config: how.
        grid: a genesis file to join; None: the one in the data directory.

    Raises:
        GridError: the node cannot start, and why.
    """
    try:
        trio.run(_main, config, grid)
    except Exception as error:
        first = first_error(error)
        if isinstance(first, GridError):
            raise first from None
        log.exception("a part of the node broke")
        raise GridError(
            f"the node broke and stopped: {type(first).__name__}: {first}; "
            f"{config.data}/node.log says where"
        ) from None


def first_error(error: BaseException) -> Exception:
    """The first single error in nested groups of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


async def _main(config: Config, grid: Path | None) -> None:
    with (
        lock_directory(config.data),
        trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
    ):
        async with trio.open_nursery() as nursery:
            stops: list[Callable[[], None]] = [nursery.cancel_scope.cancel]
            nursery.start_soon(_stop_at_signal, signals, stops)
            async with open_node(config, grid) as services:
                keep_all()
                what = f"node {short(services.node)} of grid {services.genesis.name}"
                log.info("%s is up; control socket %s", what, config.data / SOCKET_NAME)
                told = trio.Event()
                stops.append(told.set)
                await told.wait()
            nursery.cancel_scope.cancel()


async def _stop_at_signal(signals: AsyncIterable[int], stops: list[Callable[[], None]]) -> None:
    """A node that is up takes its leave at the first signal; the next one ends it at once."""
    async for number in signals:
        log.info("stopping: %s", signal.Signals(number).name)
        stops[-1]()
        del stops[1:]


@asynccontextmanager
async def open_node(config: Config, grid: Path | None = None) -> AsyncGenerator[Services]:
    """Every part of a node, up during the block. Raises GridError when it cannot start."""
    key = keys.open_identity(config.data)
    genesis = _join_grid(config.data, grid)
    from p2pgrid.net.libp2p import open_libp2p  # takes seconds: refusals come before

    async with AsyncExitStack() as parts:
        state = await parts.enter_async_context(open_leveldb(config.data / "node.ldb", name="node"))
        await _remember_grid(state, genesis)
        network = await parts.enter_async_context(
            open_libp2p(
                key=key,
                listen=config.listen,
                network_id=genesis.network,
                mdns=config.mdns,
                observers=config.observers,
            )
        )
        opening = _Opening(config, key, genesis, parts, network, state)
        services = await (opening.open_light() if config.light else opening.open_full())
        discovery = opening.discovery
        explorer = services.explorer.service
        if isinstance(explorer, ExplorerService):
            witnesses = tuple(witness for witness, _ in genesis.witnesses)
            opening.runs.append(
                Introductions(network, explorer, discovery, witnesses, SystemRandom()).run
            )
        nursery = await parts.enter_async_context(background())
        for run in (*opening.runs, discovery.run):
            nursery.start_soon(run)
        if config.explorer_http is not None:
            await nursery.start(serve_gridproxy, services, config.explorer_http)
        await nursery.start(serve_control, services)
        yield services
        if isinstance(explorer, ExplorerService):  # not after an error, nor when cancelled
            await explorer.leave()


def _join_grid(data: Path, grid: Path | None) -> Genesis:
    """The grid of this node: the given one the first time, its own copy later.

    Raises:
        BadInput: no grid is known, or another than before.
    """
    own = data / GENESIS_NAME
    if not own.exists():
        if grid is None:
            raise BadInput(
                f"which grid? give --grid FILE, or put its {GENESIS_NAME} into {data}; "
                "p2pgrid grid create makes a new one"
            )
        genesis = read_genesis(grid)
        write_genesis(own, genesis)
        return genesis
    genesis = read_genesis(own)
    if grid is not None and read_genesis(grid).network != genesis.network:
        raise BadInput(
            f"{data} belongs to grid {genesis.name!r} ({short(genesis.network)}), not to that of "
            f"{grid}; use another data directory"
        )
    return genesis


async def _remember_grid(state: Store, genesis: Genesis) -> None:
    known = state.get(_NETWORK_KEY)
    if known is None:
        await state.commit([(_NETWORK_KEY, genesis.network)])
    elif known != genesis.network:
        raise Unusable(
            f"{GENESIS_NAME} is of grid {genesis.network.hex()[:8]}, but the data beside it of "
            f"{known.hex()[:8]}; put the right file back"
        )


class _Opening:
    """Opens the parts of a node, one after the other, each with what it needs from others."""

    def __init__(
        self,
        config: Config,
        key: SigningKey,
        genesis: Genesis,
        parts: AsyncExitStack,
        network: Network,
        state: Store,
    ) -> None:
        self._config = config
        self._key = key
        self._genesis = genesis
        self._parts = parts
        self._network = network
        self._state = state
        self._node = NodeId(bytes(key.verify_key))
        self.discovery = Discovery(
            network, state, peers=config.peers, seeds=genesis.seeds, random=SystemRandom()
        )
        self.runs: list[Callable[[], Awaitable[None]]] = []
        """What has to run in the background while the node is up."""

    async def open_light(self) -> Services:
        """A light peer: asks others, keeps only what is its own."""
        own = await self._store("explorer")
        explorer = RemoteExplorer(
            self._network, own, self._genesis.network, clock.now_ms, random=SystemRandom()
        )
        ledger = RemoteLedger(
            self._genesis,
            self._network,
            await self._store("ledger"),
            clock.now_ms,
            random=SystemRandom(),
        )
        self.runs.append(ledger.run)
        return self._services(
            explorer=ExplorerAccess(explorer),
            ledger=ledger,
            consumer=self._consumer(ledger),
            flists=None,
            chunks=None,
            host=None,
            containers_missing=lambda: "a light peer runs nothing",
            farm_text=lambda: "",
            claim_farm=refuse_farm,
            pulled=None,
            holds_changed=lambda: None,
        )

    async def open_full(self) -> Services:
        """A 3Node: view, ledger, chunks, images, containers."""
        explorer = ExplorerService(
            self._network,
            await self._store("explorer"),
            self._genesis.network,
            clock.now_ms,
            random=SystemRandom(),
        )
        ledger = LedgerService(
            self._genesis,
            self._network,
            await self._store("ledger"),
            self._key,
            clock.now_ms,
            random=SystemRandom(),
        )
        membership = self._membership(explorer)
        membership.on_change = explorer.recheck
        self.runs += [explorer.run, ledger.run]
        flists, keeper, teller = await self._flists(explorer)
        holders = HolderSearch(explorer, self._network)
        images = ImageSource(flists, holders, teller.recheck)
        pulled = PulledImages(flists, holders, teller.recheck)
        workloads = await self._parts.enter_async_context(
            open_workloads(self._config.data / "workloads", images, self._node)
        )
        if (missing := workloads.missing()) is not None:
            log.warning("this node offers no containers: %s", missing)
        station = await self._station(membership, workloads)
        machine = Machine(workloads=workloads, exits=workloads.exits, flists=images)
        host = self._host(ledger, machine, station)
        self.runs += [partial(explorer.announce, self._key, station), pulled.run]
        self.runs.append(partial(recheck_at_changes, host, explorer.recheck))
        return self._services(
            explorer=ExplorerAccess(explorer),
            ledger=ledger,
            consumer=self._consumer(ledger),
            flists=flists,
            chunks=keeper,
            host=host,
            containers_missing=workloads.missing,
            farm_text=membership.text,
            claim_farm=membership.claim,
            pulled=pulled,
            holds_changed=teller.recheck,
        )

    async def _station(self, membership: Membership, workloads: WorkloadService) -> Station:
        farming = await open_machine(self._config.data, share=self._config.share)
        self.runs.append(farming.run)
        return Station(
            node=self._node,
            farming=farming,
            network=self._network,
            membership=membership,
            workloads=workloads,
            pricing=self._genesis.pricing,
            version=version("p2pgrid"),
            config=self._config,
        )

    def _host(self, ledger: LedgerService, machine: Machine, station: Station) -> HostService:
        host = HostService(
            self._network,
            HostParts(
                store=self._state,
                ledger=ledger,
                machine=machine,
                key=self._key,
                network_id=self._genesis.network,
                offer=station.offer,
                now_ms=clock.now_ms,
            ),
        )
        station.used = host.used
        station.hosted = lambda: sum(not one.is_over for one in host.reservations())
        self.runs.append(host.run)
        return host

    async def _store(self, name: str) -> Store:
        return await self._parts.enter_async_context(
            open_leveldb(self._config.data / f"{name}.ldb", name=name)
        )

    def _membership(self, explorer: ExplorerService) -> Membership:
        kept = self._state.get(FARM_KEY)
        chosen = None if kept is None else FarmId(kept)
        if self._config.farm is not None:
            chosen = FarmId(bytes.fromhex(self._config.farm))
        return Membership(self._node, self._state, explorer, chosen)

    async def _flists(
        self, explorer: ExplorerService
    ) -> tuple[FlistService, ChunkKeeper, HoldingsTeller]:
        data = self._config.data
        chunks = await self._parts.enter_async_context(
            open_chunk_store(data / "chunks", await self._store("chunks"))
        )
        share = image_share(data, chunks, self._state)
        keeper = ChunkKeeper(
            chunks, chunks_of_flist, lambda: share_left(share, flists), share.free_bytes
        )
        exchange = await self._parts.enter_async_context(open_exchange(self._network, chunks))
        flists = FlistService(
            chunks,
            exchange,
            data / "images",
            share=replace(share, make_room=keeper.make_room),
        )
        await flists.recover()
        teller = HoldingsTeller(self._key, explorer, flists, clock.now_ms)
        self.runs += [teller.run, keeper.run]
        return flists, keeper, teller

    def _consumer(self, ledger: LedgerService | RemoteLedger) -> ConsumerService:
        consumer = ConsumerService(
            self._network,
            ConsumerParts(
                store=self._state,
                ledger=ledger,
                key=self._key,
                network_id=self._genesis.network,
                now_ms=clock.now_ms,
            ),
        )
        self.runs.append(consumer.run)
        return consumer

    def _services(self, **features: Any) -> Services:  # noqa: ANN401 - typed where they go
        return Services(
            data=self._config.data,
            key=self._key,
            genesis=self._genesis,
            network=self._network,
            peer_role=self.discovery.role_of,
            now_ms=clock.now_ms,
            started_ms=clock.now_ms(),
            **features,
        )
