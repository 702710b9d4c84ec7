"""Asking much costs the asker time, and nobody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits.net import (
    BUDGETS_MAX,
    HEAVY_MS_MIN,
    HEAVY_REQUESTS_AT_ONCE,
    MODEST_BURST_MS,
    MODEST_MS_PER_SECOND,
    PEER_BURST_MS,
    PEER_MS_PER_SECOND,
    PREFIX_BURST_MS,
    PREFIX_MS_PER_SECOND,
    REQUEST_BODY_BYTES_MAX,
    REQUEST_BYTES_MAX,
    REQUEST_BYTES_PER_PEER_MAX,
)
from p2pgrid.limits.spreading import GOSSIP_PEER_BURST_MS, GOSSIP_PEER_MS_PER_SECOND
from p2pgrid.model.ids import NodeId
from p2pgrid.net import fairness
from p2pgrid.net.fairness import GOSSIP_ALLOWANCES, Budgets, Room, Turns, cost_ms, is_heavy
from p2pgrid.net.network import Method

QUERY = Method.EXPLORER_QUERY


def peer(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


# --- budgets ------------------------------------------------------------------------------------


def test_every_method_has_a_cost_and_the_heavy_ones_take_turns() -> None:
    assert all(cost_ms(method) > 0 for method in Method)
    assert {method for method in Method if is_heavy(method)} == {
        Method.RECONCILE_EXPLORER,
        Method.RECONCILE_LEDGER,
        Method.EXPLORER_QUERY,
        Method.LEDGER_HISTORY,
        Method.LEDGER_EVIDENCE,
        Method.RESERVATION_LOGS,
    }
    assert cost_ms(QUERY) > HEAVY_MS_MIN > cost_ms("unknown")


def test_a_burst_is_free_and_a_stream_is_not() -> None:
    budgets = Budgets()
    free = sum(not budgets.delay_seconds(peer(1), "p", QUERY, 0.0) for _ in range(1000))

    assert free == PEER_BURST_MS // cost_ms(QUERY)


def test_gossip_is_counted_by_what_it_cost_and_has_less_at_once() -> None:
    budgets = Budgets(GOSSIP_ALLOWANCES)

    assert not budgets.charge(peer(1), "p", GOSSIP_PEER_BURST_MS, 0.0)
    assert budgets.charge(peer(1), "p", GOSSIP_PEER_MS_PER_SECOND, 0.0) == 1.0
    others = [budgets.charge(peer(number), "p", 500.0, 0.0) for number in range(2, 8)]
    assert others[0] == 0.0
    assert others[-1] > 0  # the prefix has used up its own
    assert not budgets.charge(peer(99), "q", 500.0, 0.0)


@given(st.lists(st.floats(0, 0.2), min_size=50, max_size=400))
def test_whoever_waits_as_told_uses_no_more_than_his_share(pauses: list[float]) -> None:
    budgets, now, served = Budgets(), 0.0, 0
    for pause in pauses:
        now += pause
        now += budgets.delay_seconds(peer(1), "p", QUERY, now)
        served += 1

    used = served * cost_ms(QUERY)
    assert used <= PEER_BURST_MS + now * PEER_MS_PER_SECOND + cost_ms(QUERY) + 1e-6


def test_many_keys_of_one_prefix_share_a_budget() -> None:
    """An attacker makes keys as he likes; he does not get a budget for each."""
    budgets, free = Budgets(), 0.0
    for turn in range(20_000):
        if not budgets.delay_seconds(peer(turn % 40), "p", QUERY, turn / 1000):
            free += cost_ms(QUERY)
    modest = 40 * (MODEST_BURST_MS + 20 * MODEST_MS_PER_SECOND + cost_ms(QUERY))

    assert free <= PREFIX_BURST_MS + 20 * PREFIX_MS_PER_SECOND + modest


def test_whoever_asks_little_does_not_wait_for_others_of_his_prefix() -> None:
    budgets = Budgets()
    for turn in range(5000):
        budgets.delay_seconds(peer(turn % 40), "p", QUERY, 0.0)

    assert budgets.delay_seconds(peer(99), "p", QUERY, 0.0) == 0.0
    assert budgets.delay_seconds(peer(1), "p", QUERY, 0.0) > 0.0
    assert budgets.delay_seconds(peer(100), "q", QUERY, 0.0) == 0.0


def test_those_who_ask_once_do_not_fill_the_memory() -> None:
    budgets = Budgets()
    for number in range(2 * BUDGETS_MAX):
        budgets.delay_seconds(peer(number), "p", QUERY, 0.0)

    assert len(budgets._accounts) <= BUDGETS_MAX


def test_a_quiet_time_gives_back_what_was_used_up_to_a_burst() -> None:
    budgets = Budgets()
    assert not budgets.charge(peer(1), "p", PEER_BURST_MS, 0.0)
    assert not budgets.charge(peer(1), "p", PEER_MS_PER_SECOND, 1.0)
    assert budgets.charge(peer(1), "p", PEER_MS_PER_SECOND, 1.0) == 1.0
    assert not budgets.charge(peer(1), "p", PEER_BURST_MS, 1e6)
    assert budgets.charge(peer(1), "p", 1.0, 1e6) > 0


def test_time_that_stands_still_or_goes_back_takes_nothing() -> None:
    budgets = Budgets()
    budgets.charge(peer(1), "p", 1.0, 1e6)
    assert not budgets.charge(peer(1), "p", 1.0, 0.0)


def test_whoever_goes_on_asking_is_not_forgotten_among_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "BUDGETS_MAX", 30)
    budgets = Budgets()
    budgets.charge(peer(0), "p", PEER_BURST_MS, 0.0)
    for number in range(1, 100):
        budgets.charge(peer(number), "p", 1.0, 0.0)
        assert budgets.charge(peer(0), "p", 1.0, 0.0) > 0
    budgets.charge(peer(100), "p", PEER_BURST_MS, 0.0)
    assert budgets.charge(peer(100), "p", 1.0, 0.0) > 0  # nor is the latest


# --- turns --------------------------------------------------------------------------------------


def served(turns: Turns) -> list[int]:
    """Tickets in the order in which they are called, one done after the other."""
    order: list[int] = []
    while (ticket := turns.next()) is not None:
        order.append(ticket)
        turns.give_up(ticket)
    return order


def test_only_so_many_work_at_once() -> None:
    turns = Turns()
    for ticket in range(20):
        turns.ask(ticket, peer(ticket))
    called = [turns.next() for _ in range(HEAVY_REQUESTS_AT_ONCE)]

    assert called == list(range(HEAVY_REQUESTS_AT_ONCE))
    assert turns.next() is None
    turns.give_up(called[0] or 0)
    assert turns.next() == HEAVY_REQUESTS_AT_ONCE
    assert turns.next() is None


def test_one_who_asks_a_lot_is_not_in_the_way_of_one_who_asks_once() -> None:
    turns = Turns()
    for ticket in range(500):
        turns.ask(ticket, peer(1))
    for _ in range(100):
        turns.give_up(turns.next() or 0)
    turns.ask(1000, peer(2))

    assert served(turns).index(1000) <= 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=100))
def test_everybody_waiting_gets_every_nth_turn(askers: list[int]) -> None:
    turns = Turns()
    for ticket, number in enumerate(askers):
        turns.ask(ticket, peer(number))
    order = [askers[ticket] for ticket in served(turns)]
    firsts = order[: len(set(askers))]

    assert sorted(order) == sorted(askers)
    assert set(firsts) == set(askers)


def test_new_keys_do_not_pass_by_those_who_wait() -> None:
    """Else whoever makes keys would be served before everybody who has been here for long."""
    turns = Turns()
    for ticket in range(50):
        turns.ask(ticket, peer(1))
        assert served(turns) == [ticket]
    turns.ask(1000, peer(1))
    for number in range(2, 20):
        turns.ask(1000 + number, peer(number))

    assert served(turns)[0] == 1000


def test_turns_are_remembered_of_those_who_had_one_lately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fairness, "BUDGETS_MAX", 10)
    turns = Turns()
    for number in range(2, 100):
        for ticket, who in ((2 * number, 1), (2 * number + 1, number)):
            turns.ask(ticket, peer(who))
            assert served(turns) == [ticket]

    assert set(turns._had) == {peer(1), *map(peer, range(91, 100))}
    order = list(turns._had)
    assert order.index(peer(1)) == len(order) - 2


def test_whoever_gives_up_a_place_makes_room_for_the_next() -> None:
    turns = Turns()
    for ticket in range(HEAVY_REQUESTS_AT_ONCE + 1):
        turns.ask(ticket, peer(ticket))
    started = [turns.next() for _ in range(HEAVY_REQUESTS_AT_ONCE)]
    assert turns.next() is None
    turns.give_up(started[-1] or 0)

    assert turns.next() == HEAVY_REQUESTS_AT_ONCE


def test_whoever_no_longer_waits_is_not_called() -> None:
    turns = Turns()
    turns.ask(1, peer(1))
    turns.ask(2, peer(2))
    turns.give_up(1)

    assert served(turns) == [2]


# --- room ---------------------------------------------------------------------------------------


def test_a_peer_may_hold_so_much_and_one_request_in_any_case() -> None:
    room = Room()
    assert room.take(peer(1), REQUEST_BODY_BYTES_MAX)
    assert room.take(peer(1), REQUEST_BYTES_PER_PEER_MAX - REQUEST_BODY_BYTES_MAX)
    assert not room.take(peer(1), 1)
    room.give_back(peer(1), REQUEST_BODY_BYTES_MAX)
    assert room.take(peer(1), 1)


def test_many_peers_share_the_room() -> None:
    room, held = Room(), 0
    for _ in range(10):
        for number in range(100):
            held += 200_000 * room.take(peer(number), 200_000)

    assert REQUEST_BYTES_MAX / 2 < held <= REQUEST_BYTES_MAX * 1.5
    assert room.take(peer(1000), REQUEST_BODY_BYTES_MAX)


def test_whoever_comes_new_counts_among_those_who_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fairness, "REQUEST_BYTES_MAX", 100)
    room = Room()
    assert room.take(peer(1), 60)
    assert room.take(peer(2), 40)
    assert not room.take(peer(2), 20)  # more than the half
    assert room.take(peer(3), 30)
    assert not room.take(peer(3), 4)  # more than a third


def test_room_that_is_given_back_is_forgotten() -> None:
    room = Room()
    for number in range(10):
        room.take(peer(number), 100)
        room.give_back(peer(number), 100)

    assert room._held == {}
