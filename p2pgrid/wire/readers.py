"""Readers: for each record class, a function made once that turns plain CBOR values into it.

Peers read thousands of records a second, so a reader is Python source made from the types of
the fields, as `dataclasses` makes `__init__`: every check stands in line, and no list of fields is
walked. Only our own class and field names get into that source, nothing that came from outside.

With each reader goes a measure: how long the canonical encoding of the values is that the reader
let pass. In our part of CBOR every value has exactly one shortest encoding, the canonical one, and
all others are longer; so bytes that are as long as that, and say the value, are canonical.
"""

import reprlib
import types
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from enum import IntEnum
from functools import cache
from typing import Any, NoReturn, Union, cast, get_args, get_origin

from p2pgrid.errors import MalformedRecord
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.wire.shapes import TAG_OF, base_of, field_types, is_normal

_INDENT = "    "
_SCALARS = (int, str, bytes, bool)


@dataclass(frozen=True, slots=True)
class Reader:
    """How values of one type are read."""

    read: Callable[[object], Any]
    """Plain CBOR values to a value of the type. Raises MalformedRecord, ValueError."""
    measure: Callable[[Any], int]
    """Bytes of the canonical encoding of plain values that `read` let pass."""


@cache
def reader_of(wanted: Any) -> Reader:
    """The reader of a type that may stand in records.

    Raises:
        TypeError: it may not.
    """
    wanted = base_of(wanted)
    if get_origin(wanted) in (types.UnionType, Union) and type(None) not in get_args(wanted):
        return _union_reader(get_args(wanted))
    source = _Source()
    if is_dataclass(wanted):
        source.read_record(cast(type, wanted))
        return source.compile(source.size_of_record(cast(type, wanted)))
    source.read("value", wanted)
    source.add("return value")
    return source.compile(source.size("value", wanted))


