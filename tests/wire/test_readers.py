"""What a reader lets pass has one length; whatever says the same and is longer is refused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.errors import MalformedRecord
from p2pgrid.wire.codec import decode, encode, variant
from p2pgrid.wire.readers import head_bytes, reader_of
from tests.strategies import values
from tests.wire.strict_cbor import read_strictly
from tests.wire.travelling import rule_name, travelling_classes

CLASSES = travelling_classes()
EDGES = [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1]


@variant(300)
@dataclass(frozen=True, slots=True)
class Far:
    """A variant whose tag takes three bytes, and whose array one item more than its fields."""

    number: int


@variant(301)
@dataclass(frozen=True, slots=True)
class Wide:
    """23 fields: with the tag, the array's head takes two bytes."""

    f0: int
    f1: int
    f2: int
    f3: int
    f4: int
    f5: int
    f6: int
    f7: int
    f8: int
    f9: int
    f10: int
    f11: int
    f12: int
    f13: int
    f14: int
    f15: int
    f16: int
    f17: int
    f18: int
    f19: int
    f20: int
    f21: int
    f22: int


@dataclass(frozen=True, slots=True)
class Mixed:
    """Everything that has a head, at sizes around which heads grow."""

    numbers: tuple[int, ...]
    blobs: tuple[bytes, ...]
    text: str
    flags: tuple[bool, ...]
    perhaps: tuple[str, int] | None
    shape: Far | Wide
    nested: tuple[tuple[str, ...], ...]


MIXED = Mixed(
    (*EDGES,), tuple(bytes(size) for size in (0, 23, 24, 255, 256)), "ä" * 23, (True,) * 24,
    ("\u03b1" * 12, 24), Wide(*range(23)), (("a",) * 23, ("ö",) * 24, ()),
)  # fmt: skip


def heads_of(data: bytes) -> Iterator[tuple[int, int]]:
    """(position, length) of every head in canonical bytes."""
    at = 0
    while at < len(data):
        short = data[at] & 31
        length = 1 if short < 24 else 1 + (1 << (short - 24))
        yield at, length
        number = short if short < 24 else int.from_bytes(data[at + 1 : at + length], "big")
        at += length + (number if data[at] >> 5 in (2, 3) else 0)


def lengthened(data: bytes) -> Iterator[bytes]:
    """The same value with one head longer than needed: each head, each length."""
    for at, length in heads_of(data):
        first, rest = data[at], data[at + 1 : at + length]
        number = int.from_bytes(rest, "big") if rest else first & 31
        for code in (24, 25, 26, 27):
            size = 1 << (code - 24)
            if 1 + size > length and first >> 5 != 7:
                head = bytes((first & 0xE0 | code,)) + number.to_bytes(size, "big")
                yield data[:at] + head + data[at + length :]


@pytest.mark.parametrize("cls", [*CLASSES, Mixed], ids=rule_name)
@given(data=st.data())
@settings(max_examples=8)
def test_every_longer_way_to_say_a_record_is_refused(cls: type, data: st.DataObject) -> None:
    encoded = encode(data.draw(values(cls)))
    plain = read_strictly(encoded)

    assert reader_of(cls).measure(plain) == len(encoded)
    for longer in [*lengthened(encoded)][:200]:
        with pytest.raises(MalformedRecord):
            decode(cls, longer)
    with pytest.raises(MalformedRecord):
        decode(cls, encoded + b"\x00")


def test_heads_are_measured_at_every_size() -> None:
    encoded = encode(MIXED)
    assert decode(Mixed, encoded) == MIXED
    longer = list(lengthened(encoded))
    assert len(longer) > 200
    for one in longer:
        assert cbor2.loads(one) == cbor2.loads(encoded)  # it is a longer way to say the same
        with pytest.raises(MalformedRecord, match="canonical"):
            decode(Mixed, one)


@pytest.mark.parametrize("number", EDGES)
def test_the_shortest_head(number: int) -> None:
    assert head_bytes(number) == len(cbor2.dumps(number))


@pytest.mark.parametrize("wanted", [float, dict, list[int], object, None])
def test_types_that_may_not_stand_in_records(wanted: Any) -> None:
    with pytest.raises(TypeError, match="cannot stand"):
        reader_of(wanted)


def test_two_variants_of_a_union_cannot_share_a_tag() -> None:
    @variant(300)
    @dataclass(frozen=True, slots=True)
    class AlsoFar:
        pass

    with pytest.raises(AssertionError, match="share a tag"):
        reader_of(Far | AlsoFar)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (0, [True], "an integer"),
        (0, [-1], "an integer"),
        (1, ["a"], "bytes"),
        (2, "a\u0308", "form NFC"),
        (3, [1], "bool"),
        (4, [["a", 1], ["b", 2]], "none or one"),
        (4, [["a"]], "2 items"),
        (5, [], "with a tag"),
        (5, [299, 1], "no variant 299"),
        (6, [["a", b"b"]], "form NFC"),
    ],
)
def test_what_a_cell_may_not_hold(place: int, value: object, reason: str) -> None:
    plain: Any = read_strictly(encode(MIXED))
    plain[place] = value
    with pytest.raises(MalformedRecord, match=reason):
        reader_of(Mixed).read(plain)
