"""Joints between features: each gives one feature what it needs from others, and nothing more."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from pathlib import Path
from random import Random, SystemRandom

import trio
from nacl.signing import SigningKey

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.config import Config, parse_place
from p2pgrid.errors import BadInput, GridError, InvalidRecord, PeerError
from p2pgrid.explorer.announce import Load, NodeFacts, Stamp
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.farming.capacity import cache_bytes
from p2pgrid.farming.service import FarmingService
from p2pgrid.flist.fetching import OnProgress, Progress
from p2pgrid.flist.fl_reader import decode_flist
from p2pgrid.flist.pulls import Pulled
from p2pgrid.flist.service import FlistService, Image
from p2pgrid.flist.tree import chunk_ids
from p2pgrid.flist.tree_room import DiskShare
from p2pgrid.limits.explorer import ANNOUNCE_INTERVAL_MS
from p2pgrid.limits.node import (
    HELD_CHECK_SECONDS,
    NEAR_HOLDERS_MAX,
    RESUME_SECONDS,
    RESUME_SECONDS_MAX,
)
from p2pgrid.limits.reservation import RESERVATION_BYTES_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.flist import HOLDINGS_MAX, Holdings
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import AccountId, ChunkId, FarmId, FlistId, NodeId, short
from p2pgrid.model.node import Feature, Location
from p2pgrid.model.reservation import Phase
from p2pgrid.model.workload import Container
from p2pgrid.net.address import split_address
from p2pgrid.net.network import Network
from p2pgrid.net.prefix import is_private_host
from p2pgrid.reservation.admission import Offer
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.service import HostService
from p2pgrid.store.store import Store, Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode
from p2pgrid.workload.service import WorkloadService

log = logging.getLogger(__name__)

FARM_KEY = Table.META.key(b"farm")
_MICRO = 1_000_000


@dataclass
class Membership:
    """The farm that this node claims; without one it is a farm of its own."""

    node: NodeId
    store: Store
    explorer: ExplorerService
    chosen: FarmId | None = None
    on_change: Callable[[], None] = field(default=lambda: None)

    @property
    def farm(self) -> FarmId:
        """Who the node works for."""
        return FarmId(self.node) if self.chosen is None else self.chosen

    def text(self) -> str:
        """The farm's id in hex."""
        return self.farm.hex()

    async def claim(self, record: FarmRecord) -> None:
        """Belong to this farm from now on."""
        await self.store.commit([(FARM_KEY, record.farm)])
        self.chosen = record.farm
        self.on_change()

    def terms(self) -> tuple[AccountId, int]:
        """(where the money goes, price factor in permille), as the farm says by its record."""
        for one in self.explorer.farms(self.farm.hex()):
            return one.payout, one.price_permille
        return AccountId(self.farm), 1000


def location_of(config: Config) -> Location | None:
    """Where an operator says that the node stands. Raises BadInput for names that are none."""
    if config.place is None:
        return None
    north, east, country, city = parse_place(config.place)
    try:
        return Location(
            country=country,
            city=city,
            latitude_microdegrees=round((north + 90) * _MICRO),
            longitude_microdegrees=round((east + 180) * _MICRO),
        )
    except InvalidRecord as error:
        raise BadInput(f"where this node stands: {error}") from error


@dataclass
class Station:
    """What this node has, says and offers."""

    node: NodeId
    farming: FarmingService
    network: Network
    membership: Membership
    workloads: WorkloadService
    pricing: PricingPolicy
    version: str
    config: Config
    used: Callable[[], Capacity] = field(default=Capacity)
    hosted: Callable[[], int] = field(default=lambda: 0)

    def __post_init__(self) -> None:
        self._location = location_of(self.config)

    def _features(self) -> tuple[Feature, ...]:
        return (Feature.CONTAINER,) if self.workloads.missing() is None else ()

    def facts(self) -> NodeFacts:
        """What goes into the announcement."""
        _, price_permille = self.membership.terms()
        return NodeFacts(
            node=self.node,
            farm=self.membership.farm,
            total=self.farming.machine.total,
            system=self.farming.machine.system,
            addresses=self.network.addresses(),
            features=self._features(),
            hardware=self.farming.machine.hardware,
            boot_ms=self.farming.machine.boot_ms,
            version=self.version,
            price_permille=price_permille,
            location=self._location,
        )

    def load(self) -> Load:
        """What is free now."""
        return Load(self.farming.free(self.used()), self.hosted())

    def offer(self) -> Offer | None:
        """What reservations may take, and for what."""
        if not self._features():
            return None
        payout, price_permille = self.membership.terms()
        return Offer(
            farm=self.membership.farm,
            payout=payout,
            price_permille=price_permille,
            features=self._features(),
            capacity=self.farming.machine.total.less(self.farming.machine.system),
            pricing=self.pricing,
        )


