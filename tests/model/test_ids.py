"""Ids have 32 bytes, and texts show as what they are."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.ids import one_line, require_ids, require_text, short


@pytest.mark.parametrize("length", [0, 31, 33])
def test_an_id_has_32_bytes(length: int) -> None:
    require_ids(bytes(32), bytes(32))
    with pytest.raises(InvalidRecord, match=f"got {length}"):
        require_ids(bytes(32), bytes(length))


def test_short_ids_are_for_people() -> None:
    assert short(bytes.fromhex("0123456789abcdef")) == "01234567"


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param("\x00", id="zero"),
        pytest.param("\n", id="line end"),
        pytest.param("\x1b", id="escape"),
        pytest.param("\x7f", id="delete"),
        pytest.param("\x9b", id="escape of one byte"),
        pytest.param("\u202e", id="right to left from here"),
        pytest.param("\u2066", id="isolate"),
        pytest.param("\u200b", id="space of no width"),
        pytest.param("\u2028", id="line separator"),
        pytest.param("\ufeff", id="byte order mark"),
        pytest.param("\u00ad", id="soft hyphen"),
        pytest.param("\U000e0041", id="tag letter"),
        pytest.param("\U000e0100", id="variation"),
        pytest.param("\ufe0f", id="variation of old"),
        pytest.param("\u034f", id="joiner of graphemes"),
        pytest.param("\u115f", id="filler of hangul"),
        pytest.param("\u3164", id="filler"),
        pytest.param("\uffa0", id="filler of half width"),
        pytest.param("\u2800", id="braille without dots"),
        pytest.param("\u180e", id="vowel separator"),
        pytest.param("\U0001d173", id="beam of notes"),
        pytest.param("\ue123", id="private use"),
        pytest.param("\u0301" * 5, id="heap of marks"),
        pytest.param("\ud800", id="half a pair"),
    ],
)
def test_nothing_hides_in_a_text(hidden: str) -> None:
    with pytest.raises(InvalidRecord, match="farm name holds"):
        require_text(f"a{hidden}b", "farm name", bytes_max=64)
    assert one_line(f"a{hidden}b", bytes_max=64) == "a b"


@pytest.mark.parametrize(
    "text",
    ["Räuber & Söhne", "農場", "مزرعه", "🌾 farm", "نامه\u200cها", "Việt Nam", "q\u0323\u0303", ""],
)
def test_every_script_is_welcome(text: str) -> None:
    require_text(text, "farm name", bytes_max=64)
    assert one_line(text, bytes_max=64) == text


@given(st.text(), st.integers(0, 40))
def test_any_text_can_be_made_one_line(text: str, bytes_max: int) -> None:
    line = one_line(text, bytes_max=bytes_max)

    require_text(line, "detail", bytes_max=bytes_max)
    assert unicodedata.ucd_3_2_0.is_normalized("NFC", line)


def test_a_text_is_measured_in_bytes() -> None:
    require_text("ä" * 8, "city", bytes_max=16)
    with pytest.raises(InvalidRecord, match="city is longer than 16 bytes"):
        require_text("ä" * 9, "city", bytes_max=16)
