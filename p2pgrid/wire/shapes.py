"""What records are made of: the types of their fields, the tags of variants, and which texts."""

import unicodedata
from dataclasses import fields
from functools import cache
from typing import Any, cast, get_type_hints

TAG_OF: dict[type, int] = {}
"""Class -> its number in unions; `codec.variant` fills it."""


def base_of(wanted: Any) -> Any:
    """A NewType's base; anything else as it is."""
    while hasattr(wanted, "__supertype__"):
        wanted = wanted.__supertype__
    return wanted


@cache
def field_types(cls: type) -> tuple[tuple[str, Any], ...]:
    """(name, type) of each field of a dataclass, in order."""
    hints = get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in fields(cast(Any, cls)))


def is_normal(text: str) -> bool:
    """Whether a text is UTF-8 in form NFC, by the one table that every Python has.

    Newer Unicode versions assign characters that older ones leave alone: by the
    newest table, peers with different Pythons would judge one record differently.
    """
    if text.isascii():
        return True
    has_surrogate = any("\ud800" <= character <= "\udfff" for character in text)
    return not has_surrogate and unicodedata.ucd_3_2_0.is_normalized("NFC", text)