@dataclass
class HolderSearch:
    """Whom to ask for an image, and where they are."""

    explorer: ExplorerService
    network: Network
    random: Random = field(default_factory=SystemRandom)

    def of(self, flist: FlistId) -> list[NodeId]:
        """Who says that it holds an flist, which anybody may say, in the order to be asked.

        First some on our own local network. Then by turns one that we are connected to, one
        whose farm confirms it, one of the rest, each at random: who wants to keep an image
        from us has to be most of all three.
        """
        connected, near = set(self.network.peers()), self._near()
        groups: tuple[list[NodeId], ...] = ([], [], [], [])
        for holder in self.explorer.holders(flist):
            if holder == self.network.id:
                continue
            known = self.explorer.node(holder)
            if known is not None:
                self.network.learn_addresses(holder, known.addresses)
            is_confirmed = known is not None and known.is_confirmed
            is_near = holder in near and len(groups[0]) < NEAR_HOLDERS_MAX
            place = 0 if is_near else 1 if holder in connected else 2 if is_confirmed else 3
            groups[place].append(holder)
        for group in groups:
            self.random.shuffle(group)
        turns = zip_longest(*groups[1:])
        return [*groups[0], *(holder for turn in turns for holder in turn if holder is not None)]

    def _near(self) -> set[NodeId]:
        """Nodes of the local network: seen there, or connected from a private address."""
        seen = {split_address(address)[1] for address in self.network.nearby()}
        return seen | {link.peer for link in self.network.links() if is_private_host(link.host)}


@dataclass
class ImageSource:
    """Images for containers, from peers that hold them; knows whether there are any."""

    flists: FlistService
    holders: HolderSearch
    on_held: Callable[[], None]

    async def prepare(self, flist: FlistId) -> Image:
        """Bring an image here and unpack it. Raises GridError."""
        image = await self.flists.prepare(flist, self.holders.of(flist), partial(_log, flist))
        self.on_held()
        return image

    async def is_reachable(self, flist: FlistId) -> bool:
        """Whether it is here, or a node says that it holds all of it."""
        await trio.lowlevel.checkpoint()
        is_here = any(one.flist == flist and one.is_whole for one in self.flists.local())
        return is_here or bool(self.holders.of(flist))


@dataclass
class PulledImages:
    """Images that people asked for: brought here, and gone on with after a restart."""

    flists: FlistService
    holders: HolderSearch
    on_held: Callable[[], None]

    async def pull(self, flist: FlistId, on_progress: OnProgress, *, is_seeded: bool) -> Pulled:
        """Bring all of an image here; wanted no more when that fails. Raises GridError."""
        pulls, holders = self.flists.pulls, self.holders.of(flist)
        try:
            pulled = await pulls.pull(flist, holders, on_progress, is_seeded=is_seeded)
        except GridError as error:
            failure = error
        else:
            self.on_held()
            return pulled
        await pulls.abandon(flist)
        raise failure

    def holders_of(self, flist: FlistId) -> Sequence[NodeId]:
        """Whom to ask for an image, the best first."""
        return self.holders.of(flist)

    async def stop(self, flist: FlistId) -> bool:
        """Seed it no more; gives whether it was seeded or to be. Raises StoreFailed."""
        was_wanted = await self.flists.pulls.give_up(flist)
        self.on_held()
        return was_wanted

    async def run(self) -> None:
        """Go on with what a restart interrupted."""
        async with trio.open_nursery() as nursery:
            for flist, is_seeded in self.flists.pulls.unfinished().items():
                nursery.start_soon(self._resume, flist, is_seeded)

    async def _resume(self, flist: FlistId, is_seeded: bool) -> None:  # noqa: FBT001 - a task
        pulls, pause_seconds = self.flists.pulls, RESUME_SECONDS
        while pulls.is_wanted(flist):
            try:
                await pulls.pull(
                    flist, self.holders.of(flist), partial(_log, flist), is_seeded=is_seeded
                )
            except GridError as error:
                log.warning("flist %s is not here yet: %s", short(flist), error)
                await trio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, RESUME_SECONDS_MAX)
        self.on_held()


