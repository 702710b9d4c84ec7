"""The joints between features: each passes on what the other side needs, and nothing else."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from p2pgrid.config import Config
from p2pgrid.errors import BadInput, StoreFailed
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.farming.hardware import Machine
from p2pgrid.farming.service import FarmingService
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.pulls import PARTIAL_PINS
from p2pgrid.flist.service import FlistService, Image, LocalFlist
from p2pgrid.limits.explorer import ANNOUNCE_INTERVAL_MS
from p2pgrid.limits.node import HELD_CHECK_SECONDS
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.flist import HOLDINGS_MAX
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import AccountId, FarmId, FlistId, NodeId
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.node import Feature, Location
from p2pgrid.net.links import Link
from p2pgrid.node_parts import (
    FARM_KEY,
    HolderSearch,
    HoldingsTeller,
    ImageSource,
    Membership,
    Station,
    location_of,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import GIB, SECOND_MS
from tests.explorer.grid import FARM, announced, farm_record, key_of, node_of
from tests.explorer.grid import FARM_KEY as FARM_SIGNING_KEY
from tests.explorer.peers import Grid, clock, open_grid
from tests.farming.test_service import MACHINE

NODE, OTHER = node_of(1), node_of(2)
FLIST = FlistId(b"f" * 32)


@dataclass
class Flists:
    """What is here, pinned or not."""

    held: list[LocalFlist] = field(default_factory=list)
    asked: list[Sequence[NodeId]] = field(default_factory=list)

    def hold(self, *flists: FlistId, pins: tuple[str, ...] = ("converted",)) -> None:
        self.held = [LocalFlist(one, 1, pins) for one in flists]

    def local(self) -> list[LocalFlist]:
        return self.held

    async def prepare(
        self, flist: FlistId, holders: Sequence[NodeId], on_progress: Callable[[Progress], None]
    ) -> Image:
        on_progress(Progress("fetch", 1, 2))
        self.asked.append(holders)
        return Image(Path("/"), ImageConfig())


@asynccontextmanager
async def telling(grid: Grid, flists: Flists) -> AsyncGenerator[HoldingsTeller]:
    """Node 1 tells what it holds."""
    explorer = grid.explorers[1]
    teller = HoldingsTeller(key_of(1), explorer, cast(FlistService, flists), clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(teller.run)
        await trio.testing.wait_all_tasks_blocked()
        yield teller
        nursery.cancel_scope.cancel()


def membership(explorer: object, store: MemoryStore | None = None, **changes: Any) -> Membership:
    return Membership(NODE, store or MemoryStore(), cast(ExplorerService, explorer), **changes)


async def test_without_a_farm_a_node_is_one_of_its_own(autojump_clock: MockClock) -> None:
    async with open_grid(1) as grid:
        alone = membership(grid.explorers[1])

        assert alone.farm == FarmId(NODE)
        assert alone.text() == NODE.hex()
        assert alone.terms() == (AccountId(NODE), 1000)


async def test_a_claimed_farm_is_durable_before_it_counts(autojump_clock: MockClock) -> None:
    class Refusing(MemoryStore):
        async def commit(self, changes: object) -> None:
            raise StoreFailed("the disk is full")

    async with open_grid(1) as grid:
        store, changes = MemoryStore(), []
        kept = membership(grid.explorers[1], store, on_change=lambda: changes.append(True))
        record = cast(FarmRecord, farm_record().record)
        await kept.claim(record)
        assert (kept.farm, store.get(FARM_KEY), changes) == (FARM, FARM, [True])

        lost = membership(grid.explorers[1], Refusing(), on_change=lambda: changes.append(True))
        with pytest.raises(StoreFailed):
            await lost.claim(record)
        assert (lost.farm, changes) == (FarmId(NODE), [True])


async def test_the_terms_are_those_of_the_farm_and_of_no_namesake(
    autojump_clock: MockClock,
) -> None:
    """Another farm may take the id of ours as its name; the money does not go there."""
    async with open_grid(1) as grid:
        explorer = grid.explorers[1]
        chosen = membership(explorer, chosen=FARM)
        assert chosen.terms() == (AccountId(FARM), 1000)

        def thief(stamp: Any) -> FarmRecord:
            return FarmRecord(
                farm=FarmId(OTHER), incarnation=stamp.incarnation, sequence=stamp.sequence,
                time_ms=stamp.time_ms, title=FARM.hex(), payout=AccountId(OTHER), location=None,
                price_permille=10_000, public_ranges=(),
            )  # fmt: skip

        await explorer.publish_next(key_of(2), thief)
        assert chosen.terms() == (AccountId(FARM), 1000)

        def own(stamp: Any) -> FarmRecord:
            return FarmRecord(
                farm=FARM, incarnation=stamp.incarnation, sequence=stamp.sequence,
                time_ms=stamp.time_ms, title="Acme", payout=AccountId(NODE), location=None,
                price_permille=800, public_ranges=(),
            )  # fmt: skip

        await explorer.publish_next(FARM_SIGNING_KEY, own)
        assert chosen.terms() == (AccountId(NODE), 800)


@dataclass
class Workloads:
    """Containers, or why not."""

    why_not: str | None = None

    def missing(self) -> str | None:
        return self.why_not


def station(explorer: ExplorerService, network: Any, workloads: Workloads) -> Station:
    return Station(
        node=NODE,
        farming=FarmingService(MACHINE, lambda: cast(Machine, None)),
        network=network,
        membership=membership(explorer),
        workloads=cast(Any, workloads),
        pricing=PricingPolicy(),
        version="1",
        config=Config(data=Path("/nowhere"), place="-33.5, -70.25, Chile"),
    )


async def test_a_station_says_and_offers_the_same(autojump_clock: MockClock) -> None:
    async with open_grid(1) as grid:
        one = station(grid.explorers[1], grid.world.networks[1], Workloads())
        one.used = lambda: Capacity(memory_bytes=GIB)
        one.hosted = lambda: 3

        facts, load, offer = one.facts(), one.load(), one.offer()

        assert offer is not None
        assert facts.features == offer.features == (Feature.CONTAINER,)
        assert facts.location == Location(
            country="Chile",
            city="",
            latitude_microdegrees=56_500_000,
            longitude_microdegrees=109_750_000,
        )
        assert facts.farm == offer.farm == FarmId(NODE)
        assert facts.price_permille == offer.price_permille
        assert facts.total.less(facts.system) == offer.capacity
        assert load.free == offer.capacity.less(Capacity(memory_bytes=GIB))
        assert load.reservations == 3


def test_a_node_says_where_it_stands_or_that_it_does_not() -> None:
    nowhere = Config(data=Path("/nowhere"))
    assert location_of(nowhere) is None
    with pytest.raises(BadInput, match="where this node stands"):
        location_of(replace(nowhere, place="0, 0, a\nb"))


async def test_without_containers_nothing_is_offered(autojump_clock: MockClock) -> None:
    async with open_grid(1) as grid:
        one = station(grid.explorers[1], grid.world.networks[1], Workloads("runc is missing"))

        assert one.offer() is None
        assert one.facts().features == ()


async def test_an_image_is_asked_of_those_who_hold_it_and_not_of_ourselves(
    autojump_clock: MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        there, here = Flists(), Flists()
        there.hold(FLIST)
        async with telling(grid, there):
            await trio.sleep(5)
            held = []
            network = grid.world.networks[2]
            source = ImageSource(
                cast(FlistService, here),
                HolderSearch(grid.explorers[2], network),
                lambda: held.append(True),
            )

            assert await source.is_reachable(FLIST)
            assert not await source.is_reachable(FlistId(b"x" * 32))
            await source.prepare(FLIST)

            assert here.asked == [[NODE]]
            assert held == [True]
            local = ImageSource(
                cast(FlistService, there),
                HolderSearch(grid.explorers[1], grid.world.networks[1]),
                lambda: None,
            )
            await local.prepare(FLIST)
            assert there.asked == [[]]
            assert await local.is_reachable(FLIST)


async def test_holders_are_reached_at_the_addresses_that_they_announce(
    autojump_clock: MockClock,
) -> None:
    @dataclass
    class Book:
        id: NodeId = OTHER
        learnt: list[tuple[NodeId, tuple[str, ...]]] = field(default_factory=list)

        def peers(self) -> tuple[NodeId, ...]:
            return ()

        def nearby(self) -> tuple[str, ...]:
            return ()

        def links(self) -> tuple[Link, ...]:
            return ()

        def learn_addresses(self, peer: NodeId, addresses: tuple[str, ...]) -> None:
            self.learnt.append((peer, addresses))

    async with open_grid(1, 2) as grid:
        there = Flists()
        there.hold(FLIST)
        await grid.publish(1)
        async with telling(grid, there):
            await trio.sleep(5)
            book = Book()
            source = ImageSource(
                cast(FlistService, Flists()),
                HolderSearch(grid.explorers[2], cast(Any, book)),
                lambda: None,
            )
            await source.prepare(FLIST)

    said: Any = announced(1).record
    assert book.learnt == [(NODE, said.addresses)]


async def test_what_is_pinned_is_told_at_once_and_when_it_changes(
    autojump_clock: MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        flists, explorer = Flists(), grid.explorers[2]
        async with telling(grid, flists) as teller:
            await trio.sleep(5)
            assert explorer.holders(FLIST) == ()

            flists.hold(FLIST, pins=())  # under way: not all of it is here
            teller.recheck()
            await trio.sleep(5)
            assert explorer.holders(FLIST) == ()

            for pin in PARTIAL_PINS:
                flists.hold(FLIST, pins=(pin,))  # it is to come, and some of it may be here
                teller.recheck()
                await trio.sleep(5)
                assert explorer.holders(FLIST) == ()

            flists.hold(FLIST)
            teller.recheck()
            await trio.sleep(5)
            assert explorer.holders(FLIST) == (NODE,)

            flists.hold()
            await trio.sleep(HELD_CHECK_SECONDS + 5)  # seen without a word, too
            assert explorer.holders(FLIST) == ()


async def test_no_more_is_told_than_fits_in_a_record(autojump_clock: MockClock) -> None:
    async with open_grid(1) as grid:
        flists = Flists()
        many = [FlistId(number.to_bytes(32, "big")) for number in range(HOLDINGS_MAX + 5)]
        flists.hold(*many)
        async with telling(grid, flists):
            told = [one for one in many if grid.explorers[1].holders(one)]

    assert told == many[:HOLDINGS_MAX]


class Disk(MemoryStore):
    """A disk that is full for a while."""

    is_full = False

    async def commit(self, changes: Any) -> None:
        if self.is_full:
            raise StoreFailed("the disk is full")
        await super().commit(changes)


async def test_a_full_disk_delays_the_word_and_does_not_end_the_node(
    autojump_clock: MockClock,
) -> None:
    async with trio.open_nursery() as nursery:
        async with open_grid() as grid:
            disk = Disk()
            disk.is_full = True
            explorer = await grid.join(1, disk)
            flists = Flists()
            flists.hold(FLIST)
            async with telling(grid, flists):
                await trio.sleep(5)
                assert explorer.holders(FLIST) == ()
                disk.is_full = False
                await trio.sleep(HELD_CHECK_SECONDS)
                assert explorer.holders(FLIST) == (NODE,)
        nursery.cancel_scope.cancel()


async def test_what_is_held_is_said_again_before_it_is_forgotten(
    autojump_clock: MockClock,
) -> None:
    async with open_grid(1) as grid:
        flists = Flists()
        flists.hold(FLIST)
        async with telling(grid, flists):
            explorer = grid.explorers[1]
            first = list(explorer.view.ids)
            await trio.sleep(ANNOUNCE_INTERVAL_MS / SECOND_MS + 2 * HELD_CHECK_SECONDS)

            assert explorer.holders(FLIST) == (NODE,)
            assert list(explorer.view.ids) != first
