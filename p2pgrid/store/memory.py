"""A store in memory, for tests and simulations."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence

import trio

from p2pgrid.store.store import FORMAT_VERSION, Change, Table, check_changes, end_of


class MemoryStore:
    """Passes the same contract as the one on disk; forgets everything with the process."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self.write([(Table.FORMAT.key(), b"%d" % FORMAT_VERSION)])

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix` and is > `after`, as they are now."""
        start = max(bisect_left(self._keys, prefix), bisect_right(self._keys, after))
        stop = end_of(prefix)
        end = len(self._keys) if stop is None else bisect_left(self._keys, stop)
        return iter([(key, self._values[key]) for key in self._keys[start:end]])

    def write(self, changes: Sequence[Change]) -> None:
        """All or nothing, visible at once."""
        check_changes(changes)
        for key, value in changes:
            if value is None:
                self._delete(key)
                continue
            if key not in self._values:
                insort(self._keys, key)
            self._values[key] = value

    async def commit(self, changes: Sequence[Change]) -> None:
        """Like `write`; there is nothing to wait for."""
        check_changes(changes)
        await trio.lowlevel.checkpoint()
        self.write(changes)

    def _delete(self, key: bytes) -> None:
        if self._values.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]
