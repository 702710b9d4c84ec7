"""The last use of a chunk is known to the hour, and noting it costs little."""

from collections.abc import Sequence
from pathlib import Path

from p2pgrid.chunks.chunk_use import HOUR_MS, ChunkUse
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.errors import StoreFailed
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change
from p2pgrid.units import TimestampMs
from tests.chunks.blobs import blob

FIRST, SECOND = sorted(blob(number).chunk for number in range(2))


class CountingStore(MemoryStore):
    def __init__(self) -> None:
        self.writes = 0
        self.is_full = False
        super().__init__()
        self.writes = 0

    def write(self, changes: Sequence[Change]) -> None:
        self.writes += 1
        if self.is_full:
            raise StoreFailed("full")
        super().write(changes)


def test_the_hour_of_the_last_use_is_kept_and_written_once() -> None:
    store, now = CountingStore(), TimestampMs(5 * HOUR_MS)
    use = ChunkUse(store, lambda: now)
    use.note([SECOND, FIRST])
    use.note([FIRST])
    assert store.writes == 1
    now = TimestampMs(7 * HOUR_MS - 1)
    use.note([FIRST])
    assert list(use.hours()) == [(FIRST, 6), (SECOND, 5)]
    assert store.writes == 2


def test_a_full_disk_does_not_stop_reading() -> None:
    store = CountingStore()
    store.is_full = True
    use = ChunkUse(store, lambda: TimestampMs(HOUR_MS))
    use.note([FIRST])
    assert store.writes == 1
    assert list(use.hours()) == []


async def test_reading_and_putting_again_count_as_use_and_eviction_forgets(
    tmp_path: Path,
) -> None:
    hour = 1
    store = MemoryStore()
    async with open_chunk_store(
        tmp_path, store, now_ms=lambda: TimestampMs(hour * HOUR_MS)
    ) as chunks:
        blobs = [blob(number) for number in range(4)]
        await chunks.put(blobs)
        hour = 2
        await chunks.get(blobs[1].chunk)
        hour = 3
        await chunks.put([blobs[2]])
        hours = {one.chunk: one.used_hour for one in chunks.kept()}
        assert [hours[one.chunk] for one in blobs] == [1, 2, 3, 1]
        chunks.evict([one.chunk for one in blobs], pins_version=chunks.pins_version)
        assert list(ChunkUse(store, lambda: TimestampMs(0)).hours()) == []
