"""Room for answers goes to whoever holds least of it, and nobody takes all."""

from p2pgrid.chunks.turns import Turns
from p2pgrid.model.ids import NodeId

ONE, TWO, THREE = (NodeId(bytes((number,)) * 32) for number in range(3))


def admitted(turns: Turns[str]) -> list[str]:
    found = []
    while (ticket := turns.admit()) is not None:
        found.append(ticket)
    return found


def test_who_holds_least_goes_first_and_among_equals_who_came_first() -> None:
    turns = Turns[str](3, room_per_peer=3)
    for number in range(5):
        turns.wait(ONE, f"one {number}")
    assert admitted(turns) == ["one 0", "one 1", "one 2"]
    turns.wait(TWO, "two")
    turns.wait(THREE, "three")
    for expected in ("two", "three", "one 3"):
        turns.release(ONE)
        assert admitted(turns) == [expected]


def test_one_peer_leaves_room_for_others() -> None:
    turns = Turns[str](3, room_per_peer=2)
    for number in range(5):
        turns.wait(ONE, f"one {number}")
    assert admitted(turns) == ["one 0", "one 1"]
    turns.wait(TWO, "two")
    assert admitted(turns) == ["two"]
    assert turns.held_count == 3


def test_who_no_longer_waits_gets_nothing_and_who_got_something_is_told_so() -> None:
    turns = Turns[str](1, room_per_peer=1)
    turns.wait(ONE, "served")
    turns.wait(TWO, "gone")
    assert admitted(turns) == ["served"]
    assert turns.withdraw("gone")
    assert not turns.withdraw("served")
    turns.release(ONE)
    assert admitted(turns) == []
    assert turns.held_count == 0
