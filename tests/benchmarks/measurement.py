"""One measured figure next to a reference of the same run, and how both are printed.

Absolute figures say little on a shared machine; the ratio to a reference that
was measured in the same minute says whether the code is good.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one benchmark found. The fields are those of a JSON line."""

    bench: str
    """Group and name, such as `chunks.transfer`."""
    value: float
    unit: str
    reference: str
    """What was measured beside it, in a few words."""
    reference_value: float
    ratio: float
    """How good we are: value / reference, or reference / value where less is better."""
    target: float
    """The ratio that we want at least."""
    met: bool


def compare(
    bench: str,
    value: float,
    unit: str,
    *,
    reference: tuple[str, float],
    target: float,
    is_less_better: bool = False,
) -> Measurement:
    """A measurement against a reference (name, value) of the same unit.

    >>> compare("a.b", 50.0, "MB/s", reference=("bare", 100.0), target=0.4).met
    True
    >>> compare("a.c", 2.0, "s", reference=("bare", 1.0), target=0.8, is_less_better=True).ratio
    0.5
    """
    name, reference_value = reference
    ratio = reference_value / value if is_less_better else value / reference_value
    return Measurement(
        bench, value, unit, name, reference_value, round(ratio, 3), target, ratio >= target
    )


def json_line(measurement: Measurement) -> str:
    """One JSON object on one line."""
    return json.dumps(asdict(measurement))


def table(measurements: Iterable[Measurement]) -> str:
    """All of them for people: aligned, one line each."""
    rows: list[tuple[str, ...]] = [("bench", "value", "reference", "", "ratio", "target", "")]
    rows += [_row(one) for one in measurements]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(_line(row, widths) for row in rows)


def _row(one: Measurement) -> tuple[str, ...]:
    return (
        one.bench,
        f"{one.value:,.4g} {one.unit}",
        f"{one.reference_value:,.4g} {one.unit}",
        one.reference,
        f"{one.ratio:.2f}",
        f"≥ {one.target:.2f}",
        "met" if one.met else "MISSED",
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
