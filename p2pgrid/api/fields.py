"""What a request says, read strictly: whatever is of the wrong kind is refused in one line.

Scripts talk to the control API too, and a field that was misunderstood can cost money.
"""

import difflib
import json
import re
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from starlette.requests import Request

from p2pgrid.errors import BadInput
from p2pgrid.limits.control import CONTROL_BODY_BYTES_MAX
from p2pgrid.model.address import looks_like_address, parse_account

Json = Any

_E = TypeVar("_E", bound=Enum)

_SHOWN_CHARACTERS_MAX = 70
_WHOLE = re.compile(r"[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,19}(\.[0-9]{1,19})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of a body or a query. Null counts as not there. Everything raises BadInput."""

    values: Mapping[str, Json]
    is_query: bool = False
    """Numbers of a query are written as text."""

    def has(self, name: str) -> bool:
        """Whether it is there."""
        return self.values.get(name) is not None

    def only(self, *known: str) -> None:
        """Refuse fields that are not `known`."""
        for name in self.values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {_listed(known)}"
                raise BadInput(f"the request has an unknown field {shown(name)}; {hint}")

    def text(self, name: str, default: str | None = None) -> str:
        """A text; required without a default."""
        value = self._get(name, default)
        if not isinstance(value, str):
            raise BadInput(f"{name} is a text, not {shown(value)}")
        return value

    def optional(self, name: str) -> str | None:
        """A text that may be missing."""
        return self.text(name) if self.has(name) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts; none by default."""
        value = self._get(name, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise BadInput(f"{name} is a list of texts, not {shown(value)}")
        return tuple(value)

    def whole(self, name: str, default: int | None = None, *, most: int) -> int:
        """A whole number from 0 to `most`; required without a default."""
        value = self._get(name, default)
        if self.is_query and isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or not 0 <= value <= most:
            raise BadInput(f"{name} is a whole number from 0 to {most}, not {shown(value)}")
        return int(value)

    def number(self, name: str, default: float | None = None, *, most: float) -> float:
        """A number from 0 to `most`; required without a default."""
        value = self._get(name, default)
        if self.is_query and isinstance(value, str) and _DECIMAL.fullmatch(value):
            value = float(value)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not 0 <= value <= most:  # which "not a number" is not, either
            raise BadInput(f"{name} is a number from 0 to {most:g}, not {shown(value)}")
        return float(value)

    def flag(self, name: str) -> bool:
        """Yes or no; no by default."""
        value = self.values.get(name)
        if value is None:
            return False
        if self.is_query and value in ("0", "1"):
            value = value == "1"
        if not isinstance(value, bool):
            raise BadInput(f"{name} is true or false, not {shown(value)}")
        return value

    def choice(self, name: str, enum: type[_E], default: _E) -> _E:
        """One of the names of an enumeration."""
        return choose(enum, self.text(name), name) if self.has(name) else default

    def table(self, name: str) -> dict[str, Json]:
        """A JSON object; required."""
        value = self._get(name, None)
        if not isinstance(value, dict):
            raise BadInput(f"{name} is a JSON object, not {shown(value)}")
        return value

    def _get(self, name: str, default: Json) -> Json:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise BadInput(f"the request lacks {name!r}")
        return value


async def read_body(request: Request, *known: str) -> Fields:
    """The body as a JSON object with no other fields than `known`; empty if there is none.

    Raises:
        BadInput: it is too long, not JSON, or something else than an object.
    """
    body = bytearray()
    async with aclosing(request.stream()) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) > CONTROL_BODY_BYTES_MAX:
                raise BadInput(f"the request is longer than {CONTROL_BODY_BYTES_MAX} bytes")
    fields = Fields(_decode(bytes(body)) if body.strip() else {})
    fields.only(*known)
    return fields


def read_query(request: Request, *known: str, lists: tuple[str, ...] = ()) -> Fields:
    """The query with no other fields than `known` and `lists`, which may occur again and again.

    Raises:
        BadInput: it has another field, or one that is no list twice.
    """
    query = request.query_params
    values: dict[str, Json] = {name: query.getlist(name) for name in query}
    for name, given in values.items():
        if name not in lists:
            if len(given) > 1:
                raise BadInput(f"{shown(name)} is there {len(given)} times in the query")
            values[name] = given[0]
    fields = Fields(values, is_query=True)
    fields.only(*known, *lists)
    return fields


def choose(enum: type[_E], text: str, what: str) -> _E:
    """The member of that name. Raises BadInput, which names them all."""
    for one in enum:
        if one.name == text.upper().replace("-", "_"):
            return one
    raise BadInput(f"{shown(text)} is no {what}; there are {_listed([e.name for e in enum])}")


def key_of(text: str) -> bytes:
    """A public key of 64 hex digits. Raises BadInput."""
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text, re.ASCII):
        raise BadInput(f"{shown(text)} is not an id of 64 hex digits")
    return bytes.fromhex(text)


def account_key(text: str) -> bytes:
    """The key of an account: its address, or 64 hex digits. Raises BadInput."""
    return parse_account(text) if looks_like_address(text) else key_of(text)


def shown(value: object) -> str:
    """A value that somebody sent, short enough for a message, in which it cannot hide."""
    text = ascii(value)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return repr(value) if isinstance(value, str) and value.isprintable() else text
    return text[:_SHOWN_CHARACTERS_MAX] + "…"


def _decode(body: bytes) -> dict[str, Json]:
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False).encode()  # no halves of UTF-16 pairs
    except RecursionError:
        raise BadInput("the request is nested too deeply") from None
    except ValueError as error:
        raise BadInput(f"the request is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadInput("the request is not a JSON object")
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _listed(names: object) -> str:
    assert isinstance(names, list | tuple), "names in order"
    return ", ".join(name.lower() for name in names) or "none"
