"""What the kernel asks a file system and what it gets told, as bytes (pure).

Only what a read-only file system needs. Source: linux/include/uapi/linux/fuse.h, 7.31 to 7.45;
all numbers are in the byte order of the machine.
"""

import errno
import stat
import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from p2pgrid.errors import Unsupported

ROOT_NODE = 1
"""The node number of the top directory, by convention."""

_VERSION_MAJOR, _VERSION_MINOR_LEAST, _VERSION_MINOR = 7, 31, 45

_REQUEST = struct.Struct("=IIQQIIIHH")  # fuse_in_header
_ANSWER = struct.Struct("=IiQ")  # fuse_out_header
_INIT_IN = struct.Struct("=IIII")
_INIT_OUT = struct.Struct("=IIIIHHIIHHIIH22x")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY_OUT = struct.Struct("=QQQQII")
_ATTR_OUT = struct.Struct("=QII")
_READ_IN = struct.Struct("=QQIIQII")
_STATFS_OUT = struct.Struct("=QQQQQIIII24x")
_INTERRUPT_IN = struct.Struct("=Q")
_DIRENT = struct.Struct("=QQII")

_DISK_BLOCK_BYTES = 512
_ALIGNMENT = 8
_WRITE_BYTES_MAX = 4096  # nobody writes, but the kernel wants a number


class Opcode(IntEnum):
    """What is asked. Requests of other kinds are answered ENOSYS, which ends them for good."""

    LOOKUP = 1
    FORGET = 2
    GETATTR = 3
    READLINK = 5
    READ = 15
    STATFS = 17
    INIT = 26
    READDIR = 28
    INTERRUPT = 36
    DESTROY = 38
    BATCH_FORGET = 42
    READDIRPLUS = 44


class InitFlag(IntFlag):
    """What kernel and file system can do besides, as far as we make use of it."""

    ASYNC_READ = 1 << 0
    DO_READDIRPLUS = 1 << 13
    READDIRPLUS_AUTO = 1 << 14
    NO_OPEN_SUPPORT = 1 << 17
    PARALLEL_DIROPS = 1 << 18
    MAX_PAGES = 1 << 22
    CACHE_SYMLINKS = 1 << 23
    NO_OPENDIR_SUPPORT = 1 << 24


_NEEDED = InitFlag.NO_OPEN_SUPPORT | InitFlag.NO_OPENDIR_SUPPORT
"""Without these the kernel asks at every open and close; then all is an order slower."""


@dataclass(frozen=True, slots=True)
class Request:
    """One question of the kernel."""

    opcode: int
    unique: int
    """Names it, for the answer and for interrupts."""
    node: int
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is known of a node besides its content."""

    node: int
    mode: int
    """Type and permission bits, as `st_mode`."""
    size: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    """Seconds since the epoch."""
    rdev: int = 0
    """As the kernel's 32-bit numbers: 20 bits of minor around 12 of major."""
    links: int = 1


def read_request(data: bytes) -> Request:
    """One message from the device. The kernel is trusted, so a short one is our own fault."""
    _, opcode, unique, node, *_ = _REQUEST.unpack_from(data)
    return Request(opcode, unique, node, data[_REQUEST.size :])


def answer(
    unique: int, *parts: bytes | bytearray | memoryview
) -> list[bytes | bytearray | memoryview]:
    """The message that answers a request, in pieces to be written at once."""
    total = _ANSWER.size + sum(map(len, parts))
    return [_ANSWER.pack(total, 0, unique), *parts]


def failure(unique: int, number: int) -> list[bytes | bytearray | memoryview]:
    """The message that a request failed; `number` as in `errno`."""
    return [_ANSWER.pack(_ANSWER.size, -number, unique)]


