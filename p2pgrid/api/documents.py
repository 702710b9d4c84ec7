"""Records as JSON documents: same field names, ids as hex, enums by name, integers unrounded."""

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any


def to_json(value: Any) -> Any:
    r"""The JSON form of a record, or of anything made of records.

    >>> to_json((b"\x01\xff", None, 3))
    ['01ff', None, 3]
    """
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Enum):
        return value.name.lower()
    if is_dataclass(value):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list | frozenset | set):
        return [to_json(one) for one in value]
    if isinstance(value, dict):
        return {str(to_json(key)): to_json(one) for key, one in value.items()}
    return str(value) if isinstance(value, Path) else value


def format_time(time_ms: int) -> str:
    """A point in time for people and programs alike: ISO 8601 in UTC, to the second.

    >>> format_time(1_700_000_000_000)
    '2023-11-14T22:13:20Z'

    Others sign what times they like; one that no calendar has is shown as its last second.
    """
    try:
        moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    except (ValueError, OverflowError, OSError):
        moment = datetime.max.replace(tzinfo=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
