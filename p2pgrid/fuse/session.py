"""Answers the kernel for one mounted file system (shell).

What is known is answered at once, in the order asked. A read that has to wait gets a task of its
own, which an interrupt ends: whoever waits for bytes that do not come can be killed.
"""

import errno
import logging
import mmap
import os
from collections.abc import Iterable
from typing import Protocol

import trio

from p2pgrid.errors import GridError
from p2pgrid.fuse.wire import (
    NOT_SUPPORTED,
    Attributes,
    Opcode,
    Request,
    answer,
    attributes_answer,
    directory_entry,
    entry,
    failure,
    init_answer,
    interrupted_in,
    is_answered,
    name_in,
    read_request,
    span_in,
    statfs_answer,
)
from p2pgrid.limits.flist import NAME_BYTES_MAX
from p2pgrid.limits.fuse import (
    FUSE_ENTRY_VALID_SECONDS,
    FUSE_READ_BYTES_MAX,
    FUSE_REQUEST_BYTES_MAX,
    FUSE_REQUESTS_PER_TURN,
)
from p2pgrid.starting import Starting

log = logging.getLogger(__name__)

_GONE = (errno.ENODEV, errno.ECONNABORTED)


class Files(Protocol):
    """What a session serves. Node numbers stay what they are; `ROOT_NODE` is the top."""

    @property
    def file_count(self) -> int:
        """Nodes there are."""
        ...

    @property
    def content_bytes(self) -> int:
        """Of all files together."""
        ...

    def attributes(self, node: int) -> Attributes:
        """Of a node. Raises KeyError."""
        ...

    def child(self, node: int, name: bytes) -> Attributes | None:
        """What a directory has of that name. Raises KeyError when it is none."""
        ...

    def rows(self, node: int, start: int) -> Iterable[tuple[bytes, Attributes]]:
        """What a directory holds from a place on, `.` and `..` first. Raises KeyError."""
        ...

    def target(self, node: int) -> bytes:
        """Where a symbolic link points. Raises KeyError."""
        ...

    def read_now(self, node: int, offset: int, size: int) -> bytes | bytearray | memoryview | None:
        """Bytes of a file if they are in memory; None: they have to be read. Raises KeyError."""
        ...

    async def read(self, node: int, offset: int, size: int) -> bytes | bytearray | memoryview:
        """Bytes of a file. Raises KeyError, GridError: they cannot be had."""
        ...


async def serve(
    device: int,
    files: Files,
    *,
    task_status: Starting[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer until the file system is unmounted. Raises Unsupported for an old kernel."""
    async with trio.open_nursery() as nursery:
        session = _Session(device, files, nursery)
        task_status.started(None)
        while await session.take_turn():
            pass
        nursery.cancel_scope.cancel()


class _Session:
    def __init__(self, device: int, files: Files, nursery: trio.Nursery) -> None:
        self._device = device
        self._files = files
        self._nursery = nursery
        self._buffer = bytearray(FUSE_REQUEST_BYTES_MAX)
        self._waiting: dict[int, trio.CancelScope] = {}
        """Reads under way, by request."""

    async def take_turn(self) -> bool:
        """Answer what has been asked; False when there is nothing to answer any more."""
        await trio.lowlevel.checkpoint()
        for _ in range(FUSE_REQUESTS_PER_TURN):
            try:
                size = os.readv(self._device, [self._buffer])
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self._device)
                return True
            except OSError as error:
                if error.errno in _GONE:
                    return False
                if error.errno not in (errno.ENOENT, errno.EINTR):  # it was taken back meanwhile
                    raise
                continue
            if not size:
                return False
            self._take(read_request(bytes(memoryview(self._buffer)[:size])))
        return True

    def _take(self, request: Request) -> None:
        if request.opcode == Opcode.READ:
            self._read(request)
        elif request.opcode == Opcode.INTERRUPT:
            waiting = self._waiting.get(interrupted_in(request.body))
            if waiting is not None:
                waiting.cancel()
        elif is_answered(request.opcode):
            self._write(self._answer(request))

    def _answer(self, request: Request) -> list[bytes | bytearray | memoryview]:
        try:
            found = self._found(request)
        except KeyError:
            return failure(request.unique, errno.ENOENT)
        if found is None:
            return failure(request.unique, NOT_SUPPORTED)
        return answer(request.unique, found)

    def _found(self, request: Request) -> bytes | None:
        """The body of an answer; None for a kind of request that is not served."""
        files, node, valid = self._files, request.node, FUSE_ENTRY_VALID_SECONDS
        match request.opcode:
            case Opcode.LOOKUP:
                return entry(files.child(node, name_in(request.body)), valid)
            case Opcode.GETATTR:
                return attributes_answer(files.attributes(node), valid)
            case Opcode.READLINK:
                return files.target(node)
            case Opcode.READDIR | Opcode.READDIRPLUS:
                return self._rows(request)
            case Opcode.STATFS:
                return statfs_answer(
                    files=files.file_count,
                    content_bytes=files.content_bytes,
                    block_bytes=mmap.PAGESIZE,
                    name_bytes_max=NAME_BYTES_MAX,
                )
            case Opcode.INIT:
                return init_answer(
                    request.body, read_bytes_max=FUSE_READ_BYTES_MAX, page_bytes=mmap.PAGESIZE
                )
            case _:
                return None

    def _rows(self, request: Request) -> bytes:
        start, room = span_in(request.body)
        valid = FUSE_ENTRY_VALID_SECONDS if request.opcode == Opcode.READDIRPLUS else None
        rows: list[bytes] = []
        for place, (name, found) in enumerate(self._files.rows(request.node, start), start + 1):
            row = directory_entry(name, found, place, valid)
            room -= len(row)
            if room < 0:
                break
            rows.append(row)
        return b"".join(rows)

    def _read(self, request: Request) -> None:
        offset, size = span_in(request.body)
        try:
            found = self._files.read_now(request.node, offset, size)
        except KeyError:
            self._write(failure(request.unique, errno.ENOENT))
            return
        if found is not None:
            self._write(answer(request.unique, found))
            return
        scope = trio.CancelScope()
        self._waiting[request.unique] = scope
        self._nursery.start_soon(self._read_later, request, scope)

    async def _read_later(self, request: Request, scope: trio.CancelScope) -> None:
        offset, size = span_in(request.body)
        said = failure(request.unique, errno.EINTR)
        try:
            with scope:
                found = await self._files.read(request.node, offset, size)
                said = answer(request.unique, found)
        except (GridError, KeyError) as error:
            log.warning("a read fails: %s", error)
            said = failure(request.unique, errno.EIO)
        finally:
            del self._waiting[request.unique]
        self._write(said)

    def _write(self, message: list[bytes | bytearray | memoryview]) -> None:
        try:
            os.writev(self._device, message)
        except OSError as error:
            # ENOENT: nobody waits any more. The rest: it is unmounted, as the next read tells.
            if error.errno not in (errno.ENOENT, *_GONE, errno.EBADF):
                raise
