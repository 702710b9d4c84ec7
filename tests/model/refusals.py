"""Helps to say: this record, with these fields instead, is refused."""

from dataclasses import replace
from typing import Any

import pytest

from p2pgrid.errors import InvalidRecord, MalformedRecord
from p2pgrid.wire.codec import decode, encode


def expect_refused(valid: Any, **changes: Any) -> None:
    """Neither can it be made here, nor does it come in from outside."""
    with pytest.raises(InvalidRecord):
        replace(valid, **changes)

    smuggled = encode(_unchecked(valid, changes))
    with pytest.raises(MalformedRecord):
        decode(type(valid), smuggled)


def _unchecked(valid: Any, changes: dict[str, Any]) -> Any:
    """As a peer without our rules would make it."""
    copy = object.__new__(type(valid))
    for name in valid.__dataclass_fields__:
        object.__setattr__(copy, name, changes.get(name, getattr(valid, name)))
    return copy
