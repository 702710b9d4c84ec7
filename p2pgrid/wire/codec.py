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
an allow-list of exact types and must encode to the very bytes it came from.
Tags are refused before they are decoded: shared references (28, 29) would
turn a few bytes into gigabytes, others into dates, patterns and fractions.

Messages between peers that are not records use `encode` and `decode` alike.
"""

import reprlib
import types
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import cbor2

from p2pgrid.errors import InvalidRecord, MalformedRecord
from p2pgrid.limits.wire import INTEGER_MAX, NESTING_MAX, RECORD_BYTES_MAX
from p2pgrid.wire.kinds import RecordKind

_R = TypeVar("_R")
_Reader = Callable[[object], Any]
_Writer = Callable[[Any], object]

_REASON_LENGTH_MAX = 200
"""Characters of a reason that reach logs; a peer could make it as long as its record."""

_kind_of: dict[type, RecordKind] = {}
_record_of: dict[RecordKind, type] = {}
_tag_of: dict[type, int] = {}


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
        _tag_of[cls] = tag
        return cls

    return register


def variant_tag(cls: type) -> int | None:
    """The tag of `cls` in unions; None when it was not given one."""
    return _tag_of.get(cls)


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
    return cbor2.dumps(_writer(cast(Any, type(value)))(value), canonical=True)


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
        result = _reader(cast(Any, cls))(plain)
        is_canonical = cbor2.dumps(plain) == data  # the reader let no map or float pass
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
    if not _is_normal(value):
        raise InvalidRecord(f"text is not in Unicode form NFC: {reprlib.repr(value)}")
    return value


@cache
def _writer(wanted: Any) -> _Writer:
    """Compile how a value of type `wanted` becomes plain CBOR values."""
    wanted = _base(wanted)
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
    columns = [(name, _writer(hint)) for name, hint in _field_types(cls)]
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
    of_type = {cls: (_tag_of[cls], _record_writer(cls)) for cls in arguments}

    def write(value: object) -> object:
        tag, fields_of = of_type[type(value)]
        return [tag, *cast(list[object], fields_of(value))]

    return write


# --- reading --------------------------------------------------------------------------------------


def _read_int(value: object) -> int:
    if type(value) is not int or not 0 <= value <= INTEGER_MAX:
        raise MalformedRecord(f"expected an integer of 0 to 2^63-1, got {reprlib.repr(value)}")
    return value


def _read_text(value: object) -> str:
    if type(value) is not str or not _is_normal(value):
        raise MalformedRecord(f"expected a text in form NFC, got {reprlib.repr(value)}")
    return value


def _exactly(wanted: type) -> _Reader:
    def read(value: object) -> object:
        if type(value) is not wanted:
            raise MalformedRecord(f"expected {wanted.__name__}, got {reprlib.repr(value)}")
        return value

    return read


def _array(value: object) -> list[object]:
    if type(value) is not list:
        raise MalformedRecord(f"expected an array, got {reprlib.repr(value)}")
    return value


@cache
def _reader(wanted: Any) -> _Reader:
    """Compile how plain CBOR values become a value of type `wanted`."""
    wanted = _base(wanted)
    if wanted in _SCALAR_READERS:
        return _SCALAR_READERS[wanted]
    if isinstance(wanted, type) and issubclass(wanted, IntEnum):
        enum = wanted
        return lambda value: enum(_read_int(value))
    if is_dataclass(wanted):
        return _record_reader(cast(type, wanted))
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin in (types.UnionType, Union):
        return _union_reader(arguments)
    raise TypeError(f"{wanted} cannot stand in a record")


def _record_reader(cls: type) -> _Reader:
    names = [name for name, _ in _field_types(cls)]
    readers = [_reader(hint) for _, hint in _field_types(cls)]

    def read(value: object) -> object:
        values = _array(value)
        if len(values) != len(names):
            raise MalformedRecord(f"{cls.__name__} has {len(names)} fields, got {len(values)}")
        cells = [read_one(one) for read_one, one in zip(readers, values, strict=True)]
        return cls(**dict(zip(names, cells, strict=True)))

    return read


def _tuple_reader(arguments: tuple[Any, ...]) -> _Reader:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = _reader(arguments[0])
        return lambda value: tuple(item(one) for one in _array(value))
    items = [_reader(argument) for argument in arguments]

    def read(value: object) -> object:
        values = _array(value)
        if len(values) != len(items):
            raise MalformedRecord(f"expected {len(items)} items, got {len(values)}")
        return tuple(read(one) for read, one in zip(items, values, strict=True))

    return read


def _union_reader(arguments: tuple[Any, ...]) -> _Reader:
    if type(None) in arguments:
        (inner,) = (_reader(one) for one in arguments if one is not type(None))

        def read_optional(value: object) -> object:
            values = _array(value)
            if len(values) > 1:
                raise MalformedRecord(f"expected none or one, got {len(values)}")
            return inner(values[0]) if values else None

        return read_optional
    of_tag = {_tag_of[cls]: _record_reader(cls) for cls in arguments}
    assert len(of_tag) == len(arguments), f"two variants of {arguments} share a tag"

    def read(value: object) -> object:
        tag, *values = _array(value) or [None]
        if type(tag) is not int or tag not in of_tag:
            raise MalformedRecord(f"no variant {reprlib.repr(tag)}")
        return of_tag[tag](values)

    return read


class _NoTags(Mapping[int, Callable[[object], NoReturn]]):
    """A decoder for every tag there is or will be, which refuses it."""

    def __getitem__(self, tag: int) -> Callable[[object], NoReturn]:
        raise MalformedRecord(f"tag {tag} does not stand in records")

    def __iter__(self) -> Iterator[int]:
        return iter(())

    def __len__(self) -> int:
        return 0


_NO_TAGS = _NoTags()


# --- types ----------------------------------------------------------------------------------------


def _base(wanted: Any) -> Any:
    """A NewType's base; anything else as it is."""
    while hasattr(wanted, "__supertype__"):
        wanted = wanted.__supertype__
    return wanted


def _is_normal(text: str) -> bool:
    """Whether a text is UTF-8 in form NFC, by the one table that every Python has.

    Newer Unicode versions assign characters that older ones leave alone: by the
    newest table, peers with different Pythons would judge one record differently.
    """
    if text.isascii():
        return True
    has_surrogate = any("\ud800" <= character <= "\udfff" for character in text)
    return not has_surrogate and unicodedata.ucd_3_2_0.is_normalized("NFC", text)


@cache
def _field_types(cls: type) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(cls)
    return tuple((field.name, hints[field.name]) for field in fields(cast(Any, cls)))


_SCALAR_WRITERS: dict[Any, _Writer] = {
    int: _write_int,
    str: _write_text,
    bytes: _as_is,
    bool: _as_is,
}
_SCALAR_READERS: dict[Any, _Reader] = {
    int: _read_int,
    str: _read_text,
    bytes: _exactly(bytes),
    bool: _exactly(bool),
}
