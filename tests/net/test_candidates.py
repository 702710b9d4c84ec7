"""Addresses are tried in order of who named them, ever more rarely, and never without bound."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import (
    CANDIDATES_MAX,
    DISCOVERY_RETRY_SECONDS_MAX,
    DISCOVERY_RETRY_SECONDS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.candidates import Candidates, Origin

OWN = NodeId(bytes(32))


def address(number: int) -> str:
    return join_address(f"/ip4/192.0.2.1/tcp/{number + 1}", NodeId(number.to_bytes(32, "big")))


def candidates() -> Candidates:
    return Candidates(OWN, Random(1))


@given(st.lists(st.sampled_from(Origin), min_size=1, max_size=20))
def test_those_named_by_the_better_come_first(origins: list[Origin]) -> None:
    some = candidates()
    origin_of = {address(number + 1): origin for number, origin in enumerate(origins)}
    for one, origin in origin_of.items():
        some.add(one, origin, now=0)

    assert [origin_of[one] for one in some.due(0, frozenset())] == sorted(origins)


def test_one_named_twice_has_the_better_rank() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    some.add(address(2), Origin.GIVEN, now=0)
    some.add(address(1), Origin.REMEMBERED, now=0)

    assert some.due(0, frozenset()) == [address(1), address(2)]


def test_neither_connected_peers_nor_ourselves_are_dialled() -> None:
    some = candidates()
    for number in range(3):
        some.add(address(number), Origin.GIVEN, now=0)

    assert some.due(0, frozenset({NodeId((1).to_bytes(32, "big"))})) == [address(2)]


def test_pauses_grow_up_to_a_limit_and_vary() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    now, pauses = 0.0, []
    for _ in range(12):
        some.failed(address(1), now)
        pause = next(step / 10 for step in range(1, 2000) if some.due(now + step / 10, frozenset()))
        pauses.append(pause)
        now += pause

    assert pauses[0] <= 1.5 * DISCOVERY_RETRY_SECONDS_MIN + 0.1
    assert max(pauses) <= 1.5 * DISCOVERY_RETRY_SECONDS_MAX + 0.1
    assert max(pauses) > DISCOVERY_RETRY_SECONDS_MAX / 2
    assert len(set(pauses[-4:])) > 1


def test_one_that_answered_is_tried_soon_again() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    for _ in range(10):
        some.failed(address(1), 0)
    some.reached(address(1))
    some.failed(address(1), 0)

    assert some.due(1.5 * DISCOVERY_RETRY_SECONDS_MIN, frozenset()) == [address(1)]


def test_what_strangers_name_pushes_out_nothing_else() -> None:
    some = candidates()
    some.add(address(1), Origin.SEED, now=0)
    for number in range(2, CANDIDATES_MAX + 100):
        some.hear(address(number), Origin.HEARD, now=0)
    due = some.due(0, frozenset())

    assert len(due) == CANDIDATES_MAX
    assert due[0] == address(1)


def test_nonsense_is_refused_of_the_operator_and_ignored_of_strangers() -> None:
    some = candidates()
    with pytest.raises(BadInput):
        some.add("nonsense", Origin.GIVEN, now=0)
    some.hear("nonsense", Origin.HEARD, now=0)

    assert some.due(0, frozenset()) == []
