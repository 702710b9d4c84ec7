"""Requests are answered by urgency, then in order, and never cut short."""

import pytest

from p2pgrid.chunks.answer_queue import AnswerQueue
from p2pgrid.chunks.messages import ChunkRequest, FlistRequest
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.limits.chunks import ANSWER_CHUNKS_MAX, REQUESTS_QUEUED_MAX
from p2pgrid.model.ids import ChunkId, FlistId

FLIST = FlistId(bytes(32))


def chunks(start: int, count: int = 1) -> tuple[ChunkId, ...]:
    return tuple(ChunkId(number.to_bytes(32, "big")) for number in range(start, start + count))


def drained(queue: AnswerQueue) -> list[object]:
    found: list[object] = []
    while (answer := queue.next()) is not None:
        found.append(answer if isinstance(answer, bytes) else tuple(answer))
    return found


def test_the_more_urgent_goes_first_and_equals_in_order() -> None:
    queue = AnswerQueue(lambda _: 1)
    queue.add(ChunkRequest(chunks(0), Urgency.LATER))
    queue.add(ChunkRequest(chunks(1), Urgency.LATER))
    queue.add(ChunkRequest(chunks(2), Urgency.SOON))
    queue.add(FlistRequest(FLIST))
    queue.add(ChunkRequest(chunks(3), Urgency.NOW))
    assert drained(queue) == [FLIST, chunks(3), chunks(2), chunks(0), chunks(1)]


def test_a_long_request_is_answered_in_parts_with_the_urgent_between_them() -> None:
    queue = AnswerQueue(lambda _: 1)
    queue.add(ChunkRequest(chunks(0, 2 * ANSWER_CHUNKS_MAX), Urgency.LATER))
    assert queue.next() == list(chunks(0, ANSWER_CHUNKS_MAX))
    queue.add(ChunkRequest(chunks(1000), Urgency.NOW))
    assert drained(queue) == [chunks(1000), chunks(ANSWER_CHUNKS_MAX, ANSWER_CHUNKS_MAX)]


def test_a_chunk_that_one_request_names_twice_is_answered_once() -> None:
    queue = AnswerQueue(lambda _: 1)
    queue.add(ChunkRequest((*chunks(0), *chunks(0))))
    assert drained(queue) == [chunks(0)]


def test_a_full_queue_takes_nothing() -> None:
    queue = AnswerQueue(lambda _: 1)
    for number in range(REQUESTS_QUEUED_MAX):
        assert not queue.is_full
        queue.add(ChunkRequest(chunks(number)))
    assert queue.is_full
    with pytest.raises(AssertionError):
        queue.add(ChunkRequest(chunks(99)))
    queue.next()
    assert not queue.is_full
