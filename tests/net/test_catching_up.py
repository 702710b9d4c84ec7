"""Pulls over a network: large sets become equal, and who is slow, mute or lies delays nobody."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from p2pgrid.crdt import answerer, searches
from p2pgrid.crdt.catch_up import Rhythm
from p2pgrid.crdt.messages import Compared, Cuts, Differs, Fetch, ListIds, Records, Request
from p2pgrid.errors import MalformedRecord
from p2pgrid.limits.crdt import LIAR_BACK_OFF_MS_MIN
from p2pgrid.model.ids import NodeId
from p2pgrid.net.catching_up import CatchingUp, Tempo
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import Method, Network
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.codec import decode, encode
from tests.contracts.network_world import key
from tests.crdt.replicas import PEER, Shelf, numbered

TEMPO = Tempo(
    Rhythm(
        first_pauses_ms=(),
        pause_ms_min=10_000,
        pause_ms_max=10_000,
        at_once=2,
        same_peer_ms_min=100,
        trust_ms=60_000,
        back_off_ms_min=1000,
    ),
    pull_seconds_max=60,
    idle_seconds_max=5,
    in_vain_max=100,
)


class Store(Shelf):
    """A replica that refuses what is marked as forged."""

    async def take_pulled(self, records: tuple[bytes, ...]) -> int:
        await trio.lowlevel.checkpoint()
        if any(record.startswith(b"forged") for record in records):
            raise MalformedRecord("forged")
        before = len(self.ids)
        self.take(records)
        return len(self.ids) - before


def catching_up(network: Network, store: Store) -> CatchingUp:
    return CatchingUp(
        network,
        Method.RECONCILE_EXPLORER,
        store,
        store.take_pulled,
        tempo=TEMPO,
        random=Random(1),
    )


@asynccontextmanager
async def peers(count: int) -> AsyncGenerator[list[Network]]:
    """The first is connected to all others."""
    hub = MemoryHub(seed=1)
    async with trio.open_nursery() as nursery:

        async def hold(number: int, task_status: Any) -> None:
            async with hub.open(key(number)) as network:
                task_status.started(network)
                await trio.sleep_forever()

        networks: list[Network] = [
            await nursery.start(hold, number) for number in range(1, count + 1)
        ]
        for other in networks[1:]:
            await networks[0].connect(other.addresses()[0])
        yield networks
        nursery.cancel_scope.cancel()


async def mute(_peer: NodeId, _body: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


@pytest.mark.parametrize("shared", [0, 20_000])
async def test_large_sets_become_equal(shared: int, autojump_clock: trio.testing.MockClock) -> None:
    chosen = Random(5)
    both = [chosen.randbytes(8) for _ in range(shared)]
    stores = [Store(*both, *(chosen.randbytes(8) for _ in range(700))) for _ in range(2)]
    async with peers(2) as networks, trio.open_nursery() as nursery:
        for network, store in zip(networks, stores, strict=True):
            nursery.start_soon(catching_up(network, store).run)
        await trio.sleep(30)
        nursery.cancel_scope.cancel()
    assert len(stores[0].ids) == shared + 1400
    assert stores[0].ids.root() == stores[1].ids.root()


async def test_news_of_a_nudging_peer_comes_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mine, theirs = Store(), Store(b"1")
    async with peers(2) as networks, trio.open_nursery() as nursery:
        ours, other = (
            catching_up(network, store)
            for network, store in zip(networks, (mine, theirs), strict=True)
        )
        for one in (ours, other):
            nursery.start_soon(one.run)
        await ours.pulled.wait()
        await trio.sleep(1)
        theirs.put(b"2")
        ours.pull_soon(networks[1].id)
        ours.pull_soon(networks[0].id)
        await trio.sleep(0.5)
        assert mine.records == theirs.records
        assert set(ours.level_at_of) == {networks[1].id}
        await networks[0].disconnect(networks[1].id)
        await trio.sleep(0.5)
        assert not ours.level_at_of
        nursery.cancel_scope.cancel()


async def test_a_slow_line_has_time_for_a_long_list(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first news come long after a pull without any would end, as pages of ids come first."""
    for module in (answerer, searches):
        monkeypatch.setattr(module, "PAGE_CUTS_MAX", 30)
    mine, theirs = Store(), numbered(*range(100))

    async def answer(_peer: NodeId, body: bytes) -> bytes:
        await trio.sleep(TEMPO.idle_seconds_max * 0.4)
        return theirs.answerer.answer(PEER, body, 0)

    async with peers(2) as networks, trio.open_nursery() as nursery:
        networks[1].serve(Method.RECONCILE_EXPLORER, answer)
        nursery.start_soon(catching_up(networks[0], mine).run)
        await trio.sleep(TEMPO.idle_seconds_max * 0.4 * 6 + 1)
        assert mine.records == theirs.records
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("replays", [True, False])
async def test_who_names_what_does_not_come_is_asked_rarely(
    replays: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """He sends what we know instead, or nothing."""
    mine, fetches = Store(b"known"), 0

    async def answer(_peer: NodeId, body: bytes) -> bytes:
        nonlocal fetches
        await trio.lowlevel.checkpoint()
        match decode(Request, body).question:
            case ListIds():
                cuts = b"".join(number.to_bytes(8, "big") for number in range(20_000))
                return encode(Cuts(cuts, is_last=True))
            case Fetch():
                fetches += 1
                return encode(Records((b"known",) * 60 * replays, 60))
            case _:
                return encode(Compared(Differs(1, 1, 20_000, bytes(16))))

    async with peers(2) as networks, trio.open_nursery() as nursery:
        networks[1].serve(Method.RECONCILE_EXPLORER, answer)
        ours = catching_up(networks[0], mine)
        nursery.start_soon(ours.run)
        await trio.sleep(LIAR_BACK_OFF_MS_MIN / SECOND_MS - 1)
        assert fetches == 2  # of one pull
        assert ours.pulls == 0
        assert all(link.faults == 0 for link in networks[0].links())
        nursery.cancel_scope.cancel()


async def test_mute_peers_and_liars_delay_nobody(
    autojump_clock: trio.testing.MockClock,
) -> None:
    mine, honest, liar = Store(), Store(b"1"), Store(b"forged")
    async with peers(5) as networks, trio.open_nursery() as nursery:
        for network in networks[1:3]:
            network.serve(Method.RECONCILE_EXPLORER, mute)
        nursery.start_soon(catching_up(networks[3], liar).run)
        nursery.start_soon(catching_up(networks[4], honest).run)
        nursery.start_soon(catching_up(networks[0], mine).run)
        await trio.sleep(15)
        assert list(mine.records.values()) == [b"1"]
        faults = {link.peer: link.faults for link in networks[0].links()}
        assert 0 < faults[networks[3].id] <= 4  # the weight of one; it waits before the next pull
        assert faults[networks[1].id] == 0
        nursery.cancel_scope.cancel()
