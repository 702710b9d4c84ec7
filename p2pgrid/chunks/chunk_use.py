"""When each chunk was last used, to the hour: what nobody wanted for longest goes first.

It is written without waiting for the disk. What a crash loses of it makes an
eviction choose a little worse, nothing else.
"""

import logging
from collections.abc import Callable, Iterable, Iterator

from p2pgrid.errors import StoreFailed
from p2pgrid.model.ids import ChunkId
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import TimestampMs

log = logging.getLogger(__name__)

HOUR_MS = 3_600_000
_HOUR_BYTES = 4


class ChunkUse:
    """The hours of last use, in a store."""

    def __init__(self, store: Store, now_ms: Callable[[], TimestampMs]) -> None:
        self._store = store
        self._now_ms = now_ms

    def note(self, chunks: Iterable[ChunkId]) -> None:
        """These were used now. One that is used often costs one write in an hour."""
        hour = (self._now_ms() // HOUR_MS).to_bytes(_HOUR_BYTES, "big")
        keys = (Table.CHUNK_USED.key(chunk) for chunk in chunks)
        changes: list[Change] = [(key, hour) for key in keys if self._store.get(key) != hour]
        if changes:
            try:
                self._store.write(changes)
            except StoreFailed as error:
                log.warning("when chunks were last used is not noted: %s", error)

    def hours(self) -> Iterator[tuple[ChunkId, int]]:
        """Chunks and hours of their last use, in order of ids; not every chunk has one."""
        entries = self._store.scan(Table.CHUNK_USED.value)
        return ((ChunkId(key[1:]), int.from_bytes(hour, "big")) for key, hour in entries)
