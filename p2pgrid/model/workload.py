"""Workloads: what a reservation runs."""

import re
from dataclasses import dataclass
from enum import IntEnum

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId, require_ids
from p2pgrid.units import MIB
from p2pgrid.wire.codec import variant

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,35}")  # never like an option: names reach commands
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_TEXT_BYTES_MAX = 4096
_ITEMS_MAX = 128


class RestartPolicy(IntEnum):
    """When a container that ended is started again."""

    NEVER = 1
    ON_FAILURE = 2
    ALWAYS = 3


class IpProtocol(IntEnum):
    """What a port speaks."""

    TCP = 6
    UDP = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """A port that the container listens on and that others may reach."""

    number: int
    protocol: IpProtocol = IpProtocol.TCP
    is_public: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.number <= 65535:
            raise InvalidRecord(f"port {self.number} is not one of 1 to 65535")


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container: an image, how much it may use, and how it starts."""

    name: str
    flist: FlistId
    millicores: int
    memory_bytes: int
    root_bytes: int
    """Writable layer, a hard limit."""
    command: tuple[str, ...] = ()
    """Instead of the image's own entrypoint and command, when given."""
    env: tuple[tuple[str, str], ...] = ()
    ports: tuple[Port, ...] = ()
    restart: RestartPolicy = RestartPolicy.NEVER
    user: str = ""
    """`uid[:gid]` or a name in the image; empty: what the image says."""
    read_only: bool = False

    def __post_init__(self) -> None:
        require_ids(self.flist)
        if not _NAME.fullmatch(self.name):
            raise InvalidRecord(f"{self.name!r} is not a workload name: 1 to 36 of a-z 0-9 -")
        if not 10 <= self.millicores <= 1024_000:
            raise InvalidRecord("a container has 0.01 to 1024 cores")
        if self.memory_bytes < 8 * MIB or self.root_bytes < MIB:
            raise InvalidRecord("a container has at least 8 MiB of memory and 1 MiB of disk")
        if max(len(self.command), len(self.env), len(self.ports)) > _ITEMS_MAX:
            raise InvalidRecord(f"more than {_ITEMS_MAX} arguments, variables or ports")
        for name, _ in self.env:
            if not _ENV_NAME.fullmatch(name):
                raise InvalidRecord(f"{name!r} is not the name of an environment variable")
        for text in (*self.command, *(value for _, value in self.env), self.user):
            if len(text.encode()) > _TEXT_BYTES_MAX or "\0" in text:
                raise InvalidRecord("an argument or variable is over 4 KiB or holds a zero byte")

    @property
    def needs(self) -> Capacity:
        """What it takes from its node."""
        return Capacity(
            millicores=self.millicores, memory_bytes=self.memory_bytes, ssd_bytes=self.root_bytes
        )


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Disk space that outlives a container; a hard limit."""

    name: str
    size_bytes: int
    is_hdd: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InvalidRecord(f"{self.name!r} is not a workload name: 1 to 36 of a-z 0-9 -")
        if self.size_bytes < MIB:
            raise InvalidRecord("a volume has at least 1 MiB")

    @property
    def needs(self) -> Capacity:
        """What it takes from its node."""
        if self.is_hdd:
            return Capacity(hdd_bytes=self.size_bytes)
        return Capacity(ssd_bytes=self.size_bytes)


Workload = Container | Volume
