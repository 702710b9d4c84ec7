"""The least lately used go, never what is needed, and packs are moved only where it pays."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.chunks.chunk_store import ChunkUsage, KeptChunk, chunk_id
from p2pgrid.chunks.eviction import chunks_to_evict, excess_over_share, packs_to_compact
from p2pgrid.chunks.pack_index import PackState
from p2pgrid.chunks.packs import RECORD_OVERHEAD_BYTES
from p2pgrid.units import MIB

KEPT = st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 5))).map(
    lambda rows: [
        KeptChunk(chunk_id(number.to_bytes(2, "big")), size, hour)
        for number, (size, hour) in enumerate(rows)
    ]
)


@given(KEPT, st.sets(st.integers(0, 20)), st.integers(-10, 5000))
def test_enough_goes_the_oldest_first_and_nothing_that_is_needed(
    kept: list[KeptChunk], needed_numbers: set[int], excess_bytes: int
) -> None:
    needed = {one.chunk for number, one in enumerate(kept) if number in needed_numbers}
    sizes = {one.chunk: one.blob_bytes for one in kept}
    hours = {one.chunk: one.used_hour for one in kept}

    evicted = chunks_to_evict(kept, needed, excess_bytes=excess_bytes)

    stay = sizes.keys() - needed - set(evicted)
    gone_bytes = sum(sizes[chunk] for chunk in evicted)
    assert needed.isdisjoint(evicted)
    assert gone_bytes >= excess_bytes or not stay
    assert not evicted or gone_bytes - sizes[evicted[-1]] < excess_bytes
    assert all(hours[chunk] <= hours[other] for chunk in evicted for other in stay)


def test_packs_over_their_share_lose_enough_to_stay_below_it_for_a_while() -> None:
    usage = ChunkUsage(10, 95 * MIB, 100 * MIB, 0, 0)
    assert excess_over_share(usage, 100 * MIB) == 0
    assert excess_over_share(usage, 99 * MIB) == 95 * MIB - 99 * MIB * 65 // 100
    assert excess_over_share(usage, -5) == 95 * MIB


def test_packs_are_compacted_once_a_quarter_is_of_no_use_the_cheapest_first() -> None:
    states = {
        1: PackState(1000, 1, 1000 - RECORD_OVERHEAD_BYTES),
        2: PackState(1000, 1, 700 - RECORD_OVERHEAD_BYTES),
        3: PackState(1000, 0, 0),
    }
    ends = {1: 1000, 2: 1000, 3: 1000, 4: 1000, 5: 0}
    assert packs_to_compact(states, ends) == [3, 4, 2]


def test_a_pack_full_of_tiny_chunks_is_not_moved_for_its_headers() -> None:
    state = PackState(100 * (RECORD_OVERHEAD_BYTES + 1), 100, 100)
    assert packs_to_compact({1: state}, {1: state.indexed_bytes}) == []