async def refuse_farm(_: FarmRecord) -> None:
    """What a light peer says to who wants it in a farm. Raises BadInput."""
    raise BadInput("a light peer belongs to no farm")


async def recheck_at_changes(host: HostService, recheck: Callable[[], None]) -> None:
    """Have the node look again whenever reservations take more or less of it."""
    async for _ in host.used_changes:
        recheck()


def image_share(data: Path, chunks: ChunkStore, state: Store) -> DiskShare:
    """What images may take of the disk of a data directory.

    Args:
        data: the data directory.
        chunks: what is kept of images as chunks; it counts as usable, like the trees.
        state: where hosted reservations are kept: what they run on is in use, also before
            they are taken up after a start.
    """

    def free_bytes() -> int:
        disk = os.statvfs(data)
        return disk.f_bavail * disk.f_frsize

    def budget_bytes(tree_bytes: int) -> int:
        return cache_bytes(free_bytes() + tree_bytes + chunks.usage().pack_bytes)

    return DiskShare(budget_bytes, free_bytes, partial(flists_in_use, state))


def share_left(share: DiskShare, flists: FlistService) -> int:
    """What chunks may take of the disk share of images: all that unpacked trees leave of it."""
    tree_bytes = flists.tree_bytes()
    return share.budget_bytes(tree_bytes) - tree_bytes


def chunks_of_flist(data: bytes) -> list[ChunkId]:
    """The chunks that a `.fl` file names. Raises BadImage."""
    return chunk_ids(decode_flist(data).root)


def flists_in_use(state: Store) -> frozenset[FlistId]:
    """The images of all reservations that were paid and are not over, as stored."""
    used: set[FlistId] = set()
    for key, value in state.scan(Table.HOSTED):
        try:
            one = decode(Reservation, value, bytes_max=RESERVATION_BYTES_MAX)
        except PeerError as error:
            log.warning("a stored reservation is unreadable, %s: %s", key.hex(), error)
            continue
        if not one.is_over and one.phase is not Phase.QUOTED:
            used |= {w.flist for w in one.request.workloads if isinstance(w, Container)}
    return frozenset(used)


class HoldingsTeller:
    """Keeps the grid informed about which flists this node can serve whole.

    An flist counts once it is pinned as a whole: then every chunk of it is here.
    """

    def __init__(
        self,
        key: SigningKey,
        explorer: ExplorerService,
        flists: FlistService,
        now_ms: Callable[[], TimestampMs],
    ) -> None:
        self._key = key
        self._now_ms = now_ms
        self._explorer = explorer
        self._flists = flists
        self._recheck = trio.Event()

    def recheck(self) -> None:
        """Say that an flist came or went."""
        self._recheck.set()

    async def run(self) -> None:
        """Look and tell until cancelled."""
        told: tuple[FlistId, ...] = ()
        told_ms = self._now_ms()
        node = NodeId(bytes(self._key.verify_key))
        while True:
            self._recheck = trio.Event()  # before looking, so that no word is lost
            held = tuple(sorted(one.flist for one in self._flists.local() if one.is_whole))
            held = held[:HOLDINGS_MAX]
            if held != told or (held and self._now_ms() > told_ms + ANNOUNCE_INTERVAL_MS):
                try:
                    await self._explorer.publish_next(self._key, partial(_holdings, node, held))
                    told, told_ms = held, self._now_ms()
                except GridError as error:
                    log.warning("cannot tell what is held here: %s", error)
            with trio.move_on_after(HELD_CHECK_SECONDS):
                await self._recheck.wait()


def _holdings(node: NodeId, held: tuple[FlistId, ...], stamp: Stamp) -> Holdings:
    return Holdings(
        node=node,
        incarnation=stamp.incarnation,
        sequence=stamp.sequence,
        time_ms=stamp.time_ms,
        flists=held,
    )


def _log(flist: FlistId, progress: Progress) -> None:
    log.debug(
        "flist %s: %s %d of %d bytes",
        short(flist), progress.phase, progress.done_bytes, progress.total_bytes,
    )  # fmt: skip


@asynccontextmanager
async def background() -> AsyncGenerator[trio.Nursery]:
    """Background tasks; entered last, so that they end before what they use is closed."""
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        finally:
            nursery.cancel_scope.cancel()
