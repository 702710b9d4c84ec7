"""What trio leaves to its users: errors of nested nurseries, and threads."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import trio

_R = TypeVar("_R")


@contextmanager
def bare_errors() -> Generator[None]:
    """Raise an error that is alone in the groups of many nested nurseries as what it is.

    Otherwise nobody could catch what the body of an `open_…` block raises.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        lone = _lone(group)
        if lone is None:
            raise
        raise lone from lone.__cause__


def _lone(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        if len(error.exceptions) != 1:
            return None
        error = error.exceptions[0]
    return error


async def in_thread(function: Callable[[], _R]) -> _R:
    """Run what blocks in a thread; once cancelled, leave it to itself."""
    return await trio.to_thread.run_sync(
        function,
        abandon_on_cancel=True,  # type: ignore[call-arg]  # libp2p brings stubs older than trio
    )
