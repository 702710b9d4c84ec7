"""Some invalid gossip is forgiven, a stream of it is not; being shunned ends."""

from p2pgrid.limits.net import (
    REJECTS_BURST,
    REJECTS_FORGIVEN_PER_SECOND,
    SHUN_SECONDS,
    SHUNNED_PEERS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.standing import Standing

PEER = NodeId(b"p" * 32)


def shun(standing: Standing, peer: NodeId, now: float) -> int:
    """Blame `peer` until it is shunned; after how many messages."""
    for count in range(1, 10 * int(REJECTS_BURST)):
        if standing.blame(peer, now):
            return count
    raise AssertionError("never shunned")


def test_a_burst_is_forgiven_and_what_goes_beyond_is_not() -> None:
    standing = Standing()

    assert shun(standing, PEER, 0.0) == REJECTS_BURST + 1
    assert standing.is_shunned(PEER, 0.0)


def test_patience_comes_back_with_time() -> None:
    standing = Standing()
    for turn in range(100):
        assert not standing.blame(PEER, turn / REJECTS_FORGIVEN_PER_SECOND)
    assert not standing.is_shunned(PEER, 100.0)


def test_being_shunned_ends_and_outlasts_a_reconnect() -> None:
    standing = Standing()
    shun(standing, PEER, 5.0)

    standing.forget(PEER)

    assert standing.is_shunned(PEER, 5.0 + SHUN_SECONDS - 1)
    assert not standing.is_shunned(PEER, 5.0 + SHUN_SECONDS)


def test_many_liars_do_not_fill_the_memory() -> None:
    standing = Standing()
    liars = [NodeId(number.to_bytes(32, "big")) for number in range(SHUNNED_PEERS_MAX + 1)]
    for liar in liars:
        shun(standing, liar, 0.0)

    assert not standing.is_shunned(liars[0], 0.0)
    assert all(standing.is_shunned(liar, 0.0) for liar in liars[1:])
