"""A few peers are asked, of different networks, and others in place of those that fail."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing

from p2pgrid.errors import MalformedRecord, Refused, Unreachable
from p2pgrid.ledger.messages import StatusQuery
from p2pgrid.model.ids import NodeId
from p2pgrid.net.asking import Panel, ask_one, spread_by
from p2pgrid.net.network import Method, Network
from p2pgrid.wire.codec import encode
from tests.explorer.grid import node_of
from tests.explorer.peers import open_world

ANSWERS_MAX, TRIED_MAX = 3, 6


@asynccontextmanager
async def open_panel(peers: int, seed: int = 1) -> AsyncGenerator[Panel, None]:
    async with open_world() as world:
        for number in range(1, peers + 1):
            await world.join(number)
        yield Panel(await world.join(100), Random(seed), ANSWERS_MAX, TRIED_MAX)


async def test_as_many_answer_as_are_wanted_side_by_side(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked: set[NodeId] = set()

    async def ask(peer: NodeId) -> NodeId:
        asked.add(peer)
        await trio.sleep(1)
        return peer

    async with open_panel(8) as panel:
        began = trio.current_time()
        answers = await panel.ask(ask)
        assert trio.current_time() - began < 1.5
    assert set(answers) == asked
    assert len(answers) == ANSWERS_MAX


async def test_others_are_asked_in_place_of_those_that_fail(
    autojump_clock: trio.testing.MockClock,
) -> None:
    failed: list[NodeId] = []

    async def ask(peer: NodeId) -> NodeId:
        if len(failed) < 3:
            failed.append(peer)
            raise Refused("not today")
        return peer

    async with open_panel(8) as panel:
        answers = await panel.ask(ask)
    assert len(answers) == ANSWERS_MAX
    assert not set(answers) & set(failed)


async def test_it_ends_when_nobody_answers_and_says_what_some_gave_as_reason(
    autojump_clock: trio.testing.MockClock,
) -> None:
    asked: list[NodeId] = []

    async def refuse(peer: NodeId) -> None:
        asked.append(peer)
        raise Refused("no " * 1000)

    async with open_panel(8) as panel:
        with pytest.raises(Unreachable, match="no no no") as failure:
            await panel.ask(refuse)
    assert len(asked) == len(set(asked)) == TRIED_MAX
    assert len(str(failure.value)) < ANSWERS_MAX * 250


async def test_alone_it_says_that_nobody_is_there(autojump_clock: trio.testing.MockClock) -> None:
    async def ask(peer: NodeId) -> NodeId:
        return peer

    async with open_panel(0) as panel:
        with pytest.raises(Unreachable, match="no peer is connected"):
            await panel.ask(ask)


async def test_who_is_asked_is_a_matter_of_chance(autojump_clock: trio.testing.MockClock) -> None:
    orders = set()
    for seed in range(5):
        async with open_panel(8, seed) as panel:
            orders.add(tuple(panel.peers()))
    assert len(orders) > 1


def test_peers_of_different_networks_are_asked_first() -> None:
    peers = [node_of(number) for number in range(1, 9)]
    crowd = dict.fromkeys(peers, "10.1.")
    assert spread_by(crowd.__getitem__, peers) == peers
    mixed = {**crowd, peers[6]: "10.2.", peers[7]: "10.3."}
    assert spread_by(mixed.__getitem__, peers) == [peers[0], *peers[6:], *peers[1:6]]


@asynccontextmanager
async def open_answering(
    answer: bytes, *, seconds: float = 0.0
) -> AsyncGenerator[tuple[Network, list[NodeId]], None]:
    """Our network, and whom it blamed; peer 1 gives this answer after so long."""

    async def answering(_peer: NodeId, body: bytes) -> bytes:
        assert body == b"question"
        await trio.sleep(seconds)
        return answer

    async with open_world() as world:
        (await world.join(1)).serve(Method.LEDGER_STATUS, answering)
        network = await world.join(100)
        blamed: list[NodeId] = []
        network.blame = blamed.append  # type: ignore[assignment, method-assign]  # to see it
        yield network, blamed


async def test_one_peer_is_asked_and_its_answer_read(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_answering(encode(StatusQuery())) as (network, blamed):
        method = Method.LEDGER_STATUS
        told = await ask_one(network, node_of(1), method, b"question", StatusQuery, 5)
        assert (told, blamed) == (StatusQuery(), [])


async def test_what_is_no_answer_or_too_long_is_held_against_the_peer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    method = Method.LEDGER_STATUS
    for answer, bytes_max in ((b"nonsense", 100), (encode(StatusQuery()), 0)):
        async with open_answering(answer) as (network, blamed):
            with pytest.raises(MalformedRecord):
                await ask_one(network, node_of(1), method, b"question", StatusQuery, 5, bytes_max)
            assert blamed == [node_of(1)]


async def test_nobody_waits_longer_for_one_than_was_said(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_answering(b"", seconds=60) as (network, blamed):
        began = trio.current_time()
        with pytest.raises(Unreachable, match="no answer within 5 s"):
            await ask_one(network, node_of(1), Method.LEDGER_STATUS, b"question", StatusQuery, 5)
        assert trio.current_time() - began < 5.5
        assert blamed == []
