"""Peers that came up are pulled from soon, several at once; liars rarely; a random one always."""

from itertools import pairwise
from random import Random

import pytest

from p2pgrid.crdt import catch_up, searches
from p2pgrid.crdt.catch_up import CatchUp, Outcome, Rhythm
from p2pgrid.crdt.reconcile import NO_CURSOR
from p2pgrid.limits.crdt import HINTED_PULL_MS, LIAR_BACK_OFF_MS_MIN, PULL_BACK_OFF_MS_MAX
from tests.crdt.replicas import Shelf, numbered, run

RHYTHM = Rhythm(
    first_pauses_ms=(2000, 5000),
    pause_ms_min=30_000,
    pause_ms_max=60_000,
    at_once=2,
    same_peer_ms_min=200,
    trust_ms=100_000,
    back_off_ms_min=1000,
)
A, B, C = b"a", b"b", b"c"


def plan_of(*peers: bytes) -> CatchUp:
    plan = CatchUp(RHYTHM, Random(1), 0)
    for peer in peers:
        plan.peer_up(peer)
    return plan


def test_peers_that_came_up_are_pulled_from_in_order_some_at_once() -> None:
    plan = plan_of(A, B, C)
    assert plan.due(0) == [A, B]
    assert plan.due(0) == []
    assert plan.wake_at() == 2000
    plan.ended(A, Outcome.LEVEL, 100)
    assert plan.wake_at() == 0
    assert plan.due(100) == [C]


def test_slow_peers_that_came_up_hold_up_no_random_pull() -> None:
    plan = plan_of(A, B, C)
    assert plan.due(0) == [A, B]
    assert plan.due(2000) == [C]


def test_hints_lead_to_one_pull_a_little_later() -> None:
    plan = plan_of(A, B)
    assert plan.due(0) == [A, B]
    for peer in (A, B):
        plan.ended(peer, Outcome.LEVEL, 0)
    plan.due(2000)
    plan.ended(A, Outcome.LEVEL, 2000)
    plan.ended(B, Outcome.LEVEL, 2000)
    for now_ms in (2100, 5000, 6000):
        plan.hint(A, now_ms)
    plan.hint(C, 2100)  # it is not connected
    plan.hint(B, 2100)
    plan.peer_down(B)
    assert plan.due(2100 + HINTED_PULL_MS - 1) in ([], [A])  # a random one
    plan.ended(A, Outcome.LEVEL, 2100 + HINTED_PULL_MS - 1)
    assert plan.wake_at() == 2100 + HINTED_PULL_MS
    assert plan.due(2100 + HINTED_PULL_MS + RHYTHM.same_peer_ms_min) == [A]
    plan.ended(A, Outcome.LEVEL, 2100 + HINTED_PULL_MS)
    assert plan.wake_at() > 2100 + HINTED_PULL_MS


def test_random_pulls_come_faster_at_first() -> None:
    plan = plan_of(A)
    plan.due(0)
    plan.ended(A, Outcome.LEVEL, 0)
    times = []
    for _ in range(5):
        now_ms = plan.wake_at()
        assert plan.due(now_ms - 1) == []
        assert plan.due(now_ms) == [A]
        plan.ended(A, Outcome.LEVEL, now_ms)
        times.append(now_ms)
    pauses = [after - before for before, after in pairwise(times)]
    assert times[0] == 2000
    assert all(30_000 <= pause <= 60_000 for pause in pauses[2:])


@pytest.mark.parametrize(
    ("outcome", "first_ms"),
    [(Outcome.FAILED, RHYTHM.back_off_ms_min), (Outcome.LIED, LIAR_BACK_OFF_MS_MIN)],
)
def test_a_peer_that_fails_waits_longer_each_time(outcome: Outcome, first_ms: int) -> None:
    plan, now_ms = plan_of(), 0
    for number in range(12):
        plan.nudge(A)
        assert plan.due(now_ms) == [A]
        plan.ended(A, outcome, now_ms)
        if outcome is Outcome.LIED:
            plan.peer_up(A)  # to come up again is no way around it
            plan.peer_down(A)
        plan.nudge(A)
        wait_ms = min(first_ms << number, PULL_BACK_OFF_MS_MAX)
        assert plan.due(now_ms + wait_ms - 1) == []
        now_ms += wait_ms
    assert plan.due(now_ms) == [A]
    plan.ended(A, Outcome.LEVEL, now_ms)
    plan.nudge(A)
    assert plan.due(now_ms + RHYTHM.same_peer_ms_min) == [A]


def test_a_peer_that_comes_back_waits_as_after_its_first_failure() -> None:
    """A cut makes honest peers silent; when it heals, nobody waits for what failed before."""
    plan = plan_of(A)
    for _ in range(5):
        plan.due(0)
        plan.ended(A, Outcome.FAILED, 0)
        plan.nudge(A)
    plan.peer_down(A)
    plan.peer_up(A)

    assert plan.due(RHYTHM.back_off_ms_min - 1) == []
    assert plan.due(RHYTHM.back_off_ms_min) == [A]


