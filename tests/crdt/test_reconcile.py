"""Pulling from a peer brings exactly what it has and we lack, whatever it answers."""

import random
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.crdt import reconcile
from p2pgrid.crdt.reconcile import (
    BUCKETS,
    Compare,
    Digests,
    Fetch,
    Ids,
    IdSet,
    ListIds,
    Pull,
    Records,
    Request,
    answer,
)
from p2pgrid.errors import BrokenProtocol, PeerError
from p2pgrid.limits import wire as limits
from p2pgrid.limits.crdt import RECONCILE_FETCH_IDS_MAX
from p2pgrid.wire.codec import decode, encode


class Shelf:
    """Records known by their hash."""

    def __init__(self, *records: bytes) -> None:
        self.ids = IdSet()
        self.records: dict[bytes, bytes] = {}
        for record in records:
            self.put(record)

    def put(self, record: bytes) -> None:
        identity = blake2b(record, digest_size=32).digest()
        self.ids.add(identity)
        self.records[identity] = record

    def record(self, identity: bytes) -> bytes | None:
        return self.records.get(identity)


def pull(asker: Shelf, server: Shelf) -> Pull:
    """Pull once; give the pull when it is over."""
    exchange = Pull(asker.ids)
    while (request := exchange.next_request()) is not None:
        for record in exchange.receive(answer(server, request)):
            asker.put(record)
    return exchange


def numbered(*numbers: int) -> Shelf:
    return Shelf(*(b"record %d" % number for number in numbers))


numbers = st.sets(st.integers(0, 60), max_size=40)


@given(numbers, numbers)
def test_two_that_pull_from_each_other_hold_the_union(left: set[int], right: set[int]) -> None:
    a, b = numbered(*left), numbered(*right)
    pull(a, b)
    pull(b, a)
    assert a.records == b.records == numbered(*left, *right).records
    assert a.ids.root() == b.ids.root()


@given(numbers, numbers, numbers)
def test_news_travels_over_a_third(left: set[int], middle: set[int], right: set[int]) -> None:
    a, b, c = numbered(*left), numbered(*middle), numbered(*right)
    for asker, server in ((b, a), (b, c), (a, b), (c, b)):
        pull(asker, server)
    assert a.records == b.records == c.records


@given(numbers)
def test_equal_sets_cost_64_bytes_at_most_each_way(held: set[int]) -> None:
    asker, server = numbered(*held), numbered(*held)
    exchange = Pull(asker.ids)
    request = exchange.next_request()
    assert request is not None
    reply = answer(server, request)
    assert len(request) <= 64
    assert len(reply) <= 64
    assert exchange.receive(reply) == ()
    assert exchange.was_equal
    assert exchange.next_request() is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=60))
def test_digests_depend_on_the_set_only(steps: list[tuple[bool, int]]) -> None:
    ids, model = IdSet(), set[bytes]()
    for is_added, number in steps:
        identity = blake2b(b"%d" % number, digest_size=32).digest()
        (ids.add if is_added else ids.discard)(identity)
        (model.add if is_added else model.discard)(identity)
        ids.digests()
    assert sorted(ids) == sorted(model)
    assert len(ids) == len(model)
    assert ids.root() == IdSet(list(model)).root()
    assert all(identity in ids for identity in model)


def test_digests_are_neither_sums_nor_xors() -> None:
    """{a, b} and {c, d} with a ^ b == c ^ d and a + b == c + d differ."""
    a, b = bytes(31) + b"\x01", bytes(31) + b"\x06"
    c, d = bytes(31) + b"\x02", bytes(31) + b"\x05"
    assert IdSet([a, b]).root() != IdSet([c, d]).root()


def test_a_large_difference_comes_in_bounded_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "_PAGE_IDS_MAX", 50)
    monkeypatch.setattr(reconcile, "RECONCILE_ANSWER_BYTES_MAX", 1000)
    server, asker = numbered(*range(700)), numbered(*range(3))
    exchange = Pull(asker.ids)
    while (request := exchange.next_request()) is not None:
        reply = answer(server, request)
        assert len(reply) < 256 * 16 + 1100
        for record in exchange.receive(reply):
            asker.put(record)
    assert asker.records == server.records


def test_records_that_do_not_fit_together_come_one_by_one() -> None:
    server = Shelf(*(bytes([n]) * limits.RECORD_BYTES_MAX for n in range(20)))
    asker = Shelf()
    pull(asker, server)
    assert asker.records == server.records


def test_a_peer_that_names_too_many_ids_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "RECONCILE_MISSING_MAX", 100)
    server, asker = numbered(*range(250)), Shelf()
    rounds = [pull(asker, server).is_partial for _ in range(4)]
    assert rounds == [True, True, False, False]
    assert asker.records == server.records


