"""Buckets allow bursts and hold the long run; standing forgives slowly."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits.net import (
    REJECTS_BURST,
    REJECTS_FORGIVEN_PER_SECOND,
    SHUN_SECONDS,
    SHUNNED_PEERS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.standing import Standing

PEER = NodeId(b"p" * 32)


@given(st.lists(st.floats(0, 3), max_size=200), st.integers(1, 20), st.floats(0.1, 10))
def test_never_more_than_burst_and_rate_allow(
    pauses: list[float], burst: int, per_second: float
) -> None:
    bucket = TokenBucket(per_second=per_second, burst=burst, now=0)
    now, taken = 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)

    assert taken <= burst + now * per_second + 1e-6


@given(st.integers(1, 20), st.floats(0.1, 100))
def test_after_the_wait_the_next_may_happen(burst: int, per_second: float) -> None:
    bucket = TokenBucket(per_second=per_second, burst=burst, now=0)
    assert all(bucket.take(0) for _ in range(burst))
    wait = bucket.wait_seconds(0)

    assert 0 < wait <= 1 / per_second
    assert not bucket.take(wait / 2)
    assert bucket.wait_seconds(wait + 1e-6) == 0.0
    assert bucket.take(wait + 1e-6)


def test_one_invalid_message_too_many() -> None:
    standing = Standing()
    assert not any(standing.blame(PEER, 0) for _ in range(REJECTS_BURST))
    assert not standing.is_shunned(PEER, 0)

    assert standing.blame(PEER, 0)
    assert standing.is_shunned(PEER, SHUN_SECONDS - 1)
    assert not standing.is_shunned(PEER, SHUN_SECONDS)


def test_a_few_now_and_then_are_forgiven() -> None:
    standing = Standing()

    assert not any(standing.blame(PEER, n / REJECTS_FORGIVEN_PER_SECOND) for n in range(200))


def test_leaving_does_not_end_being_shunned() -> None:
    standing = Standing()
    while not standing.blame(PEER, 0):
        pass
    standing.forget(PEER)

    assert standing.is_shunned(PEER, 1)


def test_only_so_many_are_remembered() -> None:
    standing = Standing()
    peers = [NodeId(number.to_bytes(32, "big")) for number in range(SHUNNED_PEERS_MAX + 1)]
    for peer in peers:
        while not standing.blame(peer, 0):
            pass

    assert not standing.is_shunned(peers[0], 1)
    assert standing.is_shunned(peers[-1], 1)
