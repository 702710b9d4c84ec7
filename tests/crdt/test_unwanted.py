"""The latest refused ids are remembered, and found by their first bytes."""

from p2pgrid.crdt.unwanted import UnwantedIds


def test_the_oldest_make_room() -> None:
    unwanted = UnwantedIds(2)
    ids = [bytes([number]) * 32 for number in range(3)]
    for identity in ids:
        unwanted.add(identity)
    assert list(unwanted) == ids[1:]
    assert len(unwanted) == 2
    assert ids[0] not in unwanted
    assert unwanted.has_cut(ids[1][:8])
    assert not unwanted.has_cut(ids[0][:8])


def test_what_is_wanted_again_counts() -> None:
    unwanted = UnwantedIds(2)
    unwanted.add(bytes(32))
    unwanted.discard(bytes(31) + b"\x01")
    assert (bytes(32) in unwanted, unwanted.wanted_again) == (True, 0)
    unwanted.discard(bytes(32))
    assert (bytes(32) in unwanted, unwanted.wanted_again) == (False, 1)
