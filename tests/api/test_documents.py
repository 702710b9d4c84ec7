"""Records become JSON that programs can read; times become what people can read."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.api.documents import format_time, to_json
from p2pgrid.model.node import Feature


@dataclass(frozen=True)
class Inner:
    identity: bytes


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    features: tuple[Feature, ...]
    counts: dict[bytes, int]
    path: Path


def test_records_become_objects_with_the_same_names() -> None:
    record = Outer(Inner(b"\xab"), (Feature.CONTAINER,), {b"\x01": 2**62}, Path("/srv"))

    assert to_json(record) == {
        "inner": {"identity": "ab"},
        "features": ["container"],
        "counts": {"01": 2**62},
        "path": "/srv",
    }


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary() | st.text() | st.sampled_from(Feature),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.frozensets(st.binary(), max_size=3)
        | st.dictionaries(st.binary(), inner, max_size=3)
        | st.binary().map(Inner)
    ),
    max_leaves=6,
)


@given(VALUES)
def test_everything_made_of_records_can_be_written(value: Any) -> None:
    document = to_json(value)

    assert json.loads(json.dumps(document)) == document
    assert to_json(document) == document


def test_times_are_in_utc_to_the_second() -> None:
    assert format_time(0) == "1970-01-01T00:00:00Z"
    assert format_time(1_700_000_000_999) == "2023-11-14T22:13:20Z"


@given(st.integers(0, 2**63 - 1))
def test_any_time_that_somebody_signed_can_be_shown(time_ms: int) -> None:
    """One payment with an absurd time must not hide a whole history."""
    text = format_time(time_ms)

    assert len(text) == 20
    assert text.endswith("Z")


def test_times_beyond_the_calendar_are_its_end() -> None:
    assert format_time(2**63 - 1) == "9999-12-31T23:59:59Z"
