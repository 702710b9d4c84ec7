"""A shelf counts right whatever happens to it, and never keeps more than it may."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.crdt.register import RegisterKey
from p2pgrid.explorer.shelf import Quota, Shelf
from p2pgrid.wire.kinds import RecordKind

PROTECTED = bytes(1)
AUTHORS = st.integers(0, 5).map(lambda number: bytes((number,)))
NAMES = st.integers(0, 4).map(lambda number: bytes((number,)))
EVENTS = st.lists(
    st.tuples(AUTHORS, NAMES, st.integers(1, 50), st.booleans(), st.sampled_from(range(4))),
    max_size=60,
)


@given(EVENTS, st.booleans())
def test_counts_are_right_and_bounds_hold(
    events: list[tuple[bytes, bytes, int, bool, int]], stay: bool
) -> None:
    quota = Quota(8, 200, orphan_bytes_max=90, incumbents_stay=stay)
    shelf = Shelf(quota, {PROTECTED})
    held: dict[RegisterKey, int] = {}
    orphans: dict[bytes, bool] = {}
    for author, name, weight, is_orphan, what in events:
        key = RegisterKey(RecordKind.FLIST_NAME, author, name)
        known = any(one.author == author for one in held)
        if what == 0 and key in held:
            shelf.remove(key)
            del held[key]
        elif what == 1:
            shelf.adopt(author, is_orphan=is_orphan)
            orphans[author] = is_orphan
        else:
            orphan = orphans.get(author, False) if known else is_orphan
            orphans[author] = orphan
            shelf.put(key, weight, is_orphan=orphan)
            held[key] = weight
        while (gone := shelf.next_to_go()) is not None:
            assert gone.author != PROTECTED
            shelf.remove(gone)
            del held[gone]
        others = [key for key in held if key.author != PROTECTED]
        assert set(shelf) == held.keys()
        assert shelf.memory_bytes == sum(held.values())
        assert shelf.orphan_bytes == sum(
            weight for key, weight in held.items() if orphans[key.author]
        )
        if others:
            assert len(shelf) <= 8
            assert shelf.memory_bytes <= 200
            assert shelf.orphan_bytes <= 90
