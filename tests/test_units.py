"""What people read is what people may write back, exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    format_bytes,
    format_tft,
    parse_bytes,
    parse_duration_seconds,
    parse_tft,
)


@given(st.integers(0, 10**18 - 1))
def test_money_survives_being_shown(amount: int) -> None:
    assert parse_tft(format_tft(amount)) == amount


@given(st.integers(0, 2**63 - 1))
def test_sizes_are_shown_to_within_half_a_percent(size_bytes: int) -> None:
    shown = parse_bytes(format_bytes(size_bytes))
    assert abs(shown - size_bytes) <= size_bytes * 0.005


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("17", 17),
        ("1k", KIB),
        ("512M", 512 * MIB),
        ("2GiB", 2 * GIB),
        ("2 GB", 2 * GIB),
        (" 1.5T ", 3 * TIB // 2),
        ("10B", 10),
        ("9007199254740993", 2**53 + 1),
    ],
)
def test_sizes_that_people_write(text: str, size_bytes: int) -> None:
    assert parse_bytes(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    [
        "",
        "M",
        "-1",
        "1e3",
        "1,5G",
        "1.G",
        "5 X",
        "1 Gi",
        "0x10",
        "inf",
        "\u0665",
        "1\u212a",
        "9" * 400,
    ],
)
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_bytes(text)


@pytest.mark.parametrize(("size_bytes", "text"), [(1023, "1023 B"), (1023 * KIB, "1023 KiB")])
def test_sizes_below_the_next_unit(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "-1", "+1", "1.12345678", "1e5", "1,0", "123456789012", "\u0661", "1 0"],
)
def test_money_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_tft(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2 h", 7200), ("7d", 604_800)]
)
def test_durations_that_people_write(text: str, seconds: int) -> None:
    assert parse_duration_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1.5h", "1w", "1h30m", "\u0661h"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="write for example"):
        parse_duration_seconds(text)
