"""Who holds a flist follows from the holdings that are held."""

from p2pgrid.explorer.holders import Holders
from p2pgrid.model.flist import Holdings
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.units import TimestampMs

ONE, TWO = FlistId(bytes(32)), FlistId(b"2" * 32)
A, B = NodeId(b"a" * 32), NodeId(b"b" * 32)


def holdings(node: NodeId, *flists: FlistId) -> Holdings:
    return Holdings(node=node, incarnation=1, sequence=0, time_ms=TimestampMs(0), flists=flists)


def test_who_says_it_holds_a_flist_is_named_until_the_record_is_gone() -> None:
    holders = Holders()
    holders.add(holdings(B, ONE, TWO))
    holders.add(holdings(A, ONE))
    holders.add("another record")
    assert holders.of(ONE) == [A, B]

    holders.discard("another record")
    holders.discard(holdings(B, ONE, TWO))
    assert holders.of(ONE) == [A]
    assert holders.of(TWO) == []
