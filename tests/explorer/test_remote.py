"""A light peer gets what its peers together know, and sees when they do not agree."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random

import pytest
import trio
import trio.testing

from p2pgrid.crdt.register import Contradiction
from p2pgrid.errors import Refused, Unreachable
from p2pgrid.explorer import questions
from p2pgrid.explorer.announce import announcement_of
from p2pgrid.explorer.query import NodeFilter, NodeSort, NodeView
from p2pgrid.explorer.questions import Page
from p2pgrid.explorer.records import ExplorerRecord, envelope_of, verify_record
from p2pgrid.explorer.remote import RemoteExplorer
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.limits.explorer import QUERY_PAGES_MAX, QUERY_PEERS
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.net.network import Method, Topic
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import Signed
from tests.explorer.grid import (
    GRID,
    NOW,
    announced,
    facts,
    farm_members,
    farm_record,
    flist_name,
    holdings,
    key_of,
    node_of,
    updated,
)
from tests.explorer.peers import World, open_world

FLIST = FlistId(b"\x05" * 32)
EVERYTHING = [
    *(announced(number) for number in range(1, 5)),
    updated(1, Capacity(millicores=7000)),
    updated(2, Capacity(millicores=100)),
    farm_record(),
    farm_members(1),
    flist_name(1, "web", FLIST),
    holdings(2, FLIST),
]


def clock() -> TimestampMs:
    return TimestampMs(NOW + 5000)


@asynccontextmanager
async def open_light(
    *known: list[Signed[ExplorerRecord]], store: MemoryStore | None = None
) -> AsyncGenerator[tuple[RemoteExplorer, World, list[ExplorerService]], None]:
    """A light peer, and one full peer for each list of records. Full peers do not exchange."""
    full = []
    async with open_world() as world, trio.open_nursery() as nursery:
        for number, records in enumerate(known, start=1):
            network = await world.join(number)
            world.networks.clear()
            service = ExplorerService(network, MemoryStore(), GRID, clock, random=Random(number))
            nursery.start_soon(service.run)
            for signed in records:
                await service.publish(signed)
            full.append((network, service))
        network = await world.join(99)
        for other, _ in full:
            await network.connect(other.addresses()[0])
        light = RemoteExplorer(network, store or MemoryStore(), GRID, clock, random=Random(1))
        yield light, world, [service for _, service in full]
        nursery.cancel_scope.cancel()


def said(rows: tuple[NodeView, ...]) -> tuple[NodeView, ...]:
    """Without what was measured: it is the asker's own."""
    return tuple(replace(row, round_trip_us=None) for row in rows)


def verified(envelope: bytes) -> Signed[ExplorerRecord]:
    signed = verify_record(envelope, GRID)
    assert signed is not None
    return signed


