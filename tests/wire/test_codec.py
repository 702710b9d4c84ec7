"""There is exactly one encoding of each value, and nothing else is read as one."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from p2pgrid.errors import InvalidRecord, MalformedRecord
from p2pgrid.limits.wire import INTEGER_MAX, NESTING_MAX, RECORD_BYTES_MAX
from p2pgrid.wire.codec import decode, encode, kind_of, record, record_classes, variant
from p2pgrid.wire.kinds import RecordKind
from tests.strategies import values
from tests.wire.strict_cbor import NotCanonical, read_strictly
from tests.wire.travelling import rule_name, travelling_classes

CLASSES = travelling_classes()


class Colour(IntEnum):
    """Two of them."""

    RED = 1
    BLUE = 7


@variant(1)
@dataclass(frozen=True, slots=True)
class Circle:
    """One field."""

    radius: int


@variant(2)
@dataclass(frozen=True, slots=True)
class Dot:
    """No field."""


@dataclass(frozen=True, slots=True)
class Everything:
    """Each kind of field once."""

    number: int
    data: bytes
    text: str
    flag: bool
    colour: Colour
    some: tuple[int, ...]
    pair: tuple[str, int]
    perhaps: bytes | None
    shape: Circle | Dot


WHOLE = Everything(5, b"ab", "ä", True, Colour.BLUE, (1, 300), ("x", 0), None, Circle(9))
PLAIN: list[Any] = [5, b"ab", "ä", True, 7, [1, 300], ["x", 0], [], [1, 9]]
ANYTHING = values(Everything)

plain_values = st.recursive(
    st.integers(-3, 2**64 - 1)
    | st.binary(max_size=8)
    | st.text(max_size=8)
    | st.booleans()
    | st.none()
    | st.floats(width=16),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 9), inner),
    max_leaves=12,
)


def with_field(index: int, value: object) -> bytes:
    return cbor2.dumps([*PLAIN[:index], value, *PLAIN[index + 1 :]])


def test_the_layout_is_the_one_documented() -> None:
    assert encode(WHOLE) == cbor2.dumps(PLAIN)
    assert decode(Everything, cbor2.dumps(PLAIN)) == WHOLE


@pytest.mark.parametrize("cls", CLASSES, ids=rule_name)
@given(data=st.data())
@settings(max_examples=15)
def test_decode_inverts_encode(cls: type, data: st.DataObject) -> None:
    value = data.draw(values(cls))
    encoded = encode(value)

    assert decode(cls, encoded) == value
    assert encode(decode(cls, encoded)) == encoded
    read_strictly(encoded)


@given(st.binary(max_size=100) | plain_values.map(cbor2.dumps))
@example(b"")
def test_any_bytes_decode_canonically_or_are_malformed(data: bytes) -> None:
    for cls in (Everything, *CLASSES):
        try:
            value: object = decode(cls, data)
        except MalformedRecord:
            continue
        assert encode(value) == data


@given(ANYTHING, st.data())
@settings(max_examples=300)
def test_a_change_of_one_byte_is_refused_or_says_something_else(
    value: Everything, data: st.DataObject
) -> None:
    changed = bytearray(encode(value))
    position = data.draw(st.integers(0, len(changed) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        read_strictly(bytes(changed))
        is_canonical = True
    except NotCanonical:
        is_canonical = False
    try:
        read = decode(Everything, bytes(changed))
    except MalformedRecord:
        return

    assert read != value
    assert encode(read) == changed
    assert is_canonical


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(encode(WHOLE) + b"\0", id="trailing byte"),
        pytest.param(encode(WHOLE)[:-1], id="last byte missing"),
        pytest.param(cbor2.dumps(PLAIN[:-1]), id="last field missing"),
        pytest.param(cbor2.dumps([*PLAIN, 0]), id="one field more"),
        pytest.param(encode(WHOLE).replace(b"\x89\x05", b"\x89\x18\x05"), id="integer too long"),
        pytest.param(encode(WHOLE).replace(b"\x42ab", b"\x58\x02ab"), id="length too long"),
        pytest.param(b"\x98\x09" + encode(WHOLE)[1:], id="array header too long"),
        pytest.param(b"\x9f" + encode(WHOLE)[1:] + b"\xff", id="array without length"),
        pytest.param(encode(WHOLE).replace(b"\x42ab", b"\x5f\x42ab\xff"), id="pieces of bytes"),
        pytest.param(b"\xd9\xd9\xf7" + encode(WHOLE), id="tag that says it is CBOR"),
        pytest.param(b"\xd8\x1c" + encode(WHOLE), id="shared reference"),
        pytest.param(encode(WHOLE).replace(b"\x89\x05", b"\x89\xc2\x41\x05"), id="big number tag"),
        pytest.param(with_field(0, -1), id="negative"),
        pytest.param(with_field(0, INTEGER_MAX + 1), id="over 63 bits"),
        pytest.param(with_field(0, 2**64), id="over 64 bits"),
        pytest.param(with_field(0, 5.0), id="float"),
        pytest.param(with_field(0, True), id="boolean for integer"),
        pytest.param(with_field(0, None), id="null for integer"),
        pytest.param(with_field(0, cbor2.undefined), id="undefined"),
        pytest.param(with_field(0, cbor2.CBORSimpleValue(99)), id="simple value"),
        pytest.param(with_field(1, "ab"), id="text for bytes"),
        pytest.param(with_field(2, "a\u0308"), id="text not in form NFC"),
        pytest.param(encode(WHOLE).replace(b"\x62\xc3\xa4", b"\x62\xc3\x28"), id="no UTF-8"),
        pytest.param(encode(WHOLE).replace(b"\x62\xc3\xa4", b"\x63\xed\xa0\x80"), id="surrogate"),
        pytest.param(with_field(3, 1), id="integer for boolean"),
        pytest.param(with_field(4, 2), id="number that the enumeration lacks"),
        pytest.param(with_field(4, True), id="boolean for enumeration"),
        pytest.param(with_field(5, {1: 2}), id="map for array"),
        pytest.param(with_field(5, {}), id="empty map"),
        pytest.param(with_field(6, ["x"]), id="pair of one"),
        pytest.param(with_field(7, None), id="null for none"),
        pytest.param(with_field(7, [b"", b""]), id="two for none or one"),
        pytest.param(with_field(8, []), id="variant without tag"),
        pytest.param(with_field(8, [3]), id="variant unknown"),
        pytest.param(with_field(8, [True, 9]), id="boolean for tag"),
        pytest.param(with_field(8, [1]), id="variant without its field"),
        pytest.param(with_field(8, [[1], 9]), id="tag that is an array"),
        pytest.param(b"\x9b" + b"\x7f" + b"\xff" * 7, id="array of 2^63 elements"),
        pytest.param(b"\x5b" + b"\x7f" + b"\xff" * 7, id="bytes of 2^63 length"),
        pytest.param(b"\x81" * 50_000 + b"\x00", id="nested 50,000 deep"),
        pytest.param(b"\x81" * (NESTING_MAX + 1) + b"\x00", id="nested one too deep"),
        pytest.param(b"\xa2\x01\x01\x01\x02", id="key twice"),
        pytest.param(b"\0" * (RECORD_BYTES_MAX + 1), id="too long"),
    ],
)
def test_refuses(data: bytes) -> None:
    with pytest.raises(MalformedRecord, match=r"Everything|expected|variant|fields|items"):
        decode(Everything, data)


@pytest.mark.parametrize("tag", [*range(300), 43000, 55799, 2**32, 2**64 - 1])
def test_no_tag_is_ever_decoded(tag: int) -> None:
    """Tags 28 and 29 would let two bytes stand for the whole array before them."""
    head = cbor2.dumps(cbor2.CBORTag(tag, 0))[:-1]
    for content in (b"\x80", b"\x60", b"\x00", encode(WHOLE)):
        with pytest.raises(MalformedRecord, match="semantic tag"):
            decode(Everything, b"\x81" + head + content)


@dataclass(frozen=True, slots=True)
class Table:
    """Lists in lists."""

    rows: tuple[tuple[int, ...], ...]


def test_shared_references_do_not_multiply() -> None:
    """20,000 references to a list of 20,000 would be 400 million numbers in 60 KiB."""
    shared = b"\xd8\x1c\x99\x4e\x20" + b"\x00" * 20_000
    data = b"\x81\x99\x27\x10" + shared + b"\xd8\x1d\x00" * 9_999
    with pytest.raises(MalformedRecord, match="semantic tag"):
        decode(Table, data)


def test_keys_that_collide_do_not_cost_quadratic_time() -> None:
    colliding = {number * (2**61 - 1): 0 for number in range(4_000)}
    with pytest.raises(MalformedRecord, match="key"):
        decode(Table, cbor2.dumps(colliding))


@given(st.text(max_size=6))
def test_text_is_judged_alike_by_every_python(text: str) -> None:
    """Characters newer than Unicode 3.2 compose with nothing: their tables differ by version."""
    try:
        data = encode(Caption(text))
    except InvalidRecord:
        return
    assert decode(Caption, data).text == text


@dataclass(frozen=True, slots=True)
class Caption:
    """One text."""

    text: str


@pytest.mark.parametrize("text", ["a\u0308", "\u212b", "\u0340", "\ud800"])
def test_text_that_is_not_normal_cannot_be_written(text: str) -> None:
    with pytest.raises(InvalidRecord):
        encode(Caption(text))


@pytest.mark.parametrize("number", [-1, INTEGER_MAX + 1, 2**64])
def test_integers_out_of_range_cannot_be_written(number: int) -> None:
    with pytest.raises(InvalidRecord, match="out of range"):
        encode(Count(number))


@dataclass(frozen=True, slots=True)
class Count:
    """One number."""

    radius: int


@given(st.text("\x1b\n\u202ex", min_size=100, max_size=3000))
def test_reasons_are_short_and_steer_no_terminal(text: str) -> None:
    data = cbor2.dumps([text])
    with pytest.raises(MalformedRecord) as caught:
        decode(Count, data)
    assert len(str(caught.value)) < 400
    assert not {"\x1b", "\n"} & set(str(caught.value))


def test_a_kind_belongs_to_one_class() -> None:
    some_kind, cls = next(iter(record_classes().items()))
    assert kind_of(cls) is some_kind
    with pytest.raises(AssertionError):
        record(RecordKind(some_kind))(Dot)
