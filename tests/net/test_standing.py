"""Some faults are forgiven, a stream of them is not; being shunned ends by time alone."""

import pytest

from p2pgrid.limits.net import (
    FAULTS_BURST,
    FAULTS_FORGIVEN_PER_SECOND,
    FAULTY_PEERS_MAX,
    SHUN_SECONDS,
    SHUNNED_PEERS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.standing import Fault, Standing

PEER = NodeId(b"p" * 32)


def shun(standing: Standing, peer: NodeId, now: float, fault: Fault = Fault.GOSSIP) -> int:
    """Blame `peer` until it is shunned; after how many faults."""
    for count in range(1, 10 * FAULTS_BURST):
        if standing.blame(peer, fault, now):
            return count
    raise AssertionError("never shunned")


@pytest.mark.parametrize("fault", Fault)
def test_some_are_forgiven_and_what_goes_beyond_is_not(fault: Fault) -> None:
    standing = Standing()

    assert shun(standing, PEER, 0.0, fault) == FAULTS_BURST // fault + 1
    assert standing.is_shunned(PEER, 0.0)


def test_different_faults_add_up() -> None:
    standing = Standing()
    for fault in (Fault.PROTOCOL, Fault.ANSWER, Fault.ANSWER):
        assert not standing.blame(PEER, fault, 0.0)

    assert standing.faults(PEER, 0.0) == FAULTS_BURST
    assert standing.blame(PEER, Fault.GOSSIP, 0.0)


def test_patience_comes_back_with_time() -> None:
    standing = Standing()
    for turn in range(100):
        assert not standing.blame(PEER, Fault.GOSSIP, turn / FAULTS_FORGIVEN_PER_SECOND)

    assert standing.faults(PEER, 1e6) == 0.0
    assert not standing.is_shunned(PEER, 100.0)


def test_being_shunned_ends() -> None:
    standing = Standing()
    shun(standing, PEER, 5.0)

    assert standing.is_shunned(PEER, 5.0 + SHUN_SECONDS - 1)
    assert not standing.is_shunned(PEER, 5.0 + SHUN_SECONDS)


def test_many_liars_do_not_fill_the_memory() -> None:
    standing = Standing()
    liars = [NodeId(number.to_bytes(32, "big")) for number in range(SHUNNED_PEERS_MAX + 1)]
    for liar in liars:
        shun(standing, liar, 0.0)

    assert not standing.is_shunned(liars[0], 0.0)
    assert all(standing.is_shunned(liar, 0.0) for liar in liars[1:])
    assert sum(standing.faults(liar, 0.0) > 0 for liar in liars) <= FAULTY_PEERS_MAX
