"""Fields in their order, with the types that they stand for; texts in the one normal form."""

from dataclasses import dataclass
from typing import NewType

import pytest

from p2pgrid.wire.shapes import base_of, field_types, is_normal

Width = NewType("Width", int)
Wider = NewType("Wider", Width)


@dataclass(frozen=True, slots=True)
class Box:
    """Two fields."""

    width: Wider
    label: "str"


def test_fields_come_in_order_with_their_types() -> None:
    assert field_types(Box) == (("width", Wider), ("label", str))


def test_a_new_type_of_a_new_type_is_what_it_is_made_of() -> None:
    assert base_of(Wider) is int
    assert base_of(bytes) is bytes


@pytest.mark.parametrize(
    ("text", "is_it"),
    [("", True), ("plain", True), ("\u00e4", True), ("a\u0308", False), ("\u212b", False),
     ("\ud800", False)],
)  # fmt: skip
def test_normal_texts(text: str, is_it: bool) -> None:
    assert is_normal(text) is is_it
