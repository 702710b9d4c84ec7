"""Quantities are read exactly or refused with an example."""

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.cli.parameters import AMOUNT, BYTES, DURATION, TEXT, Number
from p2pgrid.units import GIB, TFT, format_tft


@given(st.integers(0, 10**17))
def test_amounts_are_read_as_they_are_printed(amount: int) -> None:
    assert AMOUNT.convert(format_tft(amount), None, None) == amount


def test_a_text_says_something() -> None:
    assert TEXT.convert("Belgium", None, None) == "Belgium"
    for nothing in ("", " "):
        with pytest.raises(click.BadParameter, match="empty"):
            TEXT.convert(nothing, None, None)


def test_quantities_have_units() -> None:
    assert BYTES.convert("4G", None, None) == 4 * GIB
    assert DURATION.convert("2h", None, None) == 7200
    assert AMOUNT.convert("1.5", None, None) == 3 * TFT // 2
    assert BYTES.convert(17, None, None) == 17  # a default


@pytest.mark.parametrize(
    ("kind", "text"),
    [(BYTES, "4X"), (BYTES, "-1"), (BYTES, ""), (AMOUNT, "1.00000001"), (AMOUNT, "-1"),
     (AMOUNT, "1e3"), (DURATION, "2"), (DURATION, "h"), (AMOUNT, "٣")],
)  # fmt: skip
def test_what_is_no_quantity_is_refused_with_an_example(
    kind: click.ParamType[int], text: str
) -> None:
    with pytest.raises(click.BadParameter, match="write for example"):
        kind.convert(text, None, None)


@given(st.floats(0.01, 1))
def test_numbers_within_bounds_are_taken(number: float) -> None:
    assert Number(0.01, 1).convert(str(number), None, None) == number


@pytest.mark.parametrize("text", ["nan", "NaN", "inf", "-inf", "-1", "abc", ""])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Number(min=0).convert(text, None, None)
