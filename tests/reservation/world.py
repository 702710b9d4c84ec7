"""A world of one consumer and one node that can be killed at any step of theirs.

The ledger, the disks and the machine outlive the processes, as in the real
world. Every write to a disk, every payment and every start or removal of
workloads is a step, at which a process may die: just before, or just after.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from p2pgrid.errors import CannotRun, GridError, NotFound
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import FlistId, RecordId
from p2pgrid.model.node import Feature
from p2pgrid.model.workload import Workload
from p2pgrid.net.address import join_address
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Network
from p2pgrid.reservation.admission import Offer
from p2pgrid.reservation.consumer import ConsumerParts, ConsumerService
from p2pgrid.reservation.matching import Candidate
from p2pgrid.reservation.seams import HostParts, Machine
from p2pgrid.reservation.service import HostService
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change
from p2pgrid.units import GIB
from tests.reservation.fake_ledger import BALANCE, FakeLedger, LedgerAccess, now_ms
from tests.reservation.samples import (
    CONSUMER_KEY,
    FARM,
    FLIST,
    NETWORK,
    NODE,
    NODE_KEY,
    PAYOUT,
)

DISK_SECONDS = 0.03
"""Longer than a message under way: what is written while others ask shows."""
OFFER = Offer(
    farm=FARM,
    payout=PAYOUT,
    price_permille=1000,
    features=(Feature.CONTAINER,),
    capacity=Capacity(millicores=4000, memory_bytes=8 * GIB, ssd_bytes=100 * GIB),
    pricing=PricingPolicy(),
)
CANDIDATE = Candidate(
    node=NODE,
    farm=FARM,
    free=OFFER.capacity,
    features=OFFER.features,
    price_permille=OFFER.price_permille,
    age_ms=0,
    addresses=(join_address(f"/memory/{NODE.hex()}", NODE),),
)


class Process:
    """A program that can be killed at a step, and is started again a second later."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.dies_at = dies_at
        self.steps = 0
        self.deaths = 0
        self._scope = trio.CancelScope()
        self._generation = 0

    async def live(self, body: Callable[[], Awaitable[None]]) -> None:
        """Run `body` until it returns, again after each death."""
        while True:
            with trio.CancelScope() as self._scope:
                await body()
            if not self._scope.cancelled_caught:
                return
            self._generation += 1
            await trio.sleep(1)

    async def step(self) -> None:
        """Here the process may die: then this never returns, and nothing of it goes on."""
        self.steps += 1
        if self.steps == self.dies_at:
            self.deaths += 1
            self._scope.cancel()
        if self._scope.cancel_called:
            await trio.sleep_forever()

    async def do(self, work: Callable[[], None]) -> None:
        """One lasting act, with a step before and a step after it."""
        await self.step()
        work()
        await self.step()


