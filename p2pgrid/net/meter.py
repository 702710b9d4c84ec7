"""What a task's work takes of CPU, without what other tasks take while it waits."""

import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import TypeVar

from p2pgrid.units import SECOND_MS

_T = TypeVar("_T")


class Meter:
    """Adds up the CPU of what runs under it."""

    def __init__(self) -> None:
        self.ms = 0.0

    async def run(self, work: Coroutine[object, object, _T]) -> _T:
        """Await `work`; each of its steps, from one wait to the next, is measured."""
        return await _Measured(work, self)

    def measure(self, step: Callable[[], object]) -> object:
        """Call `step`."""
        started = time.thread_time()
        try:
            return step()
        finally:
            self.ms += SECOND_MS * (time.thread_time() - started)


class _Measured(Generator[object, object, _T]):
    """Stands between a coroutine and who drives it."""

    def __init__(self, work: Coroutine[object, object, _T], meter: Meter) -> None:
        self._work, self._meter = work, meter

    def __await__(self) -> Generator[object, object, _T]:
        return self

    def send(self, value: object) -> object:
        return self._meter.measure(partial(self._work.send, value))

    def throw(
        self,
        error: BaseException | type[BaseException],
        value: object = None,
        _traceback: TracebackType | None = None,
    ) -> object:
        raised = error if isinstance(error, BaseException) else value or error()
        assert isinstance(raised, BaseException)
        return self._meter.measure(partial(self._work.throw, raised))
