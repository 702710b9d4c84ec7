"""The ends of logs that outlive their containers: on disk, bounded in all, the oldest go first."""

from collections.abc import Iterable, Mapping

from p2pgrid.errors import StoreFailed
from p2pgrid.limits.reservation import LOGS_KEPT_BYTES_MAX
from p2pgrid.model.ids import ID_BYTES, RecordId
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import TimestampMs

_ID_END = len(Table.KEPT_LOG) + ID_BYTES


class KeptLogs:
    """Keeps logs in a store. One service writes."""

    def __init__(self, store: Store, *, bytes_max: int = LOGS_KEPT_BYTES_MAX) -> None:
        self._store = store
        self._bytes_max = bytes_max
        self._sizes: dict[bytes, int] = {}
        """By key, the oldest first."""

    def load(self, ended_ms: Mapping[RecordId, TimestampMs]) -> None:
        """Learn what is kept.

        Args:
            ended_ms: when each reservation ended; a log of no known one goes first.
        """

        def age(key: bytes) -> int:
            return ended_ms.get(RecordId(key[len(Table.KEPT_LOG) : _ID_END]), 0)

        sizes = {key: len(end) for key, end in self._store.scan(Table.KEPT_LOG)}
        self._sizes = {key: sizes[key] for key in sorted(sizes, key=age)}

    async def keep(self, reservation: RecordId, name: str, end: bytes) -> None:
        """Store the end of a log, in place of as many old ones as it takes. Raises StoreFailed."""
        key, before = kept_log_key(reservation, name), self._sizes
        # Counted before it is written: others may be kept meanwhile.
        self._sizes = {**{one: size for one, size in before.items() if one != key}, key: len(end)}
        evicted = self._evict()
        changes: list[Change] = [(key, end), *((one, None) for one in evicted if one != key)]
        try:
            await self._store.commit(changes)
        except StoreFailed:
            del self._sizes[key]
            self._sizes = {**evicted, **self._sizes}
            raise

    def get(self, reservation: RecordId, name: str) -> bytes | None:
        """The end of a log; None when none is kept (any more)."""
        return self._store.get(kept_log_key(reservation, name))

    def forget(self, reservation: RecordId, names: Iterable[str]) -> list[Change]:
        """What to write so that these are gone."""
        keys = [kept_log_key(reservation, name) for name in names]
        for key in keys:
            self._sizes.pop(key, None)
        return [(key, None) for key in keys]

    def _evict(self) -> dict[bytes, int]:
        """Give up the oldest until the rest is within bounds; (key: size) of those."""
        evicted, total = {}, sum(self._sizes.values())
        for key in list(self._sizes):
            if total <= self._bytes_max:
                break
            evicted[key] = self._sizes.pop(key)
            total -= evicted[key]
        return evicted


def kept_log_key(reservation: RecordId, name: str) -> bytes:
    """Where the end of a log is kept."""
    return Table.KEPT_LOG.key(reservation, name.encode())
