"""Reservation documents: what a person writes, read strictly.

    duration = "2h"                  # or 90s, 30m, 7d
    grace = "1d"                     # how long to keep the data after the end; default none
    price_max = "1.5"                # TFT an hour, at most; default any price

    [[container]]                    # one or more
    name = "web"
    image = "3f9c/web:1"             # publisher/name:tag, or the 64-digit id of an flist
    cores = 0.5                      # default 1
    memory = "256M"                  # default 512M
    disk = "1G"                      # writable layer; default 1G
    command = ["httpd", "-f"]        # default: what the image says
    env = { NAME = "value" }
    ports = [8080, "53/udp"]
    restart = "on-failure"           # never (default), on-failure, always
    user = "1000:1000"
    read_only = false

A key or value that is not understood is an error that says where it stands and
what was probably meant: a typing mistake must not become a default that costs money.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TypeGuard, cast

from p2pgrid.errors import BadInput, InvalidRecord
from p2pgrid.limits.reservation import DOCUMENT_BYTES_MAX
from p2pgrid.model.flist import FlistReference
from p2pgrid.model.ids import FlistId
from p2pgrid.model.reservation import (
    DURATION_SECONDS_MAX,
    DURATION_SECONDS_MIN,
    WORKLOADS_MAX,
)
from p2pgrid.model.workload import Container, IpProtocol, Port, RestartPolicy, Workload
from p2pgrid.units import GIB, MIB, Amount, parse_bytes, parse_duration_seconds, parse_tft

_RESTARTS = {
    "never": RestartPolicy.NEVER,
    "on-failure": RestartPolicy.ON_FAILURE,
    "always": RestartPolicy.ALWAYS,
}
_PORT = re.compile(r"(\d{1,5})(?:/(tcp|udp))?")
_UNKNOWN_FLIST = FlistId(bytes(32))
"""Stands in a container until its image's name is resolved."""


