"""However a stream is cut into pieces, the same frames come out, and never too much is held."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.wire.frames import LENGTH_BYTES, FrameReader, frame

payloads = st.lists(st.binary(max_size=40), max_size=6)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(payloads, st.lists(st.integers(0, 1000), max_size=20))
def test_any_cutting_gives_the_same_frames(sent: list[bytes], cuts: list[int]) -> None:
    reader = FrameReader(bytes_max=40)
    stream = b"".join(frame(payload, bytes_max=40) for payload in sent)

    got = [one for piece in pieces_of(stream, cuts) for one in reader.feed(piece)]

    assert got == sent
    assert reader.is_between_frames


@given(st.binary(min_size=1, max_size=40), st.data())
def test_a_frame_that_is_not_whole_is_not_given(payload: bytes, data: st.DataObject) -> None:
    whole = frame(payload)
    part = whole[: data.draw(st.integers(1, len(whole) - 1))]
    reader = FrameReader()

    assert reader.feed(part) == []
    assert not reader.is_between_frames
    assert reader.feed(whole[len(part) :]) == [payload]


@given(st.integers(FRAME_BYTES_MAX + 1, 2**32 - 1))
def test_a_length_over_the_limit_is_refused_before_anything_of_it_is_held(length: int) -> None:
    with pytest.raises(BrokenProtocol, match=str(length)):
        FrameReader().feed(length.to_bytes(LENGTH_BYTES, "big"))


def test_the_longest_frame_passes() -> None:
    payload = bytes(FRAME_BYTES_MAX)
    assert FrameReader().feed(frame(payload)) == [payload]


def test_we_write_no_frame_that_others_refuse() -> None:
    with pytest.raises(ValueError, match="limit"):
        frame(bytes(FRAME_BYTES_MAX + 1))


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_garbage_gives_frames_or_broken_protocol(pieces: list[bytes]) -> None:
    reader = FrameReader(bytes_max=100)
    fed = b""
    for piece in pieces:
        fed += piece
        try:
            got = reader.feed(piece)
        except BrokenProtocol:
            return
        assert all(len(one) <= 100 and one in fed for one in got)
