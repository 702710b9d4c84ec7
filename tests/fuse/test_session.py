"""The kernel gets its answers, and nobody who waits for bytes hangs."""

import errno
import os
import signal
import stat
import subprocess
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from p2pgrid.errors import Unreachable
from p2pgrid.fuse.device import mounted
from p2pgrid.fuse.session import serve
from p2pgrid.fuse.wire import ROOT_NODE, Attributes
from tests.flist.mounts import inside

pytestmark = pytest.mark.root

ROOT = Attributes(node=ROOT_NODE, mode=stat.S_IFDIR | 0o755, links=2)
FILE = Attributes(node=2, mode=stat.S_IFREG | 0o644, size=100)
CONTENT = bytes(range(100))


class OneFile:
    """A directory with one file, whose bytes come when the test lets them."""

    file_count, content_bytes = 2, len(CONTENT)

    def __init__(self) -> None:
        self.asked = 0
        self.comes = trio.Event()
        self.fails = False

    def attributes(self, node: int) -> Attributes:
        return {1: ROOT, 2: FILE}[node]

    def child(self, node: int, name: bytes) -> Attributes | None:
        return FILE if (node, name) == (ROOT_NODE, b"file") else None

    def rows(self, node: int, start: int) -> Iterable[tuple[bytes, Attributes]]:
        return [(b".", ROOT), (b"..", ROOT), (b"file", FILE)][start:]

    def target(self, node: int) -> bytes:
        raise KeyError(node)

    def read_now(self, node: int, offset: int, size: int) -> bytes | None:
        return CONTENT[offset : offset + size] if self.comes.is_set() else None

    async def read(self, node: int, offset: int, size: int) -> bytes:
        self.asked += 1
        if self.fails:
            raise Unreachable("nobody has it")
        await self.comes.wait()
        return CONTENT[offset : offset + size]


def listed(directory: Path) -> list[str]:
    return [one.name for one in directory.iterdir()]


@asynccontextmanager
async def open_file(tmp_path: Path) -> AsyncGenerator[tuple[OneFile, Path], None]:
    files = OneFile()
    with mounted(tmp_path, "test") as device:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, device, files)
            yield files, tmp_path / "file"
            nursery.cancel_scope.cancel()


async def test_a_read_that_waits_holds_up_nothing_else(tmp_path: Path) -> None:
    async with open_file(tmp_path) as (files, path), trio.open_nursery() as nursery:
        read: list[bytes] = []

        async def reader() -> None:
            read.append(await inside(path.read_bytes))

        nursery.start_soon(reader)
        with trio.fail_after(5):
            assert await inside(lambda: listed(tmp_path)) == ["file"]
            assert (await inside(path.stat)).st_size == len(CONTENT)
            assert await inside(lambda: os.statvfs(tmp_path).f_files) == 2
            assert not await inside((tmp_path / "other").exists)
        files.comes.set()
    assert read == [CONTENT]


async def test_who_waits_can_be_killed(tmp_path: Path) -> None:
    async with open_file(tmp_path) as (files, path):
        waiting = await inside(lambda: subprocess.Popen(["cat", path], stdout=subprocess.DEVNULL))
        while not files.asked:  # noqa: ASYNC110 - the kernel tells nobody
            await trio.sleep(0.01)
        waiting.send_signal(signal.SIGKILL)
        assert await inside(lambda: waiting.wait(10)) == -signal.SIGKILL
        files.comes.set()
        assert await inside(path.read_bytes) == CONTENT


async def test_bytes_that_cannot_be_had_are_an_error_of_reading_and_may_come_later(
    tmp_path: Path,
) -> None:
    async with open_file(tmp_path) as (files, path):
        files.fails = True
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            await inside(path.read_bytes)
        files.fails = False
        files.comes.set()
        assert await inside(path.read_bytes) == CONTENT


async def test_it_ends_when_somebody_unmounts_or_at_once_while_others_wait(tmp_path: Path) -> None:
    files = OneFile()
    with mounted(tmp_path, "test") as device:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, device, files)
            await inside(lambda: listed(tmp_path))
            await inside(lambda: subprocess.run(["umount", tmp_path], check=True))
    async with open_file(tmp_path) as (files, path):
        waiting = [
            await inside(lambda: subprocess.Popen(["cat", path], stderr=subprocess.DEVNULL))
            for _ in range(20)
        ]
        while not files.asked:  # noqa: ASYNC110 - the kernel tells nobody
            await trio.sleep(0.01)
    ended = await inside(lambda: [one.wait(10) for one in waiting])
    assert all(ended)
    assert listed(tmp_path) == []