@dataclass(frozen=True, slots=True)
class ContainerWanted:
    """A container whose image is still a name."""

    image: FlistReference
    image_text: str
    container: Container
    """Complete but for its flist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationDocument:
    """What a person asks for."""

    duration_seconds: int
    grace_seconds: int
    price_per_hour_max: Amount | None
    containers: tuple[ContainerWanted, ...]

    def workloads(self, resolve: Callable[[FlistReference], FlistId]) -> tuple[Workload, ...]:
        """The workloads, with `resolve` to turn each image name into an flist."""
        return tuple(replace(one.container, flist=resolve(one.image)) for one in self.containers)


def parse_document(text: str) -> ReservationDocument:
    """Read a TOML document.

    Raises:
        BadInput: with the line, the key, and the nearest valid key.
    """
    if len(text.encode()) > DOCUMENT_BYTES_MAX:
        raise BadInput(f"the document is longer than {DOCUMENT_BYTES_MAX} bytes")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"the document is not TOML: {error}") from error
    return read_document(values, text=text)


def read_document(values: Mapping[str, object], *, text: str = "") -> ReservationDocument:
    """Read a document that is parsed already; sizes and durations may be plain numbers.

    Args:
        values: nested as in TOML.
        text: what it was parsed from, to name lines in errors.

    Raises:
        BadInput: as `parse_document`.
    """
    table = _Table(values, text)
    table.only("duration", "grace", "price_max", "container")
    duration_seconds = table.duration("duration", None)
    if not DURATION_SECONDS_MIN <= duration_seconds <= DURATION_SECONDS_MAX:
        raise table.error("duration", "a reservation lasts between a minute and 366 days")
    tables = table.tables("container")
    if not 1 <= len(tables) <= WORKLOADS_MAX:
        raise table.error("container", f"write 1 to {WORKLOADS_MAX} [[container]] tables")
    containers = tuple(_container(one) for one in tables)
    names = [one.container.name for one in containers]
    for one, name in zip(tables, names, strict=True):
        if names.count(name) > 1:
            raise one.error("name", f"{name!r} is the name of two containers")
    return ReservationDocument(
        duration_seconds=duration_seconds,
        grace_seconds=table.duration("grace", 0),
        price_per_hour_max=table.price("price_max"),
        containers=containers,
    )


def _container(table: "_Table") -> ContainerWanted:
    table.only(
        "name", "image", "cores", "memory", "disk", "command", "env", "ports", "restart", "user",
        "read_only",
    )  # fmt: skip
    image = table.text("image", None)
    try:
        reference = FlistReference.parse(image)
    except BadInput as error:
        raise table.error("image", str(error)) from error
    try:
        container = Container(
            name=table.text("name", None),
            flist=_UNKNOWN_FLIST,
            millicores=table.millicores("cores", 1000),
            memory_bytes=table.size("memory", 512 * MIB),
            root_bytes=table.size("disk", GIB),
            command=table.texts("command"),
            env=table.environment("env"),
            ports=table.ports("ports"),
            restart=table.choice("restart", _RESTARTS, "never"),
            user=table.text("user", ""),
            read_only=table.flag("read_only"),
        )
    except InvalidRecord as error:
        raise table.error("", str(error)) from error
    return ContainerWanted(reference, image, container)


@dataclass(frozen=True, slots=True)
class _Table:
    """One table of a document: typed access to its keys, errors that say where they stand."""

    values: Mapping[str, object]
    document: str
    where: str = ""
    """Empty for the document itself, else such as `container 2`."""
    lines: tuple[int, int] = field(default=(0, 1 << 30))
    """First and last line of the table in the document, counted from 0."""

    def error(self, key: str, problem: str) -> BadInput:
        """What to raise about `key`; about the whole table when that is empty."""
        place = [f"line {line}"] if (line := self._line_of(key)) is not None else []
        place += [part for part in (self.where, key) if part]
        return BadInput(f"{', '.join(place)}: {problem}" if place else problem)

    def only(self, *known: str) -> None:
        """Refuse keys that are not `known`."""
        for key in self.values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
                raise self.error(key, f"unknown key; {hint}")

    def text(self, key: str, default: str | None) -> str:
        """A string; required when `default` is None."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, 'write a text in quotes, for example "web"')
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; none by default."""
        value = self.values.get(key, [])
        if not _is_list(value) or not all(isinstance(one, str) for one in value):
            raise self.error(key, 'write a list of texts, for example ["sh", "-c", "date"]')
        return tuple(cast(Sequence[str], value))

    def flag(self, key: str) -> bool:
        """True or false; false by default."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "write true or false")
        return value

    def size(self, key: str, default: int) -> int:
        """Bytes, as a number or as a text such as 512M."""
        return self._number(key, default, parse_bytes)

    def duration(self, key: str, default: int | None) -> int:
        """Seconds, as a number or as a text such as 2h."""
        return self._number(key, default, parse_duration_seconds)

    def millicores(self, key: str, default: int) -> int:
        """Cores, as a number with up to three decimals, in thousandths."""
        value = self.values.get(key, default / 1000)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**6:
            raise self.error(key, "write a number of cores, for example 0.5")
        return round(value * 1000)

    def price(self, key: str) -> Amount | None:
        """TFT; None when it is not there."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self.error(key, 'write an amount of TFT, for example "1.5"')
        try:
            return parse_tft(str(value))
        except ValueError as error:
            raise self.error(key, str(error)) from error

    def choice(self, key: str, choices: Mapping[str, RestartPolicy], default: str) -> RestartPolicy:
        """One of the names of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            near = get_close_matches(value, choices, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(choices)}"
            raise self.error(key, f"{value!r} is not known; {hint}")
        return choices[value]

    def environment(self, key: str) -> tuple[tuple[str, str], ...]:
        """A table of strings, in its order."""
        value = self.values.get(key, {})
        if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
            raise self.error(key, 'write a table of texts, for example { NAME = "value" }')
        return tuple((str(name), str(text)) for name, text in value.items())

    def ports(self, key: str) -> tuple[Port, ...]:
        """A list of numbers, or of texts such as 53/udp."""
        value = self.values.get(key, [])
        if not _is_list(value):
            raise self.error(key, 'write a list of ports, for example [8080, "53/udp"]')
        return tuple(self._port(key, one) for one in value)

    def tables(self, key: str) -> "tuple[_Table, ...]":
        """A list of tables."""
        value = self.values.get(key, [])
        if not _is_list(value) or not all(isinstance(one, Mapping) for one in value):
            raise self.error(key, f"write [[{key}]], in two pairs of brackets")
        heads = _heads(self.document, key)
        return tuple(
            _Table(
                cast(Mapping[str, object], one),
                self.document,
                f"{key} {number + 1}" if len(value) > 1 else key,
                heads[number] if number < len(heads) else (0, -1),
            )
            for number, one in enumerate(value)
        )

    def _get(self, key: str, default: object) -> object:
        value = self.values.get(key, default)
        if value is None:
            raise self.error("", f"{key!r} is missing")
        return value

    def _number(self, key: str, default: int | None, parse: Callable[[str], int]) -> int:
        value = self._get(key, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        try:
            return parse(value if isinstance(value, str) else repr(value))
        except ValueError as error:
            raise self.error(key, str(error)) from error

    def _port(self, key: str, value: object) -> Port:
        match = _PORT.fullmatch(str(value))
        if match is None or isinstance(value, bool):
            raise self.error(key, f"{value!r} is not a port; write for example 8080 or 53/udp")
        try:
            return Port(number=int(match[1]), protocol=IpProtocol[(match[2] or "tcp").upper()])
        except InvalidRecord as error:
            raise self.error(key, str(error)) from error

    def _line_of(self, key: str) -> int | None:
        """The line, counted from 1, on which `key` (or the table) stands; None if not found."""
        first, last = self.lines
        if not key:
            return first + 1 if self.where and last >= first else None
        for number, line in enumerate(self.document.splitlines()):
            if first <= number <= last and re.match(rf'\s*"?{re.escape(key)}"?\s*[.=]', line):
                return number + 1
        return None


def _is_list(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    return isinstance(value, list | tuple)


def _heads(document: str, key: str) -> list[tuple[int, int]]:
    """First and last line of each `[[key]]` table."""
    lines = document.splitlines()
    starts = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{key}\s*\]\]", line)]
    ends = [*(start - 1 for start in starts[1:]), len(lines)]
    return list(zip(starts, ends, strict=False))
