"""The store in memory; its behaviour is the contract of `tests/contracts/test_chunk_store.py`."""

from p2pgrid.chunks.memory import MemoryChunkStore
from tests.chunks.blobs import blob


async def test_stores_share_nothing() -> None:
    first, second = MemoryChunkStore(), MemoryChunkStore()
    await first.put([blob(1)])
    assert not second.has(blob(1).chunk)