def test_skipped_ids_are_not_fetched() -> None:
    server, asker = numbered(1, 2, 3), Shelf()
    unwanted = next(iter(server.ids))
    exchange = Pull(asker.ids, skip={unwanted})
    got: list[bytes] = []
    while (request := exchange.next_request()) is not None:
        got += exchange.receive(answer(server, request))
    assert server.records[unwanted] not in got
    assert len(got) == 2


def test_a_record_that_is_gone_meanwhile_is_left_out() -> None:
    server, asker = numbered(1, 2, 3), Shelf()
    del server.records[next(iter(server.ids))]
    pull(asker, server)
    assert asker.records == server.records


# --- hostile --------------------------------------------------------------------------------------


def listing() -> Pull:
    """A pull that waits for ids of every bucket."""
    exchange = Pull(IdSet())
    exchange.receive(encode(Digests(bytes(BUCKETS * 16))))
    return exchange


def fetching() -> Pull:
    """A pull that waits for two records."""
    exchange = listing()
    exchange.receive(encode(Ids(bytes(32) + b"\x01" * 32, is_last=True)))
    return exchange


@pytest.mark.parametrize(
    ("exchange", "reply"),
    [
        (Pull(IdSet()), Digests(bytes(15))),
        (listing(), Ids(bytes(31), is_last=True)),
        (listing(), Ids(b"", is_last=False)),
        (listing(), Ids(bytes(64), is_last=True)),
        (listing(), Ids(b"\x01" * 32 + bytes(32), is_last=True)),
        (fetching(), Records((), 0)),
        (fetching(), Records((), 3)),
        (fetching(), Records((b"1", b"2"), 1)),
    ],
)
def test_answers_to_something_else_are_refused(exchange: Pull, reply: object) -> None:
    with pytest.raises(BrokenProtocol):
        exchange.receive(encode(reply))
    assert exchange.next_request() is None


def test_ids_outside_of_what_was_asked_for_are_refused() -> None:
    held = [bytes([n]) * 32 for n in range(BUCKETS)]
    exchange = Pull(IdSet(held))
    exchange.receive(answer(Shelf(), encode(Request(Compare(bytes(16))))))
    assert exchange.next_request() is not None
    digests = list(IdSet(held).digests())
    digests[7] = bytes(16)
    exchange = Pull(IdSet(held))
    exchange.receive(encode(Digests(b"".join(digests))))
    with pytest.raises(BrokenProtocol):
        exchange.receive(encode(Ids(b"\x08" + bytes(31), is_last=True)))


def test_a_peer_cannot_page_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """New ids are bounded; known ids have to ascend, so they end as well."""
    monkeypatch.setattr(reconcile, "RECONCILE_MISSING_MAX", 10)
    exchange, pages = listing(), 0
    while isinstance(_question(exchange), ListIds):
        exchange.receive(encode(Ids(pages.to_bytes(32, "big"), is_last=False)))
        pages += 1
    assert pages == 11


def test_a_peer_cannot_give_nothing_for_ever() -> None:
    exchange = fetching()
    fetches = 0
    while isinstance(_question(exchange), Fetch):
        exchange.receive(encode(Records((), 1)))
        fetches += 1
    assert fetches == 2


def _question(exchange: Pull) -> object:
    request = exchange.next_request()
    return request and decode(Request, request).question


@pytest.mark.parametrize(
    "question",
    [
        Compare(b"short"),
        ListIds(b"\x02\x01", b""),
        ListIds(b"\x01\x01", b""),
        ListIds(b"\x01", b"after"),
        Fetch(b""),
        Fetch(bytes(33)),
        Fetch(bytes(32 * (RECONCILE_FETCH_IDS_MAX + 1))),
    ],
)
def test_requests_that_no_asker_sends_are_refused(question: Compare | ListIds | Fetch) -> None:
    with pytest.raises(BrokenProtocol):
        answer(numbered(1), encode(Request(question)))


@given(st.binary(max_size=200))
def test_garbage_is_blamed_on_the_peer(data: bytes) -> None:
    for exchange in (Pull(IdSet()), listing(), fetching()):
        try:
            exchange.receive(data)
        except PeerError:
            continue
    with pytest.raises(PeerError):
        answer(numbered(1), b"\xff" + data)


@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_thousands_of_records_with_few_differences(seed: int) -> None:
    chosen = random.Random(seed)
    shared = [chosen.randbytes(32) for _ in range(5000)]
    left, right = (IdSet([*shared, *(chosen.randbytes(32) for _ in range(5))]) for _ in range(2))
    exchange = Pull(left)
    exchange.receive(encode(Digests(b"".join(right.digests()))))
    request = exchange.next_request()
    assert request is not None
    question = decode(Request, request).question
    assert isinstance(question, ListIds)
    assert len(question.buckets) <= 10
    assert {one[0] for one in set(right) - set(left)} <= set(question.buckets)
