"""Pulling from a peer brings exactly what it has and we lack, whatever it answers."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.crdt import answerer, reconcile, searches
from p2pgrid.crdt.messages import (
    Compare,
    Compared,
    Cuts,
    Differs,
    Equal,
    Fetch,
    FetchShort,
    ListIds,
    News,
    Records,
    Request,
    Stream,
)
from p2pgrid.crdt.reconcile import Cursor, Pull
from p2pgrid.crdt.short_hash import Words
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.errors import BrokenProtocol, PeerError
from p2pgrid.limits import wire as limits
from p2pgrid.limits.crdt import SESSION_INTERVAL_MS
from p2pgrid.wire.codec import decode, encode
from tests.crdt.replicas import PEER, Shelf, numbered, run

numbers = st.sets(st.integers(0, 60), max_size=40)


@given(numbers, numbers)
def test_two_that_pull_from_each_other_hold_the_union(left: set[int], right: set[int]) -> None:
    a, b = numbered(*left), numbered(*right)
    run(a, b)
    run(b, a)
    assert a.records == b.records == numbered(*left, *right).records
    assert a.ids.root() == b.ids.root()


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.sampled_from([0, 1, 3, 10, 60, 400, 3000]),
    st.sampled_from([0, 1, 3, 10, 60, 400, 3000]),
    st.sampled_from([0, 100, 3000]),
)
def test_differences_of_every_size(seed: int, mine: int, theirs: int, shared: int) -> None:
    chosen = random.Random(seed)
    both = [chosen.randbytes(8) for _ in range(shared)]
    asker = Shelf(*both, *(chosen.randbytes(8) for _ in range(mine)), seed=seed)
    server = Shelf(*both, *(chosen.randbytes(8) for _ in range(theirs)), seed=seed + 1)
    expected = asker.records | server.records
    exchange = run(asker, server)
    assert asker.records == expected
    assert exchange.is_compared
    assert server.fetched <= theirs + 1


@given(numbers)
def test_equal_sets_cost_64_bytes_both_ways_together(held: set[int]) -> None:
    asker, server = numbered(*held), numbered(*held)
    server.arrivals.end += 2**24
    exchange = asker.pull(cursor=Cursor(2**32 - 1, 2**24))
    request = exchange.next_request()
    assert request is not None
    reply = server.answerer.answer(PEER, request, 0)
    assert len(request) + len(reply) <= 64
    assert exchange.receive(reply) == ()
    assert exchange.is_compared
    assert exchange.next_request() is None


def test_with_a_cursor_only_news_travels() -> None:
    asker, server = numbered(*range(200)), numbered(*range(200))
    cursor = run(asker, server).cursor
    asker.put(b"ours")
    for number in range(5):
        server.put(b"news %d" % number)
    exchange = asker.pull(cursor=cursor, is_trusted=True)
    sent = 0
    while (request := exchange.next_request()) is not None:
        reply = server.answerer.answer(PEER, request, 0)
        sent += len(request) + len(reply)
        asker.take(exchange.receive(reply))
    assert len(asker.records) == 206
    assert exchange.cursor.offset == 205
    assert not exchange.is_compared
    assert sent < 350


def test_news_that_is_not_there_any_more_is_left_out() -> None:
    asker, server = numbered(1), numbered(1)
    cursor = run(asker, server).cursor
    server.put(b"short-lived")
    server.ids.discard(next(one for one in server.ids if one not in asker.ids))
    exchange = run(asker, server, asker.pull(cursor=cursor))
    assert exchange.is_compared
    assert server.fetched == 0


def test_a_cursor_of_an_earlier_log_is_no_cursor() -> None:
    asker, server = numbered(1), numbered(1, 2, 3, seed=5)
    exchange = run(asker, server, asker.pull(cursor=Cursor(12345, 0), is_trusted=True))
    assert exchange.is_compared
    assert asker.records == server.records


def test_a_cursor_before_what_the_log_remembers_is_no_cursor() -> None:
    asker, server = Shelf(), numbered(1, 2, 3)
    cursor = run(asker, server).cursor
    server.put(b"4")
    server.arrivals._ids.clear()
    run(asker, server, asker.pull(cursor=cursor, is_trusted=True))
    assert asker.records == server.records


def test_a_large_difference_comes_in_bounded_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (answerer, searches):
        monkeypatch.setattr(module, "PAGE_CUTS_MAX", 50)
    monkeypatch.setattr(answerer, "RECONCILE_ANSWER_BYTES_MAX", 1000)
    server, asker = numbered(*range(700)), numbered(*range(3))
    exchange = asker.pull()
    while (request := exchange.next_request()) is not None:
        reply = server.answerer.answer(PEER, request, 0)
        assert len(reply) < 1500
        asker.take(exchange.receive(reply))
    assert asker.records == server.records


def test_records_that_do_not_fit_together_come_one_by_one() -> None:
    server = Shelf(*(bytes([n]) * limits.RECORD_BYTES_MAX for n in range(20)))
    asker = Shelf()
    run(asker, server)
    assert asker.records == server.records


def test_a_peer_that_names_too_many_ids_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "RECONCILE_MISSING_MAX", 100)
    server, asker = numbered(*range(250)), Shelf()
    rounds = [run(asker, server).is_partial for _ in range(4)]
    assert rounds == [True, True, False, False]
    assert asker.records == server.records


@pytest.mark.parametrize("shared", [0, 300])
def test_unwanted_ids_are_not_fetched(shared: int) -> None:
    """By a list of ids, and by symbols."""
    server = numbered(*range(shared), *range(1000, 1030))
    asker = numbered(*range(shared))
    unwanted = [one for one in server.ids if one not in asker.ids][:20]
    for identity in unwanted:
        asker.unwanted.add(identity)
    run(asker, server)
    assert len(asker.ids) == shared + 10
    assert server.fetched == 10


def test_a_record_that_is_gone_meanwhile_is_left_out() -> None:
    server, asker = numbered(1, 2, 3), Shelf()
    del server.records[next(iter(server.ids))]
    exchange = run(asker, server)
    assert asker.records == server.records
    assert not exchange.is_compared


def test_a_session_that_ends_too_soon_leaves_the_sets_to_be_compared_again() -> None:
    server, asker = numbered(*range(3000)), numbered(*range(20, 3020))
    exchange = asker.pull()
    while (request := exchange.next_request()) is not None:
        if isinstance(decode(Request, request).question, FetchShort):
            server.answerer._sessions.clear()
        asker.take(exchange.receive(server.answerer.answer(PEER, request, 0)))
    assert not exchange.is_compared
    assert run(asker, server, now_ms=SESSION_INTERVAL_MS).is_compared
    assert server.records.keys() <= asker.records.keys()


def test_who_gets_no_session_lists_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answerer, "SESSION_IDS_BURST", 0)
    server, asker = numbered(*range(3000)), numbered(*range(100, 3100))
    exchange = run(asker, server)
    assert exchange.is_compared
    assert server.records.keys() <= asker.records.keys()


def test_hints_that_happen_to_be_equal_hide_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Truncated hashes only steer: that sets are equal is said by their roots."""
    server, asker = numbered(*range(3000)), numbered(*range(2999))

    def differs(reply: bytes) -> bytes:
        result = decode(Compared, reply).result
        assert isinstance(result, Differs)
        hints = searches.hints_of(asker.ids, nonce)
        return encode(Compared(Differs(result.epoch, result.offset, result.count, hints)))

    nonce = bytes(8)
    exchange = Pull(asker.ids, asker.unwanted, nonce=nonce)
    request = exchange.next_request()
    assert request is not None
    exchange.receive(differs(server.answerer.answer(PEER, request, 0)))
    run(asker, server, exchange)
    assert asker.records == server.records


