"""Addresses are tried in order of who named them, ever more rarely, and never without bound."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import (
    CANDIDATE_FAILURES_MAX,
    CANDIDATES_MAX,
    DISCOVERY_RETRY_SECONDS_MAX,
    DISCOVERY_RETRY_SECONDS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.candidates import Candidates, Origin

OWN = NodeId(bytes(32))


def address(number: int, prefix: int = 2) -> str:
    transport = f"/ip4/192.{prefix}.2.1/tcp/{number + 1}"
    return join_address(transport, NodeId(number.to_bytes(32, "big")))


def candidates() -> Candidates:
    return Candidates(OWN, Random(1))


def due(some: Candidates, now: float = 0.0, count: int = 10_000) -> list[str]:
    return some.choose(count, now, without=(), taken=())


@given(st.lists(st.sampled_from(Origin), min_size=1, max_size=20))
def test_those_named_by_the_better_come_first(origins: list[Origin]) -> None:
    some = candidates()
    origin_of = {address(number + 1): origin for number, origin in enumerate(origins)}
    for one, origin in origin_of.items():
        some.add(one, origin, now=0)

    assert [origin_of[one] for one in due(some)] == sorted(origins)


def test_one_named_twice_has_the_better_rank() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    some.add(address(2), Origin.GIVEN, now=0)
    some.add(address(1), Origin.REMEMBERED, now=0)

    assert due(some) == [address(1), address(2)]


def test_a_new_prefix_comes_before_a_better_origin() -> None:
    some = candidates()
    some.add(address(1, prefix=7), Origin.ANCHOR, now=0)
    some.add(address(2, prefix=8), Origin.HEARD, now=0)
    taken = {"192.7.0.0/16"}

    assert some.choose(2, 0, without=(), taken=taken) == [address(2, prefix=8), address(1, 7)]
    assert some.choose(2, 0, without=(), taken=taken, only_new=True) == [address(2, prefix=8)]


def test_a_crowded_prefix_is_chosen_no_more_often_than_another() -> None:
    some = candidates()
    for number in range(1, 300):
        some.add(address(number, prefix=7), Origin.HEARD, now=0)
    some.add(address(300, prefix=8), Origin.HEARD, now=0)
    firsts = [due(some, count=1)[0] for _ in range(200)]

    assert 60 < firsts.count(address(300, prefix=8)) < 140


def test_origins_can_be_left_out_of_account() -> None:
    some = candidates()
    some.add(address(1), Origin.REMEMBERED, now=0)
    some.add(address(2, prefix=8), Origin.HEARD, now=0)
    firsts = {
        one
        for _ in range(50)
        for one in some.choose(1, 0, without=(), taken=(), of_any_origin=True)
    }

    assert firsts == {address(1), address(2, prefix=8)}


def test_neither_connected_peers_nor_ourselves_are_dialled() -> None:
    some = candidates()
    for number in range(3):
        some.add(address(number), Origin.GIVEN, now=0)
    without = {NodeId((1).to_bytes(32, "big"))}

    assert some.choose(9, 0, without=without, taken=()) == [address(2)]


def test_pauses_grow_up_to_a_limit_and_vary() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    now, pauses = 0.0, []
    for _ in range(12):
        some.failed(address(1), now)
        pause = next(step / 10 for step in range(1, 2000) if due(some, now + step / 10))
        pauses.append(pause)
        now += pause

    assert pauses[0] <= 1.5 * DISCOVERY_RETRY_SECONDS_MIN + 0.1
    assert max(pauses) <= 1.5 * DISCOVERY_RETRY_SECONDS_MAX + 0.1
    assert max(pauses) > DISCOVERY_RETRY_SECONDS_MAX / 2
    assert len(set(pauses[-4:])) > 1


def test_one_that_lasted_is_tried_soon_again() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    for _ in range(10):
        some.failed(address(1), 0)
    some.lasted(address(1))
    some.failed(address(1), 0)

    assert due(some, 1.5 * DISCOVERY_RETRY_SECONDS_MIN) == [address(1)]


def test_a_dead_address_that_was_heard_of_is_forgotten_and_a_seed_is_not() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    some.add(address(2), Origin.HEARD, now=0)
    for _ in range(CANDIDATE_FAILURES_MAX):
        some.failed(address(1), 0)
        some.failed(address(2), 0)

    assert due(some, 1e6) == [address(1)]


def test_one_that_was_reached_counts_where_it_really_is() -> None:
    some = candidates()
    name = address(1).replace("/ip4/192.2.2.1", "/dns4/node.example.org")
    some.add(name, Origin.HEARD, now=0)
    some.reached(name, "192.2.0.0/16", now=0)
    some.add(address(2), Origin.SEED, now=0)

    assert some.choose(2, 0, without=(), taken={"example.org"}) == [name, address(2)]
    assert some.choose(2, 0, without=(), taken={"192.2.0.0/16"}, only_new=True) == []


def test_what_strangers_name_pushes_out_nothing_else() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    for number in range(2, CANDIDATES_MAX + 100):
        some.hear(address(number), Origin.HEARD, now=0)

    assert len(due(some)) == len(some) == CANDIDATES_MAX
    assert due(some)[0] == address(1)


def test_who_names_most_loses_first_when_there_is_no_room() -> None:
    some = candidates()
    for number in range(100):
        some.hear(address(1 + number), Origin.HEARD, 0, teller=f"honest {number % 5}")
    for number in range(1200):
        prefix = number % 250
        some.hear(address(1000 + number, prefix), Origin.HEARD, 0, teller="attacker")

    assert {address(1 + number) for number in range(100)} <= set(due(some))


def test_a_crowded_prefix_loses_first_when_there_is_no_room() -> None:
    """Whoever names it."""
    some = candidates()
    for number in range(100):
        some.hear(address(1 + number, prefix=100 + number), Origin.HEARD, 0)
    for number in range(1200):
        some.hear(address(1000 + number, number % 8), Origin.HEARD, 0)

    assert {address(1 + number, 100 + number) for number in range(100)} <= set(due(some))


def test_nonsense_is_refused_of_the_operator_and_ignored_of_strangers() -> None:
    some = candidates()
    with pytest.raises(BadInput):
        some.add("nonsense", Origin.GIVEN, now=0)
    some.hear("nonsense", Origin.HEARD, now=0)

    assert due(some) == []
