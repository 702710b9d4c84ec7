"""Names of flists are plain, and mean one thing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.model.flist import FlistName, FlistReference, Holdings, flist_id
from p2pgrid.model.ids import AccountId, FlistId, NodeId
from p2pgrid.units import TimestampMs
from tests.model.refusals import expect_refused
from tests.strategies import values

NAME = FlistName(
    publisher=AccountId(b"p" * 32),
    incarnation=0,
    sequence=0,
    time_ms=TimestampMs(0),
    title="web",
    tag="1.0",
    flist=FlistId(b"f" * 32),
    flist_bytes=1,
    content_bytes=2,
    description="A web server",
)
HOLDINGS = Holdings(
    node=NodeId(b"n" * 32),
    incarnation=0,
    sequence=0,
    time_ms=TimestampMs(0),
    flists=(FlistId(b"f" * 32),),
)


@pytest.mark.parametrize(
    ("text", "publisher", "title", "tag"),
    [
        ("web", "", "web", "latest"),
        ("web:1.0", "", "web", "1.0"),
        ("acme/web", "acme", "web", "latest"),
        ("acme/tools/web-x:V_1", "acme", "tools/web-x", "V_1"),
        ("3f9c00/web:1", "3f9c00", "web", "1"),
    ],
)
def test_references_that_people_write(text: str, publisher: str, title: str, tag: str) -> None:
    assert FlistReference.parse(text) == FlistReference(None, publisher, title, tag)


@given(st.binary(min_size=32, max_size=32))
def test_an_id_is_a_reference(identity: bytes) -> None:
    assert FlistReference.parse(identity.hex()).flist == identity


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "/",
        "/web",
        "acme/",
        "web:",
        ":1",
        "WEB",
        "../WEB",
        "a//b",
        "web:a/b",
        "a b",
        "web\n",
    ],
)
def test_references_that_name_nothing(text: str) -> None:
    with pytest.raises(BadInput, match="publisher/name:tag"):
        FlistReference.parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_reference_or_bad_input(text: str) -> None:
    try:
        reference = FlistReference.parse(text)
    except BadInput:
        return
    assert reference.title
    assert reference.tag


@pytest.mark.parametrize(
    "changes",
    [
        {"publisher": b""},
        {"flist": b"f" * 31},
        {"title": ""},
        {"title": "Web"},
        {"title": "../WEB"},
        {"title": "web\n"},
        {"title": "a" * 129},
        {"tag": ""},
        {"tag": "-x"},
        {"tag": "x" * 129},
        {"description": "x" * 257},
        {"description": "\x1b[2J"},
    ],
    ids=", ".join,
)
def test_names_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(NAME, **changes)


def test_holdings_out_of_bounds() -> None:
    expect_refused(HOLDINGS, flists=(b"f" * 32,) * 101)
    expect_refused(HOLDINGS, flists=(b"",))
    expect_refused(HOLDINGS, node=b"")


@given(values(FlistName), values(FlistName))
def test_each_name_and_tag_is_a_register_of_its_own(a: FlistName, b: FlistName) -> None:
    assert a.author == a.publisher
    assert (a.name == b.name) == ((a.title, a.tag) == (b.title, b.tag))


def test_an_flist_is_known_by_its_bytes() -> None:
    assert len(flist_id(b"")) == 32
    assert flist_id(b"a") != flist_id(b"b")


def test_who_holds_what_is_said_by_the_node() -> None:
    assert (HOLDINGS.author, HOLDINGS.name) == (HOLDINGS.node, b"")
