"""Values that people write on the command line: sizes, amounts, durations, numbers."""

import math
from collections.abc import Callable
from typing import Any

import click

from p2pgrid.units import parse_bytes, parse_duration_seconds, parse_tft


class Quantity(click.ParamType[int]):
    """An integer with a unit, read by one of the parsers of `units`."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it, or say what it should look like."""
        if isinstance(value, int):
            return value
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A number within bounds; `nan`, which click lets through any bounds, is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read it, or say what is wrong."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


class Text(click.ParamType[str]):
    """A text that says something: an empty one, as of an unset variable, would ask for nothing."""

    name = "text"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Take it, unless it is empty."""
        text = str(value)
        if not text.strip():
            self.fail("it is empty", param, ctx)
        return text


TEXT = Text()
BYTES = Quantity("size", parse_bytes)
AMOUNT = Quantity("TFT", parse_tft)
DURATION = Quantity("duration", parse_duration_seconds)
