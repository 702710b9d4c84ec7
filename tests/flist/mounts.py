"""Image trees as the kernel shows them, served by the task that tests."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from p2pgrid.flist.lazy_blocks import LazyBlocks
from p2pgrid.flist.mounted_tree import MountedTree
from p2pgrid.flist.tree import Entry
from p2pgrid.fuse.device import mounted, read_far_ahead
from p2pgrid.fuse.session import serve

_T = TypeVar("_T")


@asynccontextmanager
async def open_mount(root: Entry, blocks: LazyBlocks, point: Path) -> AsyncGenerator[None, None]:
    """Mount a tree while the block runs. What looks at it must do so by `inside`."""
    await inside(point.mkdir)
    with mounted(point, "test") as device:
        async with trio.open_nursery() as nursery:
            await nursery.start(serve, device, MountedTree(root, blocks))
            await inside(lambda: read_far_ahead(point))
            yield
            nursery.cancel_scope.cancel()


async def inside(look: Callable[[], _T]) -> _T:
    """Look at what is mounted, in a thread: the task that answers must go on."""
    return await trio.to_thread.run_sync(look)
