"""How the gossip of a peer is read: it waits when told, and others have their turn meanwhile."""

import os
import time

import pytest
import trio

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.spreading import GOSSIP_READ_MS_PER_MIB, GOSSIP_SLICE_SECONDS
from p2pgrid.net.spread_messages import Graft, Item, Push, SpreadMessage, spread_bytes
from p2pgrid.net.spread_reading import read_gossip
from p2pgrid.units import MIB
from tests.net.spread_model import TOPIC

ITEMS = tuple(Item(TOPIC, os.urandom(20)) for _ in range(100))


class Pieces:
    """A stream that brings what it was made with."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)

    async def receive_some(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._pieces.pop(0) if self._pieces else b""


async def test_a_peer_waits_for_what_its_gossip_costs(autojump_clock: object) -> None:
    heard: list[SpreadMessage] = []
    data = spread_bytes(Graft())
    costs_ms: list[float] = []

    def charge(cost_ms: float) -> float:
        costs_ms.append(cost_ms)
        return 2.0

    await read_gossip(Pieces(data[:2], data[2:] + data), heard.append, charge)

    assert heard == [Graft(), Graft()]
    assert trio.current_time() == pytest.approx(4.0)
    assert all(0 < one < 1000 for one in costs_ms)


async def test_bytes_cost_even_where_there_is_no_message(autojump_clock: object) -> None:
    costs_ms: list[float] = []
    half = spread_bytes(Push(ITEMS))[:1000]

    def charge(cost_ms: float) -> float:
        costs_ms.append(cost_ms)
        return 0.0

    await read_gossip(Pieces(half), lambda message: None, charge)

    assert costs_ms[0] >= 1000 / MIB * GOSSIP_READ_MS_PER_MIB


async def test_a_long_message_is_judged_in_slices_while_others_have_their_turn() -> None:
    """Here each slice takes as long as a turn may be."""
    turns = 0
    slices: list[int] = []

    def receive(message: SpreadMessage) -> None:
        assert isinstance(message, Push)
        slices.append(len(message.items))
        until = time.thread_time() + GOSSIP_SLICE_SECONDS
        while time.thread_time() <= until:
            pass

    async def another() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(another)
        await read_gossip(Pieces(spread_bytes(Push(ITEMS))), receive, lambda cost_ms: 0.0)
        nursery.cancel_scope.cancel()

    assert sum(slices) == len(ITEMS)
    assert max(slices) < len(ITEMS) / 4
    assert turns >= len(slices)


async def test_what_is_no_gossip_ends_it() -> None:
    with pytest.raises(BrokenProtocol):
        await read_gossip(Pieces(b"\xff" * 10), lambda message: None, lambda cost_ms: 0.0)
