"""What one holder may owe, and whether it is worth its place."""

import pytest

from p2pgrid.chunks.holder import SILENT, Holder, reasons
from p2pgrid.limits.chunks import (
    CHUNK_BYTES,
    CHUNKS_PER_REQUEST_MAX,
    HOLDER_FAILURES_MAX,
    HOLDER_RETRY_SECONDS,
    HOLDER_WINDOW_MIN,
    HOLDER_WINDOW_START,
    LATE_CHUNK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId

NODE = NodeId(bytes(32))
CHUNKS = [ChunkId(bytes((number,)) * 32) for number in range(4)]


def answering(bytes_per_second: float, *, latency_seconds: float = 0.0) -> Holder:
    """One that was asked for four chunks at 0 and gave three."""
    holder = Holder(NODE)
    holder.owe(CHUNKS, 0.0)
    now = latency_seconds
    for chunk in CHUNKS[:3]:
        now += CHUNK_BYTES / bytes_per_second
        holder.measure(CHUNK_BYTES, now)
        del holder.in_flight[chunk]
    return holder


def test_the_window_is_a_second_of_the_measured_rate_within_bounds() -> None:
    assert Holder(NODE).window(CHUNK_BYTES) == HOLDER_WINDOW_START
    assert answering(125_000).window(CHUNK_BYTES) == HOLDER_WINDOW_MIN
    assert answering(10 * CHUNK_BYTES).window(CHUNK_BYTES) == pytest.approx(10, abs=1)
    assert answering(1e12).window(CHUNK_BYTES) == CHUNKS_PER_REQUEST_MAX


def test_the_time_to_an_answer_is_expected_from_latency_and_rate() -> None:
    near, far = answering(1e6), answering(1e6, latency_seconds=0.5)
    slow = answering(1e5)
    seconds = [one.seconds_for(1, CHUNK_BYTES) for one in (near, far, slow)]
    assert seconds == sorted(seconds)
    assert near.seconds_for(9, CHUNK_BYTES) > near.seconds_for(1, CHUNK_BYTES) + 3


def test_who_crawls_is_late_or_owes_nothing_takes_no_place() -> None:
    holder = answering(1e6)
    assert holder.takes_place(1e6, 2.0)
    assert not holder.takes_place(1e7, 2.0)
    assert not holder.takes_place(1e6, LATE_CHUNK_SECONDS)
    assert not Holder(NODE).takes_place(1e6, 0.0)
    untried = Holder(NODE)
    untried.owe(CHUNKS, 0.0)
    assert untried.takes_place(1e9, 1.0)


def test_pauses_grow_until_it_is_out_and_silence_alone_is_forgiven() -> None:
    holder = Holder(NODE)
    for failure in range(HOLDER_FAILURES_MAX - 1):
        holder.fail(10.0)
        assert holder.retry_at == 10.0 + HOLDER_RETRY_SECONDS * 2**failure
    holder.fail(10.0)
    assert holder.out_because == SILENT
    holder.forgive()
    assert (holder.out_because, holder.failures, holder.retry_at) == ("", 0, 0.0)
    holder.out_because = "served a bad chunk"
    holder.forgive()
    assert holder.out_because == "served a bad chunk"


def test_who_is_silent_or_slow_is_slower_than_one_that_is_measured() -> None:
    quick, slow = answering(1e6), answering(1e5)
    assert slow.is_clearly_slower(quick, CHUNK_BYTES, slow.heard_at)
    assert not quick.is_clearly_slower(slow, CHUNK_BYTES, quick.heard_at)
    assert quick.is_clearly_slower(quick, CHUNK_BYTES, quick.heard_at + 5)
    assert not slow.is_clearly_slower(Holder(NODE), CHUNK_BYTES, slow.heard_at + 5)


def test_reasons_are_told_of_a_few_and_the_others_counted() -> None:
    holders = [Holder(NodeId(bytes((number,)) * 32)) for number in range(9)]
    assert reasons(holders, CHUNKS[0]) == "no holder is known"
    for holder in holders:
        holder.lacks.add(CHUNKS[0])
    holders[0].out_because = SILENT
    told = reasons(holders, CHUNKS[0])
    assert told.startswith("00000000 does not answer; 01010101 does not have it; ")
    assert told.endswith("; and 4 more")
