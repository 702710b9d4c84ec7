"""Answers fit their limits, bodies are cut into full frames and joined again."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.chunks.messages import (
    Answer,
    Body,
    ChunkAnswer,
    ChunkRequest,
    FlistAnswer,
    FlistRequest,
    Request,
    Served,
    body_frames,
    split_answers,
)
from p2pgrid.errors import BrokenProtocol, MalformedRecord
from p2pgrid.limits.chunks import (
    ANSWER_BYTES_MAX,
    ANSWER_CHUNKS_MAX,
    CHUNK_BLOB_BYTES_MAX,
    CHUNKS_PER_REQUEST_MAX,
    FLIST_BYTES_MAX,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import ChunkId, FlistId
from p2pgrid.wire.codec import decode, encode

sizes = st.integers(1, CHUNK_BLOB_BYTES_MAX) | st.integers(0, 2000)


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


def chunks(count: int) -> tuple[ChunkId, ...]:
    return tuple(chunk(number) for number in range(count))


@given(st.lists(sizes, max_size=CHUNKS_PER_REQUEST_MAX))
def test_split_answers_name_each_chunk_once_and_are_valid(all_sizes: list[int]) -> None:
    known = {chunk(number): size for number, size in enumerate(all_sizes)}
    groups = list(split_answers(known.items()))
    assert [one for group in groups for one in group] == list(known)
    for group in groups:
        answer = Answer(ChunkAnswer(tuple(Served(one, known[one]) for one in group)))
        assert decode(Answer, encode(answer)) == answer
        assert len(encode(answer)) < BULK_FRAME_BYTES


@given(
    st.lists(
        st.sampled_from([0, 1, 7, BULK_FRAME_BYTES - 1, BULK_FRAME_BYTES, CHUNK_BLOB_BYTES_MAX]),
        max_size=6,
    )
)
def test_a_body_is_cut_into_full_frames_and_joined_again(all_sizes: list[int]) -> None:
    blobs = [bytes((number,)) * size for number, size in enumerate(all_sizes)]
    body = Body(sum(all_sizes))
    frames = list(body_frames(blobs))
    assert all(len(frame) == BULK_FRAME_BYTES for frame in frames[:-1])
    assert all(frames)
    for frame in frames:
        assert not body.is_complete
        body.feed(frame)
    assert body.is_complete
    assert [bytes(part) for part in body.parts(all_sizes)] == blobs
    assert body.whole() == b"".join(blobs)


@pytest.mark.parametrize("frame_bytes", [0, 1, BULK_FRAME_BYTES - 1])
def test_a_frame_that_is_not_full_must_be_the_last(frame_bytes: int) -> None:
    with pytest.raises(BrokenProtocol):
        Body(BULK_FRAME_BYTES + 1).feed(bytes(frame_bytes))


def test_more_than_was_announced_is_refused() -> None:
    with pytest.raises(BrokenProtocol):
        Body(5).feed(bytes(6))


@pytest.mark.parametrize(
    "message",
    [
        Request(ChunkRequest(chunks(CHUNKS_PER_REQUEST_MAX))),
        Request(FlistRequest(FlistId(bytes(32)))),
        Answer(FlistAnswer(FLIST_BYTES_MAX)),
        Answer(ChunkAnswer(tuple(Served(one, 0) for one in chunks(ANSWER_CHUNKS_MAX)))),
        Answer(ChunkAnswer((Served(chunk(1), CHUNK_BLOB_BYTES_MAX),))),
    ],
)
def test_the_largest_messages_are_allowed(message: Request | Answer) -> None:
    assert decode(type(message), encode(message)) == message


def raw(tag: int, *fields: object) -> bytes:
    return cbor2.dumps([[tag, *fields]], canonical=True)


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (Request, raw(1, [])),
        (Request, raw(1, list(chunks(CHUNKS_PER_REQUEST_MAX + 1)))),
        (Request, raw(1, [b"short"])),
        (Request, raw(2, b"short")),
        (Request, raw(3, bytes(32))),
        (Answer, raw(1, [])),
        (Answer, raw(1, [[one, 0] for one in chunks(ANSWER_CHUNKS_MAX + 1)])),
        (Answer, raw(1, [[bytes(32), 5], [bytes(32), 5]])),
        (Answer, raw(1, [[bytes(32), CHUNK_BLOB_BYTES_MAX + 1]])),
        (Answer, raw(1, [[one, ANSWER_BYTES_MAX // 5 + 1] for one in chunks(5)])),
        (Answer, raw(2, FLIST_BYTES_MAX + 1)),
        (Answer, b"garbage"),
    ],
)
def test_what_exceeds_a_limit_is_malformed(cls: type, data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        decode(cls, data)
