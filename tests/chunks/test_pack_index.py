"""The index says where chunks lie, and counts what is in use."""

from p2pgrid.chunks.pack_files import Place
from p2pgrid.chunks.pack_index import PackIndex, PackState
from p2pgrid.store.memory import MemoryStore
from tests.chunks.blobs import blob

FIRST, SECOND, THIRD = (blob(number).chunk for number in range(3))


def test_it_counts_what_each_pack_holds_and_remembers_it() -> None:
    store = MemoryStore()
    index = PackIndex(store)
    index.add({FIRST: Place(1, 0, 10), SECOND: Place(2, 0, 20)}, {1: 54, 2: 64})
    index.add({THIRD: Place(2, 64, 5)}, {2: 113})
    for one in (index, PackIndex(store)):
        assert one.packs() == {1: PackState(54, 1, 10), 2: PackState(113, 2, 25)}
        assert one.place(SECOND) == Place(2, 0, 20)


def test_a_chunk_that_is_known_stays_where_it_is() -> None:
    index = PackIndex(MemoryStore())
    index.add({FIRST: Place(1, 0, 10)}, {1: 54})
    index.add({FIRST: Place(2, 0, 10)}, {2: 54})
    assert index.place(FIRST) == Place(1, 0, 10)
    assert index.packs() == {1: PackState(54, 1, 10), 2: PackState(54, 0, 0)}


def test_only_the_damaged_copy_is_forgotten() -> None:
    index = PackIndex(MemoryStore())
    index.add({FIRST: Place(1, 0, 10)}, {1: 54})
    index.forget(FIRST, Place(2, 0, 10))
    assert index.place(FIRST) == Place(1, 0, 10)
    index.forget(FIRST, Place(1, 0, 10))
    assert index.place(FIRST) is None
    assert index.packs() == {1: PackState(54, 0, 0)}


def test_a_forgotten_pack_takes_its_chunks_along() -> None:
    store = MemoryStore()
    index = PackIndex(store)
    index.add({FIRST: Place(1, 0, 10), SECOND: Place(2, 0, 20)}, {1: 54, 2: 64})
    index.forget_packs({1})
    assert index.place(FIRST) is None
    assert index.place(SECOND) == Place(2, 0, 20)
    assert PackIndex(store).packs() == {2: PackState(64, 1, 20)}


def test_what_was_evicted_while_it_was_moved_stays_evicted() -> None:
    index = PackIndex(MemoryStore())
    old = {FIRST: Place(1, 0, 10), SECOND: Place(1, 54, 20)}
    index.add(old, {1: 118})
    assert index.evict([FIRST, FIRST, THIRD]) == 10
    index.move(old, {FIRST: Place(2, 0, 10), SECOND: Place(2, 54, 20)}, {2: 118})
    assert index.place(FIRST) is None
    assert index.place(SECOND) == Place(2, 54, 20)
    assert index.packs() == {1: PackState(118, 0, 0), 2: PackState(118, 1, 20)}