class _Source:
    """The source of one reader, and what its names stand for."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 1
        self._names: dict[str, object] = {"refuse": _refuse, "is_normal": is_normal}

    def add(self, *lines: str) -> None:
        """Append statements at the present depth."""
        self._lines += [_INDENT * self._depth + line for line in lines]

    def compile(self, size: str) -> Reader:
        """The reader of the statements so far, and of the expression that measures."""
        lines = ["def read(value):", *self._lines, "def measure(value):", f"{_INDENT}return {size}"]
        exec("\n".join(lines), self._names)
        return Reader(cast(Any, self._names["read"]), cast(Any, self._names["measure"]))

    # --- statements that read the cell of a name, in place ----------------------------------------

    def read_record(self, cls: type) -> None:
        """Read `value`, an array of the fields of `cls`, and return the record."""
        types_of = field_types(cls)
        cells = [f"cell{number}" for number in range(len(types_of))]
        self._refuse_unless(f"type(value) is list and len(value) == {len(cells)}",
                            f"{cls.__name__} of {len(cells)} fields", "value")  # fmt: skip
        if cells:
            self.add(f"{', '.join(cells)}, = value")
        for cell, (_, wanted) in zip(cells, types_of, strict=True):
            self.read(cell, wanted)
        given = [f"{name}={cell}" for cell, (name, _) in zip(cells, types_of, strict=True)]
        self.add(f"return {self._name(cls)}({', '.join(given)})")

    def read(self, cell: str, wanted: Any) -> None:
        """Read the plain value in `cell`, and leave there what it becomes."""
        wanted = base_of(wanted)
        if wanted in _SCALARS:
            self._refuse_unless(_is_scalar(cell, wanted), _SAID[wanted], cell)
        elif isinstance(wanted, type) and issubclass(wanted, IntEnum):
            members = self._name({int(member): member for member in wanted})
            self._refuse_unless(
                f"type({cell}) is int and {cell} in {members}", wanted.__name__, cell
            )
            self.add(f"{cell} = {members}[{cell}]")
        elif get_origin(wanted) is tuple:
            self._read_tuple(cell, get_args(wanted))
        elif type(None) in get_args(wanted):
            self._read_optional(cell, _present(wanted))
        elif is_dataclass(wanted) or get_origin(wanted) in (types.UnionType, Union):
            self.add(f"{cell} = {self._name(reader_of(wanted).read)}({cell})")
        else:
            raise TypeError(f"{wanted} cannot stand in a record")

    def _read_tuple(self, cell: str, arguments: tuple[Any, ...]) -> None:
        if not _is_of_any_length(arguments):
            self._refuse_unless(f"type({cell}) is list and len({cell}) == {len(arguments)}",
                                f"{len(arguments)} items", cell)  # fmt: skip
            reads = [self._name(reader_of(one).read) for one in arguments]
            items = [f"{read}({cell}[{place}])" for place, read in enumerate(reads)]
            self.add(f"{cell} = ({''.join(f'{item}, ' for item in items)})")
            return
        self._refuse_unless(f"type({cell}) is list", "an array", cell)
        wanted = base_of(arguments[0])
        if wanted in _SCALARS:
            self.add(f"for one in {cell}:")
            self._depth += 1
            self._refuse_unless(_is_scalar("one", wanted), _SAID[wanted], "one")
            self._depth -= 1
            self.add(f"{cell} = tuple({cell})")
        else:
            self.add(f"{cell} = tuple(map({self._name(reader_of(wanted).read)}, {cell}))")

    def _read_optional(self, cell: str, wanted: Any) -> None:
        self._refuse_unless(f"type({cell}) is list and len({cell}) < 2", "none or one", cell)
        self.add(f"if {cell}:")
        self._depth += 1
        self.add(f"{cell}, = {cell}")
        self.read(cell, wanted)
        self._depth -= 1
        self.add("else:", f"{_INDENT}{cell} = None")

    def _refuse_unless(self, condition: str, said: str, cell: str) -> None:
        self.add(f"if not ({condition}): refuse({said!r}, {cell})")

    # --- expressions that measure -----------------------------------------------------------------

    def size_of_record(self, cls: type) -> str:
        """How long `value`, an array of the fields of `cls`, is."""
        sizes = [
            self.size(f"value[{place}]", wanted)
            for place, (_, wanted) in enumerate(field_types(cls))
        ]
        return " + ".join([str(head_bytes(len(sizes))), *sizes])

    def size(self, cell: str, wanted: Any) -> str:
        """How long the plain value `cell` is, once it was let pass as `wanted`."""
        wanted, arguments = base_of(wanted), get_args(wanted)
        if wanted is bool:
            return "1"
        if isinstance(wanted, type) and issubclass(wanted, int):
            return _head(f"(n := {cell})")
        if wanted is bytes:
            return f"{_head(f'(n := len({cell}))')} + n"
        if wanted is str:
            return f"{_head(f'(n := len(t if (t := {cell}).isascii() else t.encode()))')} + n"
        if type(None) in arguments:
            return f"(1 + {self.size(f'{cell}[0]', _present(wanted))} if {cell} else 1)"
        if get_origin(wanted) is tuple and _is_of_any_length(arguments):
            each = f"sum([{self.size('one', arguments[0])} for one in {cell}])"
            return f"{_head(f'(n := len({cell}))')} + {each}"
        if get_origin(wanted) is tuple:
            items = [self.size(f"{cell}[{place}]", one) for place, one in enumerate(arguments)]
            return " + ".join([str(head_bytes(len(items))), *items])
        return f"{self._name(reader_of(wanted).measure)}({cell})"

    def _name(self, value: object) -> str:
        name = f"name{len(self._names)}"
        self._names[name] = value
        return name


_SAID = {
    int: "an integer of 0 to 2^63-1",
    str: "a text in form NFC",
    bytes: "bytes",
    bool: "bool",
}


def head_bytes(number: int) -> int:
    """Length of the shortest head of CBOR for an integer, or for so many bytes or items."""
    return 1 if number < 24 else 2 if number < 2**8 else 3 if number < 2**16 else _long(number)


def _long(number: int) -> int:
    return 5 if number < 2**32 else 9


def _head(number: str) -> str:
    """`head_bytes` as an expression; `number` is one that leaves itself in `n`."""
    return (
        f"(1 if {number} < 24 else 2 if n < 256 else 3 if n < 65536 else 5 if n < {2**32} else 9)"
    )


def _is_scalar(cell: str, wanted: type) -> str:
    is_type = f"type({cell}) is {wanted.__name__}"
    if wanted is int:
        return f"{is_type} and 0 <= {cell} <= {INTEGER_MAX}"
    if wanted is str:
        return f"{is_type} and ({cell}.isascii() or is_normal({cell}))"
    return is_type


def _is_of_any_length(arguments: tuple[Any, ...]) -> bool:
    return len(arguments) == 2 and arguments[1] is Ellipsis


def _present(wanted: Any) -> Any:
    """The T of `T | None`."""
    (inner,) = (one for one in get_args(wanted) if one is not type(None))
    return inner


def _union_reader(arguments: tuple[Any, ...]) -> Reader:
    of_tag = {TAG_OF[cls]: reader_of(cls) for cls in arguments}
    assert len(of_tag) == len(arguments), f"two variants of {arguments} share a tag"

    def read(value: object) -> object:
        if type(value) is not list or not value:
            _refuse("an array with a tag", value)
        tag, *values = value
        if type(tag) is not int or tag not in of_tag:
            raise MalformedRecord(f"no variant {reprlib.repr(tag)}")
        return of_tag[tag].read(values)

    def measure(value: list[Any]) -> int:
        tag, *values = value
        head = head_bytes(len(value)) - head_bytes(len(values))  # `values` has one of its own
        return head + head_bytes(tag) + of_tag[tag].measure(values)

    return Reader(read, measure)


def _refuse(wanted: str, value: object) -> NoReturn:
    raise MalformedRecord(f"expected {wanted}, got {reprlib.repr(value)}")
