"""Every wanted chunk waits, is under way, or is lost, and comes in the order of urgency."""

from p2pgrid.chunks.wanted import Urgency, Wanted
from p2pgrid.model.ids import ChunkId

A, B, C = (ChunkId(bytes((number,)) * 32) for number in range(3))


def wanting(*chunks: ChunkId, urgency: Urgency = Urgency.LATER) -> Wanted:
    wanted = Wanted()
    for chunk in chunks:
        assert wanted.want(chunk, urgency, is_under_way=False)
    return wanted


def test_the_more_urgent_comes_first_and_urgency_only_grows() -> None:
    wanted = wanting(A, B, C)
    assert not wanted.want(C, Urgency.NOW, is_under_way=False)
    assert not wanted.want(C, Urgency.LATER, is_under_way=False)
    assert not wanted.want(B, Urgency.SOON, is_under_way=False)
    assert list(wanted.waiting()) == [C, B, A]
    assert list(wanted.waiting(Urgency.SOON, Urgency.LATER)) == [B, A]
    assert wanted.is_urgent(C)
    assert (wanted.count, wanted.left_count, wanted.waiting_count) == (3, 3, 3)


def test_what_is_under_way_does_not_wait_until_it_is_given_back() -> None:
    wanted = wanting(A)
    assert wanted.ask(A) is Urgency.LATER
    assert not wanted.want(A, Urgency.NOW, is_under_way=True)
    assert not wanted.is_waiting(A)
    before = wanted.generation
    wanted.wait(A)
    assert list(wanted.waiting(Urgency.NOW)) == [A]
    assert wanted.generation > before


def test_what_is_forgotten_under_way_does_not_come_back_and_may_be_wanted_anew() -> None:
    wanted = wanting(A)
    wanted.ask(A)
    wanted.forget(A)
    wanted.wait(A)
    assert (wanted.left_count, wanted.waiting_count) == (0, 0)
    assert not wanted.want(A, Urgency.LATER, is_under_way=True)
    assert wanted.left_count == 1


def test_what_is_lost_waits_again_when_it_is_wanted_anew() -> None:
    wanted = wanting(A, B)
    wanted.lose(A)
    assert (list(wanted.lost), list(wanted.waiting())) == ([A], [B])
    assert wanted.want(A, Urgency.LATER, is_under_way=False)
    assert list(wanted.waiting()) == [B, A]
    wanted.lose(A)
    wanted.forget(A)
    assert not wanted.lost
    assert wanted.left_count == 1