def init_answer(body: bytes, *, read_bytes_max: int, page_bytes: int) -> bytes:
    """Agree with the kernel on how to talk.

    Args:
        body: of the INIT request.
        read_bytes_max: the most that one READ may ask for, a multiple of `page_bytes`.
        page_bytes: of the machine.

    Raises:
        Unsupported: the kernel is older than 5.4.
    """
    major, minor, readahead, offered = _INIT_IN.unpack_from(body)
    if (major, minor) < (_VERSION_MAJOR, _VERSION_MINOR_LEAST) or offered & _NEEDED != _NEEDED:
        raise Unsupported(f"the kernel speaks FUSE {major}.{minor}; Linux 5.4 or later is needed")
    flags = 0
    for flag in InitFlag:
        flags |= offered & flag
    pages = read_bytes_max // page_bytes
    return _INIT_OUT.pack(
        _VERSION_MAJOR, min(minor, _VERSION_MINOR), max(readahead, read_bytes_max), flags,
        0, 0, _WRITE_BYTES_MAX, 1, pages, 0, 0, 0, 0,
    )  # fmt: skip


def entry(found: Attributes | None, valid_seconds: int) -> bytes:
    """Answers LOOKUP; None says that there is no such name, which the kernel remembers as well."""
    if found is None:
        return _ENTRY_OUT.pack(0, 0, valid_seconds, 0, 0, 0) + bytes(_ATTRIBUTES.size)
    return _ENTRY_OUT.pack(found.node, 0, valid_seconds, valid_seconds, 0, 0) + _attributes(found)


def attributes_answer(found: Attributes, valid_seconds: int) -> bytes:
    """Answers GETATTR."""
    return _ATTR_OUT.pack(valid_seconds, 0, 0) + _attributes(found)


def name_in(body: bytes) -> bytes:
    """The name that a LOOKUP asks for."""
    return body.split(b"\0", 1)[0]


def span_in(body: bytes) -> tuple[int, int]:
    """(offset, bytes at most) of READ and READDIR."""
    _, offset, size, *_ = _READ_IN.unpack_from(body)
    return offset, size


def interrupted_in(body: bytes) -> int:
    """The request that an INTERRUPT wants ended."""
    (unique,) = _INTERRUPT_IN.unpack_from(body)
    return int(unique)


def directory_entry(
    name: bytes, found: Attributes, offset: int, valid_seconds: int | None
) -> bytes:
    """One row of a directory.

    Args:
        name: of the entry.
        found: what it is.
        offset: where to go on after this one.
        valid_seconds: for READDIRPLUS, which tells all there is to know; None for READDIR.
    """
    row = _DIRENT.pack(found.node, offset, len(name), stat.S_IFMT(found.mode) >> 12) + name
    row += bytes(-len(row) % _ALIGNMENT)
    if valid_seconds is None:
        return row
    # The kernel counts a reference for each entry but these, and asks later for what they are.
    is_itself = name in (b".", b"..")
    return (
        bytes(_ENTRY_OUT.size + _ATTRIBUTES.size) if is_itself else entry(found, valid_seconds)
    ) + row


def statfs_answer(
    *, files: int, content_bytes: int, block_bytes: int, name_bytes_max: int
) -> bytes:
    """Answers STATFS: full, since nothing can be written."""
    blocks = -(-content_bytes // block_bytes)
    return _STATFS_OUT.pack(blocks, 0, 0, files, 0, block_bytes, name_bytes_max, block_bytes, 0)


def is_answered(opcode: int) -> bool:
    """Whether the kernel waits for an answer to such a request."""
    return opcode not in (Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT)


NOT_SUPPORTED = errno.ENOSYS
"""Said once to a kind of request, it is never asked again."""


def _attributes(found: Attributes) -> bytes:
    return _ATTRIBUTES.pack(
        found.node, found.size, -(-found.size // _DISK_BLOCK_BYTES), found.mtime, found.mtime,
        found.mtime, 0, 0, 0, found.mode, found.links, found.uid, found.gid, found.rdev, 4096, 0,
    )  # fmt: skip
