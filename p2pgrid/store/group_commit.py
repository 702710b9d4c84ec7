"""Durable writes that share one fsync: who comes while one is under way waits for the next."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import trio

from p2pgrid.errors import StoreFailed

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[_T]):
    item: _T
    size_bytes: int
    is_done: bool = False
    error: StoreFailed | None = None


class GroupCommit(Generic[_T]):
    """Collects items of several tasks and writes them together, oldest first."""

    def __init__(
        self, write: Callable[[Sequence[_T]], Awaitable[None]], *, group_bytes_max: int
    ) -> None:
        """Write with `write`, which makes its items durable together or raises StoreFailed.

        It is never cancelled, and never runs twice at a time.
        """
        self._write = write
        self._group_bytes_max = group_bytes_max
        self._waiting: list[_Waiting[_T]] = []
        self._turn = trio.Lock()
        self.is_writing = False

    async def submit(self, item: _T, size_bytes: int) -> None:
        """Return when `item` is durable.

        One that is cancelled may be written, or not, but never in part.

        Raises:
            StoreFailed: it is not written.
        """
        waiting = _Waiting(item, size_bytes)
        self._waiting.append(waiting)
        try:
            async with self._turn:
                if not waiting.is_done:
                    await self._write_group()
        finally:
            if waiting in self._waiting:  # cancelled before anybody took it along
                self._waiting.remove(waiting)
        if waiting.error is not None:
            raise StoreFailed(str(waiting.error)) from waiting.error

    async def wait_idle(self) -> None:
        """Return when the write that is under way, if any, has ended."""
        async with self._turn:
            return

    async def _write_group(self) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        group = self._next_group()
        del self._waiting[: len(group)]
        error: StoreFailed | None = StoreFailed("the program failed while it wrote this")
        self.is_writing = True
        try:
            with trio.CancelScope(shield=True):
                error = await self._outcome([one.item for one in group])
        finally:
            self.is_writing = False
            for one in group:
                one.is_done, one.error = True, error

    async def _outcome(self, items: Sequence[_T]) -> StoreFailed | None:
        try:
            await self._write(items)
        except StoreFailed as error:
            return error
        return None

    def _next_group(self) -> list[_Waiting[_T]]:
        """At least the oldest that waits, and with it what fits in one write."""
        total_bytes = 0
        for count, one in enumerate(self._waiting):
            total_bytes += one.size_bytes
            if count > 0 and total_bytes > self._group_bytes_max:
                return self._waiting[:count]
        return self._waiting[:]