class Disk:
    """A store whose writes are steps of a process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._store = MemoryStore()

    def get(self, key: bytes) -> bytes | None:
        return self._store.get(key)

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        return self._store.scan(prefix, after=after)

    def write(self, changes: Sequence[Change]) -> None:
        raise AssertionError("what reservations store must be durable")

    async def commit(self, changes: Sequence[Change]) -> None:
        await trio.sleep(DISK_SECONDS)
        await self._process.do(lambda: self._store.write(changes))


@dataclass(frozen=True)
class FakeExit:
    reservation: RecordId
    name: str
    exit_code: int | None


@dataclass
class FakeMachine:
    """Remembers what runs on it."""

    process: Process
    deploy_seconds: float = 3
    tear_down_seconds: float = 0.5
    fails: bool = False
    running: dict[RecordId, tuple[Workload, ...]] = field(default_factory=dict)
    log: bytes = b"hello\n"

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """A new program starts to listen for exits."""
        self.exits_in, self.exits = trio.open_memory_channel[FakeExit](16)

    async def deploy(self, reservation: RecordId, workloads: Sequence[Workload]) -> tuple[str, ...]:
        await trio.sleep(self.deploy_seconds)
        if self.fails:
            raise CannotRun("no such command")
        await self.process.do(lambda: self.running.update({reservation: tuple(workloads)}))
        return tuple(f"fd00::{number}" for number, _ in enumerate(workloads))

    async def tear_down(self, reservation: RecordId) -> None:
        await trio.sleep(self.tear_down_seconds)
        await self.process.step()
        self.running.pop(reservation, None)
        await self.process.step()

    def logs(self, reservation: RecordId, name: str, tail_bytes: int) -> bytes:
        if reservation not in self.running:
            raise NotFound("no such container")
        return self.log[-tail_bytes:]

    async def recover(
        self, keep: Mapping[RecordId, Sequence[Workload]]
    ) -> Mapping[RecordId, GridError]:
        await trio.lowlevel.checkpoint()
        for reservation in sorted(set(self.running) - set(keep)):
            del self.running[reservation]
        return {}


class FakeFlists:
    """Where images come from."""

    def __init__(self) -> None:
        self.known = {FLIST}

    async def is_reachable(self, flist: FlistId) -> bool:
        await trio.lowlevel.checkpoint()
        return flist in self.known


class World:
    """One consumer, one node, one ledger."""

    def __init__(self, *, host_dies: int | None = None, consumer_dies: int | None = None) -> None:
        self.hub = MemoryHub()
        self.ledger = FakeLedger()
        self.host_process = Process(host_dies)
        self.consumer_process = Process(consumer_dies)
        self.host_ledger = LedgerAccess(self.ledger, self.host_process.step)
        self.consumer_ledger = LedgerAccess(self.ledger, self.consumer_process.step)
        self.host_disk = Disk(self.host_process)
        self.consumer_disk = Disk(self.consumer_process)
        self.machine = FakeMachine(self.host_process)
        self.flists = FakeFlists()
        self.offer: Offer | None = OFFER
        self.host: HostService | None = None

    def host_parts(self) -> HostParts:
        return HostParts(
            store=self.host_disk,
            ledger=self.host_ledger,
            machine=Machine(workloads=self.machine, exits=self.machine.exits, flists=self.flists),
            key=NODE_KEY,
            network_id=NETWORK,
            offer=lambda: self.offer,
            now_ms=now_ms,
        )

    def consumer(self, network: Network) -> ConsumerService:
        parts = ConsumerParts(
            store=self.consumer_disk,
            ledger=self.consumer_ledger,
            key=CONSUMER_KEY,
            network_id=NETWORK,
            now_ms=now_ms,
        )
        return ConsumerService(network, parts)

    async def run_host(self) -> None:
        """The node's program, once."""
        async with self.hub.open(NODE_KEY) as network:
            self.machine.connect()
            self.host = HostService(network, self.host_parts())
            await self.host.run()

    @asynccontextmanager
    async def consuming(self) -> AsyncGenerator[ConsumerService]:
        """A consumer's program during the block."""
        async with self.hub.open(CONSUMER_KEY) as network, trio.open_nursery() as nursery:
            service = self.consumer(network)
            nursery.start_soon(service.run)
            yield service
            nursery.cancel_scope.cancel()

    async def run_consumer(self, script: Callable[[ConsumerService], Awaitable[None]]) -> None:
        """The consumer's program, once: its service in the background of a script."""
        async with self.consuming() as service:
            await script(service)

    async def play(
        self,
        script: Callable[[ConsumerService], Awaitable[None]],
        *,
        settle_seconds: float = 5,
    ) -> None:
        """Run both, each again after its death, until the script is over, and then a while."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.host_process.live, self.run_host)
            await trio.sleep(0.1)
            await self.consumer_process.live(lambda: self.run_consumer(script))
            await trio.sleep(settle_seconds)
            nursery.cancel_scope.cancel()

    def check_nothing_is_left(self) -> None:
        """Money is conserved, every deposit is closed once, nothing runs or is held."""
        assert self.ledger.total == BALANCE
        assert not self.ledger.blocked
        open_escrows = [one for one in self.ledger.escrows.values() if one.closing is None]
        assert not open_escrows
        assert self.ledger.settlements == len(self.ledger.escrows)
        assert not self.machine.running
        assert self.host is not None
        assert all(one.is_over for one in self.host.reservations())
        assert self.host.used() == Capacity()
