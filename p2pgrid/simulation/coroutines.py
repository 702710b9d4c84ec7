"""Runs a coroutine that waits for nothing, such as a commit to a disk in memory."""

from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def result_of(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What `coroutine` returns or raises; it must not wait for anything.

    >>> async def seven() -> int: return 7
    >>> result_of(seven())
    7
    """
    try:
        coroutine.send(None)
    except StopIteration as end:
        value: _T = end.value
        return value
    coroutine.close()
    raise AssertionError("it waited, and there is nothing here to wait for")