async def serve_lies(world: World, number: int, answer: bytes) -> None:
    async def lie(_peer: NodeId, _body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return answer

    (await world.join(number)).serve(Method.EXPLORER_QUERY, lie)


async def test_every_query_gives_what_a_full_peer_sees(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light(EVERYTHING, EVERYTHING, EVERYTHING, EVERYTHING) as (light, _, full):
        wanted = NodeFilter(free=Capacity(millicores=1000))
        found = await light.nodes(wanted, sort=NodeSort.CORES)
        assert said(found.rows) == full[0].nodes(wanted, sort=NodeSort.CORES)
        assert (found.asked, found.agreed, found.youngest_age_ms) == (3, 3, 5000)
        assert said((await light.nodes(limit=2)).rows) == full[0].nodes(limit=2)
        found_one = await light.node(node_of(1))
        assert found_one is not None
        assert said((found_one,)) == (full[0].node(node_of(1)),)
        assert (await light.farms("acme")).rows == full[0].farms()
        assert (await light.flist_names()).rows == full[0].flist_names()
        assert (await light.holders(FLIST)).rows == full[0].holders(FLIST)


async def test_what_one_withholds_another_tells_and_it_shows(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light(EVERYTHING, EVERYTHING[:1], []) as (light, _, full):
        found = await light.nodes()
        assert said(found.rows) == full[0].nodes()
        assert (found.asked, found.agreed) == (3, 1)


async def test_of_two_versions_the_newer_counts(autojump_clock: trio.testing.MockClock) -> None:
    old = [announced(1), updated(1, Capacity(millicores=9))]
    new = [announced(1), updated(1, Capacity(millicores=5), sequence=1)]
    async with open_light(old, new) as (light, _, _full):
        found = await light.nodes()
        assert [row.free.millicores for row in found.rows] == [5]
        assert found.agreed == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage",
        encode(Page((b"garbage",), 1)),
        encode(Page((announced(7).envelope[:-1] + b"\xff",), 1)),
        encode(Page((), 0, 5)),
        encode(Page((b"",) * 1001, 1)),
    ],
)
async def test_liars_are_left_out(answer: bytes, autojump_clock: trio.testing.MockClock) -> None:
    async with open_light(EVERYTHING) as (light, world, full):
        for number in (50, 51, 52):
            await serve_lies(world, number, answer)
        found = await light.nodes()
        assert said(found.rows) == full[0].nodes()
        assert (found.asked, found.agreed) == (1, 1)


async def test_proofs_come_with_the_rows_of_those_who_lie(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Two peers heard a different half of the lie each, and a third both."""
    lie, farms_lie = announced(1, version="other"), farm_record("Other")
    halves = [EVERYTHING, [*EVERYTHING[1:], lie]]
    async with open_light(*halves, EVERYTHING) as (light, _, full):
        for told in (lie, farms_lie):
            full[2].judge(Topic.CAPACITY, node_of(66), told.envelope)
        found = await light.nodes()
        assert {row.node for row in found.rows if row.is_contradicted} == {node_of(1)}
        assert all(row.is_farm_contradicted for row in found.rows)
        assert found.agreed == 1
        honest = await light.nodes(NodeFilter(is_contradicted=False))
        assert (honest.rows, honest.total) == ((), 0)
        assert [farm.is_contradicted for farm in (await light.farms()).rows] == [True]
        assert (await light.flist_names()).rows != ()


async def test_a_forged_proof_is_the_fault_of_its_sender(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light(EVERYTHING) as (light, world, _):
        one, other = (announced(7, version=version).envelope for version in "12")
        pairs = sorted((one, other), key=lambda it: verified(it).id)
        forged = Contradiction(pairs[0], pairs[1][:-1] + bytes([pairs[1][-1] ^ 1]))
        await serve_lies(world, 50, encode(Page((one, envelope_of(forged)), 1)))
        found = await light.nodes()
        assert found.asked == 1
        assert node_of(7) not in {row.node for row in found.rows}


async def test_near_is_who_is_near_to_the_asker(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Not to those who are asked: of these two, each is as far from itself as from nobody."""
    async with open_light(EVERYTHING, EVERYTHING[1:2]) as (light, _, _full):
        page = await light.page(cut=Cut(NodeSort.LATENCY, limit=2))
        assert {row.node for row in page.rows} == {node_of(1), node_of(2)}
        assert {row.round_trip_us for row in page.rows} == {20_000}
        assert (page.total, page.is_total_exact) == (4, True)
        last = await light.page(cut=Cut(NodeSort.LATENCY, is_reversed=True, limit=2))
        assert {row.round_trip_us for row in last.rows} == {None}


async def test_a_total_is_exact_or_told_to_be_the_word_of_peers(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "QUERY_ROWS_MAX", 2)
    async with open_light(EVERYTHING, EVERYTHING[:3], EVERYTHING) as (light, world, _):
        whole = await light.page(cut=Cut(NodeSort.ID, skip=1))
        assert (len(whole.rows), whole.total, whole.is_total_exact) == (3, 4, True)
        page = await light.page(cut=Cut(NodeSort.ID, limit=1))
        assert (len(page.rows), page.total, page.is_total_exact) == (1, 4, False)
    boast = encode(Page((announced(7).envelope,), 1, 10**9))
    async with open_light(EVERYTHING, EVERYTHING) as (light, world, _):
        await serve_lies(world, 50, boast)
        page = await light.page(cut=Cut(NodeSort.ID, limit=1))
        assert (page.asked, page.total) == (3, 4)


async def test_stale_answers_are_left_out(autojump_clock: trio.testing.MockClock) -> None:
    async with open_light(EVERYTHING) as (light, world, _):
        stale = [announced(7, time_ms=1).envelope, announced(8, time_ms=NOW * 2).envelope]
        await serve_lies(world, 50, encode(Page(tuple(stale), 2)))
        found = await light.nodes()
        assert {row.node for row in found.rows} == {node_of(number) for number in range(1, 5)}


async def test_a_peer_with_endless_pages_is_left_after_some(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light() as (light, world, _):
        await serve_lies(world, 50, encode(Page((announced(7).envelope,), 1, 10**9)))
        started = trio.current_time()
        found = await light.nodes()
        assert len(found.rows) == 1
        assert trio.current_time() - started < 0.05 * QUERY_PAGES_MAX


async def test_a_mute_peer_holds_up_nothing_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light(EVERYTHING) as (light, world, full):

        async def wait(_peer: NodeId, _body: bytes) -> bytes:
            await trio.sleep_forever()

        (await world.join(50)).serve(Method.EXPLORER_QUERY, wait)
        with trio.fail_after(15):
            found = await light.nodes()
        assert said(found.rows) == full[0].nodes()


async def test_three_are_asked_also_of_many(autojump_clock: trio.testing.MockClock) -> None:
    async with open_light(*[EVERYTHING] * 6) as (light, _, _full):
        assert (await light.farms()).asked == QUERY_PEERS


async def test_a_network_full_of_peers_is_one_voice(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_light(*[[]] * 6, EVERYTHING, EVERYTHING) as (light, _, full):
        of_crowd = {node_of(number): "crowd" for number in range(1, 7)}
        monkeypatch.setattr(
            light._network, "prefix_of_peer", lambda peer: of_crowd.get(peer, peer.hex())
        )
        for _ in range(10):
            found = await light.nodes()
            assert said(found.rows) == full[-1].nodes()
            assert (found.asked, found.agreed) == (3, 2)


async def test_without_peers_it_says_so(autojump_clock: trio.testing.MockClock) -> None:
    async with open_light() as (light, world, _):
        with pytest.raises(Unreachable, match="no peer is connected"):
            await light.nodes()
        await world.join(50)
        with pytest.raises(Unreachable, match="not served"):
            await light.nodes()


async def test_a_light_peer_publishes_through_its_peers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore()
    async with open_light([], [], store=store) as (light, _, full):
        signed = await light.publish_next(key_of(9), lambda stamp: announcement_of(facts(9), stamp))
        assert all(service.view.record(signed.id) for service in full)
        await light.publish(farm_record())
        with pytest.raises(Refused):
            await light.publish(farm_record())
    async with open_light([], store=store) as (light, _, full):
        again = await light.publish_next(key_of(9), lambda stamp: announcement_of(facts(9), stamp))
        assert again.record.incarnation > signed.record.incarnation
        assert full[0].node(node_of(9)) is not None


async def test_a_record_that_peers_refuse_is_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_light([farm_record(sequence=5)]) as (light, _, _full):
        with pytest.raises(Refused):
            await light.publish(farm_record(sequence=4))


async def test_with_nobody_there_the_record_stays_for_later(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore()
    async with open_light(store=store) as (light, _, _full):
        with pytest.raises(Unreachable):
            await light.publish(farm_record())
    assert len(list(store.scan(b"r"))) == 1