def questions_of(asker: Shelf, server: Shelf) -> tuple[set[type], int]:
    """Pull; give the kinds of questions, and the bytes that were neither ids nor records."""
    exchange, asked, sent = asker.pull(), set[type](), 0
    while (request := exchange.next_request()) is not None:
        asked.add(type(decode(Request, request).question))
        reply = server.answerer.answer(PEER, request, 0)
        records = exchange.receive(reply)
        sent += len(request) + len(reply) - sum(map(len, records))
        asker.take(records)
    return asked, sent


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_a_difference_costs_45_bytes_at_most(count: int) -> None:
    """In the mean of some pulls, half of the differences on each side."""
    total = 0
    for seed in range(5):
        chosen = random.Random(seed)
        both = [chosen.randbytes(8) for _ in range(5000)]
        asker, server = (
            Shelf(*both, *(chosen.randbytes(8) for _ in range(count // 2)), seed=seed + other)
            for other in (0, 100)
        )
        asked, sent = questions_of(asker, server)
        assert asked == {Compare, Stream, FetchShort}
        assert server.records.keys() <= asker.records.keys()
        total += sent
    assert total / (5 * count) <= 45


def no_key(packed: bytes, _key: bytes) -> Words:
    """Short hashes that anybody can compute before: the first 8 bytes."""
    return np.frombuffer(packed, "<u8").reshape(-1, 4)[:, 0].copy()


@pytest.mark.parametrize("is_keyed", [True, False])
def test_crafted_ids_jam_symbols_only_where_there_is_no_key(
    is_keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs of ids that share 8 bytes can be made; by a key nobody knows they are unlike."""
    if not is_keyed:
        monkeypatch.setattr(searches, "short_hashes", no_key)
        monkeypatch.setattr(answerer, "short_hashes", no_key)
    chosen = random.Random(4)
    both = [chosen.randbytes(8) for _ in range(3000)]
    asker, server = Shelf(*both), Shelf(*both, b"a victim's")
    for number in range(20):
        half = chosen.randbytes(8)
        for part in range(2):
            server.put(b"crafted %d" % (2 * number + part), half + chosen.randbytes(24))
    asked, _ = questions_of(asker, server)
    has_all = set(server.records.values()) <= set(asker.records.values())
    assert (ListIds not in asked and has_all) is is_keyed
    assert b"a victim's" in asker.records.values()


# --- hostile --------------------------------------------------------------------------------------


def fresh() -> Pull:
    return Shelf().pull(cursor=Cursor(5, 10))


def listing() -> Pull:
    """A pull that waits for ids of every part."""
    exchange = fresh()
    exchange.receive(encode(Compared(Differs(7, 1, 100, bytes(16)))))
    return exchange


def fetching() -> Pull:
    """A pull that waits for two records."""
    exchange = listing()
    exchange.receive(encode(Cuts(bytes(8) + b"\x01" * 8, is_last=True)))
    return exchange


@pytest.mark.parametrize(
    ("exchange", "reply"),
    [
        (fresh(), Compared(Differs(7, 1, 100, bytes(15)))),
        (fresh(), Compared(News(10, b""))),
        (fresh(), Compared(News(9, bytes(8)))),
        (fresh(), Compared(News(11, bytes(9)))),
        (fresh(), Compared(News(11, b"".join(n.to_bytes(8, "big") for n in range(5000))))),
        (Shelf().pull(), Compared(News(11, bytes(8)))),
        (listing(), Cuts(bytes(7), is_last=True)),
        (listing(), Cuts(b"", is_last=False)),
        (listing(), Cuts(b"\x01" * 8, is_last=False)),
        (listing(), Cuts(bytes(16), is_last=True)),
        (listing(), Cuts(b"\x01" * 8 + bytes(8), is_last=True)),
        (fetching(), Records((), 0)),
        (fetching(), Records((), 3)),
        (fetching(), Records((b"1",) * 5, 1)),
    ],
)
def test_answers_to_something_else_are_refused(exchange: Pull, reply: object) -> None:
    with pytest.raises(BrokenProtocol):
        exchange.receive(encode(reply))
    assert exchange.next_request() is None


def test_a_peer_cannot_have_news_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "NEWS_PAGES_MAX", 5)
    exchange, offset = fresh(), 10
    while exchange.next_request() is not None:
        offset += 1
        exchange.receive(encode(Compared(News(offset, b""))))
    assert offset == 15
    assert exchange.is_partial


def test_a_peer_cannot_page_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """New ids are bounded; known ids have to ascend, so they end as well."""
    monkeypatch.setattr(searches, "RECONCILE_MISSING_MAX", 10)
    monkeypatch.setattr(searches, "PAGE_CUTS_MAX", 1)
    exchange, pages = listing(), 0
    while isinstance(_question(exchange), ListIds):
        assert exchange.full_pages == pages
        exchange.receive(encode(Cuts(pages.to_bytes(8, "big"), is_last=False)))
        pages += 1
    assert pages == 11


def test_a_peer_cannot_give_nothing_for_ever() -> None:
    exchange = fetching()
    fetches = 0
    while isinstance(_question(exchange), Fetch):
        exchange.receive(encode(Records((), 1)))
        fetches += 1
    assert fetches == 2


@pytest.mark.parametrize("are_short", [True, False])
def test_names_that_bring_nothing_are_counted(are_short: bool) -> None:
    exchange = fetching()
    exchange._are_short = are_short
    exchange.receive(encode(Records((), 1)))
    exchange.note_taken()
    exchange.receive(encode(Records((b"1",), 1)))
    exchange._ours.ids.add(b"\x01" * 32)  # what came
    exchange.note_taken()
    assert exchange.in_vain == 1


def _question(exchange: Pull) -> object:
    request = exchange.next_request()
    return request and decode(Request, request).question


@given(st.binary(max_size=200))
def test_garbage_is_blamed_on_the_peer(data: bytes) -> None:
    for exchange in (fresh(), listing(), fetching()):
        with pytest.raises(PeerError):
            exchange.receive(b"\xff" + data)
    with pytest.raises(PeerError):
        numbered(1).answerer.answer(PEER, b"\xff" + data, 0)


def test_equal_is_believed_only_for_this_pull() -> None:
    exchange = fresh()
    exchange.receive(encode(Compared(Equal(8, 3))))
    assert exchange.cursor == Cursor(8, 3)
    assert HashTrie().root() == Shelf().ids.root()
