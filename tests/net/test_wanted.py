"""Who is asked for what was announced, when, and how much of it is remembered."""

from math import inf

from p2pgrid.limits.spreading import (
    GOSSIP_ANNOUNCERS_MAX,
    GOSSIP_PULL_SECONDS,
    GOSSIP_REPEAT_PULL_SECONDS,
    GOSSIP_WANTED_MAX,
    GOSSIP_WANTED_PER_PEER_MAX,
)
from p2pgrid.net.wanted import Wanted
from tests.net.spread_model import node

A, B = node(1), node(2)


def test_announcers_are_asked_in_turn_and_those_who_left_are_not() -> None:
    wanted = Wanted()
    wanted.hear(b"x", A, 0.0)
    wanted.hear(b"x", B, 0.0)

    assert wanted.pull({A, B}, 0.0) == {}
    assert wanted.pull({B}, GOSSIP_PULL_SECONDS) == {B: [b"x"]}
    assert wanted.pull({B}, GOSSIP_PULL_SECONDS + GOSSIP_REPEAT_PULL_SECONDS) == {}
    assert wanted.fulfil(b"x") is None
    assert wanted.due_at == inf


def test_what_came_is_not_asked_for() -> None:
    wanted = Wanted()
    wanted.hear(b"x", A, 0.0)
    wish = wanted.fulfil(b"x")

    assert wish is not None
    assert not wish.is_pulled
    assert wanted.pull({A}, GOSSIP_PULL_SECONDS) == {}


def test_announcers_of_one_id_are_bounded() -> None:
    wanted = Wanted()
    for number in range(GOSSIP_ANNOUNCERS_MAX + 3):
        wanted.hear(b"x", node(number), 0.0)
    wish = wanted.fulfil(b"x")

    assert wish is not None
    assert len(wish.announcers) == GOSSIP_ANNOUNCERS_MAX


def test_a_peer_has_place_again_for_ids_that_came() -> None:
    wanted = Wanted()
    for number in range(GOSSIP_WANTED_PER_PEER_MAX + 1):
        wanted.hear(b"%d" % number, A, 0.0)
    assert wanted.fulfil(b"%d" % GOSSIP_WANTED_PER_PEER_MAX) is None

    wanted.fulfil(b"0")
    wanted.hear(b"new", A, 0.0)

    assert wanted.fulfil(b"new") is not None


def test_all_peers_together_have_so_many_ids_remembered_in_equal_shares() -> None:
    """Keys cost nothing: a hundred peers that make up ids would fill the memory."""
    wanted, crowd = Wanted(), 100
    for each in range(GOSSIP_WANTED_PER_PEER_MAX):
        for number in range(crowd):
            wanted.hear(b"%d of %d" % (each, number), node(number), 0.0)
    wanted.hear(b"new", node(crowd), 0.0)

    assert len(wanted) <= GOSSIP_WANTED_MAX + 1
    assert wanted.fulfil(b"new") is not None
