"""What a class looks like in CDDL by its types alone: the proposal that a failing test prints."""

import re
import types
from dataclasses import fields, is_dataclass
from enum import IntEnum
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

from p2pgrid.wire.codec import variant_tag
from tests.wire.travelling import rule_name

_GROUND = {int: "uint63", str: "tstr", bytes: "bstr", bool: "bool"}
_NAMED = {"TimestampMs": "time-ms", "Amount": "amount", "NetworkId": "network-id"}


def proposed_rule(cls: type) -> str:
    """The rule of one class, to be narrowed by hand, with a name for every choice."""
    name = rule_name(cls)
    if issubclass(cls, IntEnum):
        return f"{name} = {' / '.join(str(int(one)) for one in cls)}"
    hints = get_type_hints(cls)
    columns, choices = [], []
    for field in fields(cast(Any, cls)):
        text = _type_name(hints[field.name])
        for choice in re.findall(r"\((.*?)\)", text):
            choices.append(f"\n{name}-{field.name} = {choice}")
            text = text.replace(f"({choice})", f"{name}-{field.name}")
        columns.append(f"{field.name}: {text}")
    tag = variant_tag(cls)
    inside = columns if tag is None else [str(tag), *columns]
    return f"{name} = [{', '.join(inside)}]{''.join(choices)}"


def _type_name(wanted: Any) -> str:
    name = getattr(wanted, "__name__", "")
    if hasattr(wanted, "__supertype__"):
        base = wanted.__supertype__
        return _NAMED.get(name) or ("id" if name.endswith("Id") else _type_name(base))
    if wanted in _GROUND:
        return _GROUND[wanted]
    if isinstance(wanted, type) and (is_dataclass(wanted) or issubclass(wanted, IntEnum)):
        return rule_name(wanted)
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin in (types.UnionType, Union):
        some = [_type_name(one) for one in arguments if one is not type(None)]
        return f"({' / '.join(some)})" if len(some) == len(arguments) else f"[? {some[0]}]"
    assert origin is tuple
    if arguments[-1] is Ellipsis:
        return f"[* {_type_name(arguments[0])}]"
    return f"[{', '.join(map(_type_name, arguments))}]"


def parts_of(cls: type) -> tuple[type, ...]:
    """The records and enumerations that fields of `cls` hold, at any depth, `cls` first."""
    found: dict[type, None] = {cls: None}

    def look(wanted: Any) -> None:
        is_part = isinstance(wanted, type) and (is_dataclass(wanted) or issubclass(wanted, IntEnum))
        if is_part and wanted not in found:
            found[wanted] = None
        if is_dataclass(wanted):
            for hint in get_type_hints(wanted).values():
                look(hint)
        for argument in get_args(wanted):
            look(argument)

    look(cls)
    return tuple(found)
