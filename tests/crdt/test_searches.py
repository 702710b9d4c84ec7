"""Each search finds what is lacking, chosen by how much that is; lies end it."""

import random

import pytest

from p2pgrid.crdt import searches
from p2pgrid.crdt.messages import Below, Children, Differs, Leaf, Symbols
from p2pgrid.crdt.searches import (
    Descent,
    Lacking,
    Listing,
    Ours,
    PartComparison,
    Search,
    SymbolStream,
    begin_search,
    hints_of,
)
from p2pgrid.crdt.trie import EMPTY_DIGEST
from p2pgrid.errors import BrokenProtocol
from p2pgrid.wire.codec import encode
from tests.crdt.replicas import Shelf, numbered

NONCE = b"nonce..8"


def ours(shelf: Shelf) -> Ours:
    return Ours(shelf.ids, shelf.unwanted, NONCE)


def differs(server: Shelf) -> Differs:
    return Differs(1, 0, len(server.ids), hints_of(server.ids, NONCE))


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (range(5000), range(5001), Descent),
        (range(5000), range(20, 5020), SymbolStream),
        (range(5000), range(5100), SymbolStream),
        (range(10), range(5000), Listing),
        (range(4000), range(9000, 12_990), SymbolStream),
        (range(3100), range(2000, 8000), PartComparison),
        (range(10), range(100, 120), Descent),
    ],
)
def test_the_cheapest_search_is_chosen(mine: range, theirs: range, expected: type[Search]) -> None:
    search = begin_search(ours(numbered(*mine)), differs(numbered(*theirs)))
    assert type(search) is expected


def test_from_an_empty_peer_there_is_nothing_to_get() -> None:
    assert begin_search(ours(numbered(1)), differs(Shelf())) == Lacking()


def descent() -> Search:
    return Descent(ours(numbered(*range(3000))), [b"\x01", b"\x02"], 3000)


@pytest.mark.parametrize(
    "reply",
    [
        Below(()),
        Below((Leaf(b""),) * 3),
        Below((Leaf(bytes(7)),) * 2),
        Below((Leaf(bytes(8 * 65)),) * 2),
        Below((Children(bytes(63)),) * 2),
        Below((Children(bytes(60)),) * 2),
    ],
)
def test_a_descent_takes_no_other_answer(reply: Below) -> None:
    with pytest.raises(BrokenProtocol):
        descent().receive(encode(reply))


def test_a_descent_that_gets_broad_becomes_a_stream() -> None:
    search: Search | Lacking = Descent(
        ours(numbered(*range(3000))), [bytes([n]) for n in range(8)], 3000
    )
    assert isinstance(search, Descent)
    search = search.receive(encode(Below((Children(bytes(64)),) * 8)))
    assert isinstance(search, SymbolStream)


def test_a_descent_ends_with_the_digits_of_an_id() -> None:
    search: Search | Lacking = Descent(ours(Shelf()), [b"\x01"], 3000)
    empty = searches.cut_digest(EMPTY_DIGEST, NONCE, 4)
    lie = encode(Below((Children(bytes(4) + empty * 15),)))
    for _ in range(62):
        assert isinstance(search, Descent)
        search = search.receive(lie)
    assert isinstance(search, Descent)
    with pytest.raises(BrokenProtocol):
        search.receive(lie)


def test_a_descent_takes_so_many_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves with ids and parts that differ, on every level: a liar has 62 levels."""
    monkeypatch.setattr(searches, "RECONCILE_MISSING_MAX", 100)
    search: Search | Lacking = Descent(ours(Shelf()), [b"\x01", b"\x02"], 3000)
    empty, steps = searches.cut_digest(EMPTY_DIGEST, NONCE, 4), 0
    while isinstance(search, Descent):
        cuts = b"".join(random.Random(steps).randbytes(8) for _ in range(64))
        children = Children(bytes(8) + empty * 14)
        search = search.receive(encode(Below((Leaf(cuts), children))))
        steps += 1
    assert isinstance(search, Lacking)
    assert (steps, len(search.names), search.is_partial) == (2, 128, True)


def stream() -> SymbolStream:
    return SymbolStream(ours(numbered(*range(3000))), 3000, 10, 100)


@pytest.mark.parametrize("size", [11, 12, 15 * 12])
def test_a_stream_takes_as_many_symbols_as_it_asked_for(size: int) -> None:
    with pytest.raises(BrokenProtocol):
        stream().receive(encode(Symbols(bytes(size))))


def test_a_stream_of_garbage_ends_in_a_list() -> None:
    chosen = random.Random(1)
    search: Search | Lacking = stream()
    asked = 0
    while isinstance(search, SymbolStream):
        count = search._count
        asked += count
        search = search.receive(encode(Symbols(chosen.randbytes(12 * count))))
    assert isinstance(search, PartComparison)
    assert asked == 100
