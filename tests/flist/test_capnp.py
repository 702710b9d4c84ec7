"""Messages are read by the letter of the format; pointers lead nowhere else."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.capnp import Message, Struct
from p2pgrid.limits.flist import CAPNP_DEPTH_MAX

STRUCT, LIST, FAR = 0, 1, 2


def pointer(kind: int, offset: int, high: int) -> bytes:
    return struct.pack("<II", (offset << 2 | kind) & 0xFFFFFFFF, high)


def message(*segments: bytes) -> bytes:
    sizes = [len(segments) - 1, *(len(one) // 8 for one in segments)]
    head = struct.pack(f"<{len(sizes)}I", *sizes)
    return head + bytes(-len(head) % 8) + b"".join(segments)


def data_list(offset: int, count: int) -> bytes:
    return pointer(LIST, offset, count << 3 | 2)


HELLO = b"hello\0\0\0"
ONE_TEXT = message(
    pointer(STRUCT, 0, 1 << 16 | 1) + (7).to_bytes(8, "little") + data_list(0, 6) + HELLO
)


def root(data: bytes) -> Struct:
    return Message(data).root()


def test_numbers_and_texts() -> None:
    found = root(ONE_TEXT)

    assert (found.number(0, 8), found.number(0, 2), found.number(1, 4)) == (7, 7, 0)
    assert found.text(0) == b"hello"
    assert (found.number(1, 8), found.text(1), found.struct(9).number(0, 8)) == (0, b"", 0)


def test_far_pointers_lead_to_other_segments() -> None:
    single = message(
        pointer(STRUCT, 0, 1 << 16) + struct.pack("<II", 1 << 3 | FAR, 1),
        bytes(8) + data_list(0, 6) + HELLO,
    )
    double = message(
        pointer(STRUCT, 0, 1 << 16) + struct.pack("<II", 0 << 3 | 4 | FAR, 1),
        struct.pack("<II", 1 << 3 | FAR, 2) + data_list(0, 6),
        bytes(8) + HELLO,
    )

    assert root(single).text(0) == b"hello"
    assert root(double).text(0) == b"hello"


def structs(count: int, size: int, words: int) -> bytes:
    """A list of structs that says how many there are, and how long it is."""
    body = pointer(STRUCT, count, size) + bytes(8 * 4)
    return message(pointer(STRUCT, 0, 1 << 16) + pointer(LIST, 0, words << 3 | 7) + body)


def test_lists_of_structs() -> None:
    assert len(list(root(structs(4, 1, 4)).structs(0))) == 4
    assert list(root(message(pointer(STRUCT, 0, 1 << 16) + bytes(8))).structs(0)) == []


HOSTILE = {
    "empty": b"",
    "head alone": b"\0\0\0\0",
    "too many segments": b"\xff\xff\0\0" + bytes(8),
    "longer than it is": message(bytes(8))[:-1],
    "out at the end": message(pointer(STRUCT, 5, 1)),
    "out at the beginning": message(pointer(STRUCT, -5, 1)),
    "larger than the message": message(pointer(STRUCT, 0, 0xFFFF) + bytes(8)),
    "list for a struct": message(data_list(0, 1) + HELLO),
    "capability": message(pointer(3, 0, 0)),
    "far to nowhere": message(struct.pack("<II", FAR, 9)),
    "far to itself": message(struct.pack("<II", FAR, 0)),
    "double far to itself": message(struct.pack("<II", FAR | 4, 0) + bytes(8)),
    "double far to a struct": message(struct.pack("<II", 1 << 3 | FAR | 4, 0) + bytes(16)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(BadImage):
        root(HOSTILE[name])


ONE_POINTER = pointer(STRUCT, 0, 1 << 16)
NO_TEXTS = {
    "out of the message": message(ONE_POINTER + data_list(0, 9) + HELLO),
    "without an end": message(ONE_POINTER + data_list(0, 5) + HELLO),
    "a struct": message(ONE_POINTER + pointer(STRUCT, 0, 1) + HELLO),
    "bits": message(ONE_POINTER + pointer(LIST, 0, 6 << 3 | 1) + HELLO),
    "structs": structs(4, 1, 4),
}
NO_STRUCTS = {
    "bytes": message(ONE_POINTER + data_list(0, 6) + HELLO),
    "more than it says": structs(5, 1, 4),
    "fewer than none": structs(-1, 1, 4),
    "more than the message": structs(1, 1, 40),
    "millions of nothing": structs(1 << 28, 0, 4),
}


@pytest.mark.parametrize("name", NO_TEXTS)
def test_texts_that_lie_are_refused(name: str) -> None:
    found = root(NO_TEXTS[name])

    with pytest.raises(BadImage):
        found.text(0)


@pytest.mark.parametrize("name", NO_STRUCTS)
def test_lists_that_lie_are_refused(name: str) -> None:
    found = root(NO_STRUCTS[name])

    with pytest.raises(BadImage):
        list(found.structs(0))


def test_nothing_is_read_twice() -> None:
    """Pointers to one long text would make a short message endless."""
    text = b"x" * 7 + b"\0"
    shared = message(
        pointer(STRUCT, 0, 2 << 16) + data_list(1, 800) + data_list(0, 800) + text * 100
    )
    found = root(shared)
    assert len(found.text(0)) == 799

    with pytest.raises(BadImage, match="share"):
        found.text(1)


def test_structs_in_structs_have_an_end() -> None:
    deep = message(pointer(STRUCT, 0, 1 << 16) * (CAPNP_DEPTH_MAX + 2) + bytes(8))
    found = root(deep)
    for _ in range(CAPNP_DEPTH_MAX):
        found = found.struct(0)

    with pytest.raises(BadImage, match="too deeply"):
        found.struct(0)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = root(data)
        read = [found.number(0, 8), found.text(0), list(found.structs(1)), found.struct(0)]
    except BadImage:
        return
    assert len(read) == 4
