"""Room is given only where there is some, from those that are least missed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import StoreFailed
from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.fl_reader import Flist
from p2pgrid.flist.tree import Entry, directory
from p2pgrid.flist.tree_room import Need, TreeRoom, need_of
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import DISK_RESERVE_BYTES, TREE_ENTRY_BYTES
from p2pgrid.model.ids import FlistId

SIZES = st.integers(0, 100)
IMAGE = FlistId(bytes(32))


def flist(number: int) -> FlistId:
    return FlistId(bytes((number,)) * 32)


@given(
    st.lists(SIZES, max_size=6),
    st.lists(SIZES, max_size=3),
    st.sets(st.integers(1, 6)),
    st.builds(Need, SIZES, SIZES),
    st.integers(0, 400),
    st.integers(0, 400),
)
def test_what_goes_is_enough_and_not_too_much(
    held: list[int], coming: list[int], kept: set[int], need: Need, budget: int, free: int
) -> None:
    room = TreeRoom({flist(n): size for n, size in enumerate(held, 1)})
    room.coming = {flist(100 + n): Need(size, size) for n, size in enumerate(coming)}
    stay = {flist(n) for n in kept}
    free_bytes = DISK_RESERVE_BYTES + free

    def lacks(gone: list[FlistId]) -> bool:
        freed = sum(room.held[one] for one in gone)
        trees = sum(coming) + need.tree_bytes
        chunks = sum(coming) + need.chunk_bytes
        return sum(held) - freed + trees > budget or trees + chunks > free + freed

    try:
        evicted = room.to_evict(IMAGE, need, budget_bytes=budget, free_bytes=free_bytes, kept=stay)
    except StoreFailed:
        assert lacks([one for one in room.held if one not in stay])
    else:
        assert not lacks(evicted)
        assert not evicted or lacks(evicted[:-1])
        assert evicted == [one for one in room.held if one not in stay][: len(evicted)]


def test_what_was_used_last_goes_last() -> None:
    room = TreeRoom({flist(1): 10, flist(2): 10})
    room.use(flist(1))
    free_bytes = DISK_RESERVE_BYTES + 1000
    assert room.to_evict(IMAGE, Need(10, 0), budget_bytes=20, free_bytes=free_bytes, kept=()) == [
        flist(2)
    ]


def test_a_repeated_chunk_counts_once_as_chunk_and_each_time_as_tree() -> None:
    block, _ = encode_block(b"\xaa" * CHUNK_BYTES)
    root = directory()
    root.children[b"f"] = Entry(mode=0o100644, size=3 * CHUNK_BYTES, blocks=[block] * 3)
    tree = Flist(root, {}, 2, 3 * CHUNK_BYTES)
    tree_bytes = 3 * CHUNK_BYTES + 2 * TREE_ENTRY_BYTES
    assert need_of(tree, lambda _: False) == Need(tree_bytes, CHUNK_BYTES)
    assert need_of(tree, lambda _: True) == Need(tree_bytes, 0)


def test_a_refusal_names_the_sizes() -> None:
    with pytest.raises(StoreFailed, match=r"takes 2 KiB.*chunks 1 KiB.*keeps 1 KiB.*512 MiB"):
        TreeRoom().to_evict(
            IMAGE, Need(2048, 1024), budget_bytes=1024, free_bytes=DISK_RESERVE_BYTES, kept=()
        )
