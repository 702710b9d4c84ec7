"""The store in memory; its behaviour is the contract of `tests/contracts/test_store.py`."""

from p2pgrid.store.memory import MemoryStore


def test_stores_share_nothing() -> None:
    first, second = MemoryStore(), MemoryStore()
    first.write([(b"a", b"1")])
    assert second.get(b"a") is None
