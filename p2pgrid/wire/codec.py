"""Canonical CBOR: frozen dataclasses to bytes and back, with exactly one encoding each.

    record      array of its fields in order
    int         0 to 2^63-1, shortest form
    bytes, bool, str (Unicode form NFC): themselves
    tuple       array
    IntEnum     its number
    T | None    array of none or one
    A | B | C   [tag, fields...] of the variant

No floats, maps, tags, null, negative or indefinite anything. `cbor2.loads`
alone accepts trailing bytes, long integers, duplicate keys and tags; with ids
and signatures over bytes that is malleability, so every decoded value passes
an allow-list of exact types and must be as long as its one encoding (`readers`).
Tags are refused before they are decoded: shared references (28, 29) would
turn a few bytes into gigabytes, others into dates, patterns and fractions.

Messages between peers that are not records use `encode` and `decode` alike.
"""

import reprlib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin

import cbor2

from p2pgrid.errors import InvalidRecord, MalformedRecord
from p2pgrid.limits.wire import INTEGER_MAX, NESTING_MAX, RECORD_BYTES_MAX
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.readers import reader_of
from p2pgrid.wire.shapes import TAG_OF, base_of, field_types, is_normal

_R = TypeVar("_R")
_Writer = Callable[[Any], object]

_REASON_LENGTH_MAX = 200
"""Characters of a reason that reach logs; a peer could make it as long as its record."""

_kind_of: dict[type, RecordKind] = {}
_record_of: dict[RecordKind, type] = {}


def record(kind: RecordKind) -> Callable[[type[_R]], type[_R]]:
    """Class decorator: this frozen dataclass is what travels as `kind`."""

    def register(cls: type[_R]) -> type[_R]:
        assert kind not in _record_of, f"{kind!r} is {_record_of[kind]}"
        _kind_of[cls], _record_of[kind] = kind, cls
        return cls

    return register


def variant(tag: int) -> Callable[[type[_R]], type[_R]]:
    """Class decorator: this frozen dataclass stands in unions as `[tag, fields…]`."""

    def register(cls: type[_R]) -> type[_R]:
        TAG_OF[cls] = tag
        return cls

    return register


def variant_tag(cls: type) -> int | None:
    """The tag of `cls` in unions; None when it was not given one."""
    return TAG_OF.get(cls)


def kind_of(cls: type) -> RecordKind:
    """The kind that `cls` was registered as."""
    return _kind_of[cls]


def record_classes() -> dict[RecordKind, type]:
    """Every registered record class of the modules imported so far."""
    return dict(_record_of)


def encode(value: object) -> bytes:
    """The canonical bytes of a record or message.

    Raises:
        InvalidRecord: an integer is out of range or a text is not NFC.
    """
    return cbor2.dumps(_writer(cast(Any, type(value)))(value))


def decode(cls: type[_R], data: bytes, *, bytes_max: int = RECORD_BYTES_MAX) -> _R:
    """Read one `cls` that came from outside.

    Raises:
        MalformedRecord: too long, wrong field types or values, or not the
            canonical encoding of what it says.
    """
    if len(data) > bytes_max:
        raise MalformedRecord(f"{cls.__name__} of {len(data)} bytes, the limit is {bytes_max}")
    try:
        plain = cbor2.loads(
            data,
            max_depth=NESTING_MAX,
            allow_indefinite=False,
            strict_hashable_types=True,
            semantic_decoders=_NO_TAGS,
        )
        reader = reader_of(cast(Any, cls))
        result = reader.read(plain)
        is_canonical = reader.measure(plain) == len(data)
    except MalformedRecord:
        raise
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise MalformedRecord(f"{cls.__name__}: {str(error)[:_REASON_LENGTH_MAX]}") from error
    if not is_canonical:
        raise MalformedRecord(f"{cls.__name__} is not in canonical form")
    return cast(_R, result)


# --- writing --------------------------------------------------------------------------------------


def _as_is(value: object) -> object:
    return value


def _write_int(value: int) -> object:
    if not 0 <= value <= INTEGER_MAX:
        raise InvalidRecord(f"integer out of range: {value}")
    return int(value)


def _write_text(value: str) -> object:
    if not is_normal(value):
        raise InvalidRecord(f"text is not in Unicode form NFC: {reprlib.repr(value)}")
    return value


@cache
def _writer(wanted: Any) -> _Writer:
    """Compile how a value of type `wanted` becomes plain CBOR values."""
    wanted = base_of(wanted)
    if wanted in _SCALAR_WRITERS:
        return _SCALAR_WRITERS[wanted]
    if isinstance(wanted, type) and issubclass(wanted, IntEnum):
        return int
    if is_dataclass(wanted):
        return _record_writer(cast(type, wanted))
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is tuple:
        return _tuple_writer(arguments)
    if origin in (types.UnionType, Union):
        return _union_writer(arguments)
    raise TypeError(f"{wanted} cannot stand in a record")


def _record_writer(cls: type) -> _Writer:
    columns = [(name, _writer(hint)) for name, hint in field_types(cls)]
    return lambda value: [write(getattr(value, name)) for name, write in columns]


def _tuple_writer(arguments: tuple[Any, ...]) -> _Writer:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _writer(arguments[0])
        return lambda value: [item(one) for one in value]
    items = [_writer(argument) for argument in arguments]
    return lambda value: [write(one) for write, one in zip(items, value, strict=True)]


def _union_writer(arguments: tuple[Any, ...]) -> _Writer:
    if type(None) in arguments:
        (inner,) = (_writer(one) for one in arguments if one is not type(None))
        return lambda value: [] if value is None else [inner(value)]
    of_type = {cls: (TAG_OF[cls], _record_writer(cls)) for cls in arguments}

    def write(value: object) -> object:
        tag, fields_of = of_type[type(value)]
        return [tag, *cast(list[object], fields_of(value))]

    return write


class _NoTags(Mapping[int, Callable[[object], NoReturn]]):
    """A decoder for every tag there is or will be, which refuses it."""

    def __getitem__(self, tag: int) -> Callable[[object], NoReturn]:
        raise MalformedRecord(f"tag {tag} does not stand in records")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS = _NoTags()

_SCALAR_WRITERS: dict[Any, _Writer] = {
    int: _write_int,
    str: _write_text,
    bytes: _as_is,
    bool: _as_is,
}
