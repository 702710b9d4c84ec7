"""Requests wait for their budget, their turn and room; nobody's waiting stops anybody else."""

import trio
import trio.testing

from p2pgrid.limits.net import (
    HEAVY_REQUESTS_AT_ONCE,
    MODEST_BURST_MS,
    PEER_BURST_MS,
    PREFIX_BURST_MS,
    REQUEST_BYTES_PER_PEER_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.desk import Desk
from p2pgrid.net.fairness import cost_ms
from p2pgrid.net.network import Method

GREEDY, MODEST = NodeId(b"g" * 32), NodeId(b"m" * 32)
QUERY = Method.EXPLORER_QUERY


def desk() -> Desk:
    return Desk(lambda peer: "10.0.0.0/16")


async def ask(where: Desk, peer: NodeId, done: list[float], seconds: float = 0.02) -> None:
    async with where.turn(peer, QUERY):
        await trio.sleep(seconds)
    done.append(trio.current_time())


async def test_a_greedy_peer_waits_and_a_modest_one_does_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where, greedy, modest = desk(), list[float](), list[float]()
    count = int(2 * PEER_BURST_MS / cost_ms(QUERY))
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(ask, where, GREEDY, greedy)
        await trio.sleep(0.1)
        asked_at = trio.current_time()
        await ask(where, MODEST, modest)

        assert modest[0] - asked_at < 0.1
    assert len(greedy) == count
    assert max(greedy) > 5


async def test_heavy_requests_take_turns_and_light_ones_do_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where, done = desk(), list[float]()
    async with trio.open_nursery() as nursery:
        for _ in range(3 * HEAVY_REQUESTS_AT_ONCE):
            nursery.start_soon(ask, where, GREEDY, done, 1.0)
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(0.1):
            async with where.turn(GREEDY, Method.PEERS):
                assert done == []
    ends = sorted(round(one - done[0], 3) for one in done)

    assert ends == [turn for turn in (0, 1, 2) for _ in range(HEAVY_REQUESTS_AT_ONCE)]


async def test_one_that_is_cancelled_leaves_its_place(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where, done = desk(), list[float]()
    async with trio.open_nursery() as nursery:
        for _ in range(3 * HEAVY_REQUESTS_AT_ONCE):
            nursery.start_soon(ask, where, GREEDY, done, 1000.0)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await ask(where, MODEST, done)

    assert len(done) == 1


async def test_what_a_peer_sends_beyond_its_room_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where, waited = desk(), trio.Event()

    async def send_more() -> None:
        await where.make_room(GREEDY, 10)
        waited.set()

    await where.make_room(GREEDY, REQUEST_BYTES_PER_PEER_MAX)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_more)
        await trio.testing.wait_all_tasks_blocked()
        assert not waited.is_set()
        await where.make_room(MODEST, 10)
        where.give_back(GREEDY, REQUEST_BYTES_PER_PEER_MAX)
        await waited.wait()


async def test_many_keys_of_one_prefix_wait_for_each_other(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And not for those of another."""
    crowd = [NodeId(bytes([number]) * 32) for number in range(1, 21)]
    where, done = Desk(lambda peer: "crowd" if peer in crowd else peer.hex()), list[float]()
    asked = int(2 * PREFIX_BURST_MS / cost_ms(QUERY) / len(crowd))
    async with trio.open_nursery() as nursery:
        for who in crowd * asked:
            nursery.start_soon(ask, where, who, done, 0.0)
        await trio.sleep(0.1)
        asked_at = trio.current_time()
        for _ in range(int(2 * MODEST_BURST_MS / cost_ms(QUERY))):
            await ask(where, MODEST, [], 0.0)
        assert trio.current_time() - asked_at < 1
    assert max(done) > 5


async def test_nothing_is_kept_of_those_who_had_their_turn(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where, done = desk(), list[float]()
    for _ in range(3):
        await ask(where, MODEST, done)
    assert where._called == {}


async def test_what_takes_more_than_the_rule_is_paid_by_what_the_peer_asks_next(
    autojump_clock: trio.testing.MockClock,
) -> None:
    where = desk()

    async def ask_for_much(peer: NodeId, taken_ms: float) -> float:
        asked_at = trio.current_time()
        async with where.turn(peer, QUERY) as meter:
            waited = trio.current_time() - asked_at
            meter.ms += taken_ms
        return waited

    count = int(PEER_BURST_MS / 300)
    assert [await ask_for_much(GREEDY, 300) for _ in range(count)] == [0] * count
    assert await ask_for_much(GREEDY, 0) > 0
    assert await ask_for_much(MODEST, 0) == 0


async def test_no_single_request_uses_up_a_budget(autojump_clock: trio.testing.MockClock) -> None:
    """Columns that the first query after a start waits for are for everybody."""
    where = desk()
    async with where.turn(MODEST, QUERY) as meter:
        meter.ms += 10 * PEER_BURST_MS
    with trio.fail_after(0.001):
        async with where.turn(MODEST, QUERY):
            await trio.lowlevel.checkpoint()
