"""What travels or rests is what `grid.cddl` says, and nothing else is in it."""

from importlib.resources import files
from typing import Any

import cbor2
import pycddl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.wire.codec import encode
from tests.strategies import values
from tests.wire.cddl import Page
from tests.wire.proposal import parts_of, proposed_rule
from tests.wire.travelling import rule_name, travelling_classes

TEXT = files("p2pgrid.wire").joinpath("grid.cddl").read_text()
PAGE = Page(TEXT)
CLASSES = travelling_classes()
OF_CLASSES = {rule_name(part): part for cls in CLASSES for part in parts_of(cls)}


def test_the_page_is_cddl() -> None:
    pycddl.Schema(TEXT)
    assert PAGE.used <= set(PAGE.rules)


def test_every_class_has_a_rule() -> None:
    missing = [part for name, part in OF_CLASSES.items() if name not in PAGE.rules]
    proposals = "\n".join(map(proposed_rule, missing))
    assert not missing, f"put into p2pgrid/wire/grid.cddl, with its limits:\n{proposals}"


def test_no_two_classes_share_a_rule() -> None:
    parts = {part for cls in CLASSES for part in parts_of(cls)}
    assert len(OF_CLASSES) == len(parts)


def test_every_rule_is_used() -> None:
    unused = set(PAGE.rules) - set(OF_CLASSES) - PAGE.used
    assert not unused, "take these out of grid.cddl"


@pytest.mark.parametrize("cls", CLASSES, ids=rule_name)
@given(data=st.data())
@settings(max_examples=20)
def test_instances_match_their_rule(cls: type, data: st.DataObject) -> None:
    rule = rule_name(cls)
    plain: list[Any] = cbor2.loads(encode(data.draw(values(cls))))

    assert PAGE.is_valid(rule, plain)
    assert not PAGE.is_valid(rule, [*plain, 0])
    for index in range(len(plain)):
        assert not PAGE.is_valid(rule, [*plain[:index], -1, *plain[index + 1 :]])


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        ("1 / 5", [1, 5], [0, 2, True, b"", "1"]),
        ("2..4", [2, 4], [1, 5, True]),
        ("bstr .size 2", [b"ab"], [b"a", b"abc", "ab"]),
        ("bstr .size (1..2)", [b"a", b"ab"], [b"", b"abc"]),
        ('tstr .regexp "[a-z]+"', ["ab"], ["", "ab1", "ab\n", b"ab"]),
        ("[? uint, tstr]", [[1, "a"], ["a"]], [[1], [1, 1, "a"], "a"]),
        ("[1*2 [bool], b: uint]", [[[True], 1], [[True], [False], 1]], [[1], [[True]], [[1], 1]]),
        ("[* uint, * uint, tstr]", [["a"], [1, 2, "a"]], [[1, 2], ["a", 1]]),
    ],
)
def test_the_validator_knows_good_from_bad(rule: str, good: list[Any], bad: list[Any]) -> None:
    page = Page(f"x = {rule}")
    assert all(page.is_valid("x", value) for value in good)
    assert not any(page.is_valid("x", value) for value in bad)
