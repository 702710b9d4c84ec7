"""Whatever a request says: what is read has the right type, or one line says what is wrong."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from p2pgrid.api.fields import Fields, Json, choose, key_of, read_body, read_query, shown
from p2pgrid.errors import BadInput
from p2pgrid.limits.control import CONTROL_BODY_BYTES_MAX
from p2pgrid.model.node import Feature

MOST = 1000
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
READS: list[tuple[Callable[[Fields], object], Callable[[Any], bool]]] = [
    (lambda one: one.text("x"), lambda value: isinstance(value, str)),
    (lambda one: one.texts("x"), lambda value: all(isinstance(text, str) for text in value)),
    (lambda one: one.whole("x", most=MOST), lambda value: type(value) is int),
    (lambda one: one.whole("x", most=MOST), lambda value: 0 <= value <= MOST),
    (lambda one: one.number("x", most=MOST), math.isfinite),
    (lambda one: one.number("x", most=MOST), lambda value: 0 <= value <= MOST),
    (lambda one: one.flag("x"), lambda value: isinstance(value, bool)),
    (lambda one: one.choice("x", Feature, Feature.CONTAINER), lambda v: isinstance(v, Feature)),
    (lambda one: one.table("x"), lambda value: isinstance(value, dict)),
]


def request(body: bytes = b"", query: bytes = b"") -> Request:
    """A request as a server hands it over, in pieces."""
    pieces = [body[start : start + 1000] for start in range(0, len(body), 1000)] or [b""]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    return Request({"type": "http", "query_string": query, "headers": []}, receive)


@pytest.mark.parametrize(("read", "is_right"), READS)
@given(value=ANY_JSON, is_query=st.booleans())
def test_what_is_read_is_of_its_kind_or_refused_in_one_line(
    read: Callable[[Fields], object], is_right: Callable[[Any], bool], value: Json, is_query: bool
) -> None:
    refusal = ""
    try:
        found = read(Fields({"x": value}, is_query=is_query))
    except BadInput as error:
        refusal = str(error)
    else:
        assert is_right(found)

    assert refusal.isprintable()
    assert len(refusal) < 250


@pytest.mark.parametrize("value", [True, 1.0, "1", -1, MOST + 1, [], math.nan])
def test_a_whole_number_is_nothing_else(value: Json) -> None:
    with pytest.raises(BadInput, match="whole number from 0 to 1000"):
        Fields({"x": value}).whole("x", most=MOST)


@pytest.mark.parametrize(
    "value", ["-1", "1.0", "1e3", "0x1", " 1", "1_0", "٣", "abc", "", "9" * 30]
)
def test_a_query_writes_numbers_in_digits(value: str) -> None:
    with pytest.raises(BadInput, match="whole number"):
        Fields({"x": value}, is_query=True).whole("x", most=MOST)


def test_queries_hold_numbers_and_flags_as_text() -> None:
    fields = Fields({"whole": "17", "number": "0.5", "yes": "1", "no": "0"}, is_query=True)

    assert fields.whole("whole", most=MOST) == 17
    assert fields.number("number", most=MOST) == 0.5
    assert fields.flag("yes")
    assert not fields.flag("no")
    with pytest.raises(BadInput):
        Fields({"yes": "1"}).flag("yes")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.1, True, "1", [1]])
def test_a_number_is_finite_and_within_bounds(value: Json) -> None:
    with pytest.raises(BadInput, match="number from 0 to 1000"):
        Fields({"x": value}).number("x", most=MOST)


def test_null_is_not_there() -> None:
    fields = Fields({"x": None})

    assert not fields.has("x")
    assert fields.text("x", "default") == "default"
    assert fields.whole("x", 3, most=MOST) == 3
    assert fields.texts("x") == ()
    assert not fields.flag("x")
    with pytest.raises(BadInput, match="lacks 'x'"):
        fields.text("x")


def test_unknown_fields_name_the_nearest() -> None:
    with pytest.raises(BadInput, match="'acount'; did you mean 'account'"):
        Fields({"acount": 1}).only("account", "amount")
    with pytest.raises(BadInput, match="there are account, amount"):
        Fields({"zzz": 1}).only("account", "amount")
    Fields({"account": 1}).only("account", "amount")


def test_a_choice_names_all_there_are() -> None:
    assert choose(Feature, "container", "feature") is Feature.CONTAINER
    with pytest.raises(BadInput, match=r"'x\\x1b' is no feature; there are container"):
        choose(Feature, "x\x1b", "feature")


@pytest.mark.parametrize(
    "text", ["", "ab", "ab" * 31, "ab" * 33, "zz" * 32, " " + "ab" * 32, "٣" * 64]
)
def test_a_key_has_64_digits(text: str) -> None:
    assert key_of("aB" * 32) == b"\xab" * 32
    with pytest.raises(BadInput, match="64 hex digits"):
        key_of(text)


@given(ANY_JSON)
def test_what_is_shown_is_short_and_harmless(value: Json) -> None:
    assert shown(value).isprintable()
    assert len(shown(value)) <= 80


async def test_bodies_are_read() -> None:
    assert (await read_body(request(b'{"a": 1}'), "a")).values == {"a": 1}
    assert (await read_body(request(b""), "a")).values == {}
    assert (await read_body(request(b" \n"), "a")).values == {}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b'{"a": -Infinity}', "Infinity is not a number"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b'{"\\ud800": 1}', "not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"b": 1}', "unknown field 'b'"),
        (b'{"a": "' + b"x" * CONTROL_BODY_BYTES_MAX + b'"}', "longer than"),
    ],
)
async def test_bodies_that_make_no_sense_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        await read_body(request(body), "a")


async def test_no_more_of_a_body_is_read_than_may_be() -> None:
    pieces = 0

    async def receive() -> dict[str, Any]:
        nonlocal pieces
        pieces += 1
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    with pytest.raises(BadInput, match="longer than"):
        await read_body(Request({"type": "http", "headers": []}, receive))

    assert pieces <= CONTROL_BODY_BYTES_MAX // 100_000 + 1


@given(st.dictionaries(st.text(min_size=1), ANY_JSON, max_size=3))
async def test_any_object_is_read_as_it_was_written(document: dict[str, Json]) -> None:
    try:
        body = json.dumps(document, allow_nan=False, ensure_ascii=False).encode()
    except ValueError:
        return

    assert (await read_body(request(body), *document)).values == document


def test_queries_are_read() -> None:
    fields = read_query(request(query=b"limit=3&feature=a&feature=b"), "limit", lists=("feature",))

    assert fields.whole("limit", most=MOST) == 3
    assert fields.texts("feature") == ("a", "b")


@pytest.mark.parametrize(
    ("query", "message"),
    [(b"limit=1&limit=2", "2 times"), (b"limt=1", "did you mean 'limit'"), (b"=", "unknown field")],
)
def test_queries_that_make_no_sense_are_refused(query: bytes, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_query(request(query=query), "limit")