def test_a_liar_gains_nothing_by_coming_back() -> None:
    plan = plan_of(A)
    plan.due(0)
    plan.ended(A, Outcome.LIED, 0)
    for _ in range(2):  # a failure that follows does not hide the lie
        plan.peer_down(A)
        plan.peer_up(A)
        assert A not in plan.due(1000)
        plan.ended(A, Outcome.FAILED, 1000)


def test_a_nudged_peer_is_pulled_from_again_after_a_moment() -> None:
    plan = plan_of(A)
    assert plan.due(0) == [A]
    plan.nudge(A)
    assert plan.due(10) == []
    plan.ended(A, Outcome.LEVEL, 20)
    assert plan.wake_at() == RHYTHM.same_peer_ms_min
    assert plan.due(RHYTHM.same_peer_ms_min) == [A]


def test_a_peer_with_more_is_next() -> None:
    plan = plan_of(A, B, C)
    assert plan.due(0) == [A, B]
    plan.ended(A, Outcome.LEVEL, 0)
    assert plan.due(0) == [C]
    plan.nudge(A)
    plan.ended(B, Outcome.MORE, 300)
    assert plan.due(300) == [B]


def test_who_never_had_a_turn_is_before_those_who_had_one_and_who_failed_is_last() -> None:
    plan = plan_of(A, B)
    assert plan.due(0) == [A, B]
    plan.ended(A, Outcome.FAILED, 0)
    plan.nudge(A)
    plan.nudge(B)
    plan.peer_up(C)
    plan.ended(B, Outcome.MORE, 0)
    now_ms = RHYTHM.back_off_ms_min  # all are ready
    plan._random_ms = now_ms + 1
    assert plan.due(now_ms) == [C, B]
    plan.ended(C, Outcome.MORE, now_ms)
    assert plan.due(now_ms) == [A]  # C has had its turn a moment ago


def test_the_next_pull_goes_on_where_the_last_one_ended() -> None:
    server, asker, plan = numbered(*range(300)), Shelf(), plan_of(A)
    plan.due(0)
    pull = run(asker, server, plan.begin(A, asker.ids, asker.unwanted, 0))
    plan.ended(A, Outcome.LEVEL, 0, pull)
    server.put(b"news")
    asker.put(b"ours")
    again = plan.begin(A, asker.ids, asker.unwanted, 1)
    assert again.cursor.offset == 300
    run(asker, server, again)
    assert b"news" in asker.records.values()
    assert not again.is_compared
    whole = plan.begin(A, asker.ids, asker.unwanted, RHYTHM.trust_ms)
    assert run(asker, server, whole).is_compared


def test_what_is_wanted_again_is_no_news_so_whole_sets_are_compared() -> None:
    server, asker, plan = numbered(1, 2), Shelf(), plan_of(A)
    refused = next(iter(server.ids))
    asker.unwanted.add(refused)
    plan.due(0)
    plan.ended(A, Outcome.LEVEL, 0, run(asker, server, plan.begin(A, asker.ids, asker.unwanted, 0)))
    assert refused not in asker.ids
    asker.unwanted.discard(refused)
    run(asker, server, plan.begin(A, asker.ids, asker.unwanted, 1))
    assert refused in asker.ids


def test_a_pull_that_took_a_part_only_moves_no_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "RECONCILE_MISSING_MAX", 100)
    server, asker, plan = numbered(*range(250)), Shelf(), plan_of(A)
    cursors = []
    for now_ms in (0, 1000, 2000):
        assert plan.due(now_ms) == [A]
        pull = run(asker, server, plan.begin(A, asker.ids, asker.unwanted, now_ms))
        plan.ended(A, Outcome.MORE if pull.is_partial else Outcome.LEVEL, now_ms, pull)
        cursors.append(plan.begin(A, asker.ids, asker.unwanted, now_ms).cursor)
    assert cursors[:2] == [NO_CURSOR, NO_CURSOR]
    assert cursors[2].offset == 250
    assert asker.records == server.records


def test_so_many_peers_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "CURSORS_MAX", 2)
    server, asker, plan = numbered(1), Shelf(), plan_of()
    for peer in (A, B, C):
        pull = run(asker, server, plan.begin(peer, asker.ids, asker.unwanted, 0))
        plan.ended(peer, Outcome.LEVEL, 0, pull)
    assert plan.begin(C, asker.ids, asker.unwanted, 0).cursor != NO_CURSOR
    assert plan.begin(A, asker.ids, asker.unwanted, 0).cursor == NO_CURSOR
