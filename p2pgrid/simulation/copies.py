"""Copies of a view that share its records, which never change: quicker than taking each in anew."""

import io
import pickle
from collections.abc import Iterator
from typing import Any

from p2pgrid.crdt.register import RegisterKey
from p2pgrid.explorer.view import View
from p2pgrid.wire.signed import Signed

_SHARED = (Signed, RegisterKey, bytes)


def copies_of(view: View, count: int) -> Iterator[View]:
    """So many views that hold what `view` holds, each to be changed on its own."""
    shared: list[Any] = []
    numbers: dict[int, int] = {}
    flat = io.BytesIO()
    _Pickler(flat, shared, numbers).dump(view)
    for _ in range(count):
        flat.seek(0)
        copy: View = _Unpickler(flat, shared).load()
        yield copy


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, shared: list[Any], numbers: dict[int, int]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._shared, self._numbers = shared, numbers

    def persistent_id(self, obj: Any) -> int | None:  # noqa: ANN401 - whatever is in a view
        if not isinstance(obj, _SHARED):
            return None
        number = self._numbers.get(id(obj))
        if number is None:
            number = self._numbers[id(obj)] = len(self._shared)
            self._shared.append(obj)
        return number


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: list[Any]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: Any) -> Any:  # noqa: ANN401 - whatever is in a view
        return self._shared[pid]
