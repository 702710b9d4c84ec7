"""What is read from a peer is of the right size and order, or it is the peer's fault."""

import pytest

from p2pgrid.crdt.messages import Cuts, is_ascending, read_answer, require, split
from p2pgrid.errors import BrokenProtocol, MalformedRecord
from p2pgrid.wire.codec import encode


def test_pieces_have_one_size() -> None:
    assert split(b"abcd", 2) == [b"ab", b"cd"]
    assert split(b"", 2) == []
    with pytest.raises(BrokenProtocol, match="pieces of 2 bytes"):
        split(b"abc", 2)


def test_ascending_means_no_two_are_equal() -> None:
    assert is_ascending([b"", b"a", b"b"])
    assert not is_ascending([b"a", b"a"])
    assert not is_ascending([b"b", b"a"])


def test_a_broken_rule_is_the_peers_fault() -> None:
    require(True, "nothing")
    with pytest.raises(BrokenProtocol, match="expected manners"):
        require(False, "manners")


def test_an_answer_has_a_greatest_size() -> None:
    assert read_answer(Cuts, encode(Cuts(b"a", is_last=True))).cuts == b"a"
    with pytest.raises(MalformedRecord):
        read_answer(Cuts, encode(Cuts(bytes(1_000_000), is_last=True)))
