"""Units. A number that has one says so in its name or in its type.

Bytes are plain `int`; money is `Amount`; points in time are `TimestampMs`.
"""

import re
from fractions import Fraction
from typing import NewType

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB

SECOND_MS = 1000
HOUR_SECONDS = 3600
HOUR_MS = HOUR_SECONDS * SECOND_MS

TimestampMs = NewType("TimestampMs", int)
"""Whole milliseconds since the Unix epoch, UTC."""

Amount = NewType("Amount", int)
"""Money in units of 10^-7 TFT. Amounts are integers so that every peer rounds alike."""

TFT = Amount(10_000_000)
"""One TFT."""

_TFT_DECIMALS = 7
_BYTE_SUFFIXES = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_BYTE_FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": TIB}
_DURATION_SECONDS = {"s": 1, "m": 60, "h": HOUR_SECONDS, "d": 24 * HOUR_SECONDS}


def format_bytes(size_bytes: int) -> str:
    """Render a size for people.

    >>> format_bytes(3 * GIB // 2), format_bytes(10)
    ('1.5 GiB', '10 B')
    """
    for suffix, factor in _BYTE_SUFFIXES:
        if size_bytes >= factor:
            return (
                f"{size_bytes / factor:.3g} {suffix}"
                if size_bytes < 1000 * factor
                else (f"{size_bytes / factor:.0f} {suffix}")
            )
    return f"{size_bytes} B"


def parse_bytes(text: str) -> int:
    """Read a size that a person wrote; base 1024. Raises ValueError.

    >>> parse_bytes("512M") == 512 * MIB, parse_bytes("1.5GiB") == 1536 * MIB
    (True, True)
    """
    match = re.fullmatch(
        r"([0-9]{1,20}(?:\.[0-9]{1,9})?)\s*([KMGT]?)(?:i?B)?",
        text.strip(),
        re.IGNORECASE | re.ASCII,
    )
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 512M or 2GiB")
    return int(Fraction(match[1]) * _BYTE_FACTORS[match[2].upper()])


def format_tft(amount: int) -> str:
    """Render money for people, exactly.

    >>> format_tft(12_500_000), format_tft(-1), format_tft(30 * TFT)
    ('1.2500000', '-0.0000001', '30.0000000')
    """
    whole, rest = divmod(abs(amount), TFT)
    return f"{'-' if amount < 0 else ''}{whole}.{rest:0{_TFT_DECIMALS}d}"


def parse_tft(text: str) -> Amount:
    """Read money that a person wrote. Raises ValueError when it is not exact.

    >>> parse_tft("1.25"), parse_tft("30")
    (12500000, 300000000)
    """
    match = re.fullmatch(rf"([0-9]{{1,11}})(?:\.([0-9]{{1,{_TFT_DECIMALS}}}))?", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an amount; write for example 12.5 (at most 7 decimals)")
    return Amount(int(match[1]) * TFT + int((match[2] or "").ljust(_TFT_DECIMALS, "0")))


def parse_duration_seconds(text: str) -> int:
    """Read a duration that a person wrote, in seconds. Raises ValueError.

    >>> parse_duration_seconds("90s"), parse_duration_seconds("2h")
    (90, 7200)
    """
    match = re.fullmatch(r"([0-9]{1,9})\s*([smhd])", text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration; write for example 90s, 30m, 12h or 7d")
    return int(match[1]) * _DURATION_SECONDS[match[2]]
