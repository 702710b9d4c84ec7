"""Whoever asks, answers are bounded and sessions are few."""

import pytest

from p2pgrid.crdt import answerer
from p2pgrid.crdt.messages import (
    Compare,
    Descend,
    Fetch,
    FetchShort,
    ListIds,
    Question,
    Records,
    Request,
    Stream,
    Symbols,
)
from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.crdt import (
    DESCEND_PREFIXES_MAX,
    RECONCILE_FETCH_IDS_MAX,
    RIBLT_SYMBOLS_MAX,
    SESSION_INTERVAL_MS,
    SESSIONS_MAX,
)
from p2pgrid.wire.codec import decode, encode
from tests.crdt.replicas import PEER, Shelf, numbered

NONCE = bytes(8)


@pytest.mark.parametrize(
    "question",
    [
        Compare(b"short", NONCE, 0, 0),
        Compare(bytes(16), b"", 0, 0),
        Descend(b"", (b"\x01",)),
        Descend(NONCE, ()),
        Descend(NONCE, (b"\x10",)),
        Descend(NONCE, (bytes(64),)),
        Descend(NONCE, (b"\x01",) * (DESCEND_PREFIXES_MAX + 1)),
        Stream(b"short", 0, 1),
        Stream(NONCE, 0, 0),
        Stream(NONCE, 1, 1),
        Stream(NONCE, 0, RIBLT_SYMBOLS_MAX + 1),
        Stream(b"", RIBLT_SYMBOLS_MAX, 1),
        FetchShort(b""),
        FetchShort(bytes(5)),
        FetchShort(bytes(4 * (RECONCILE_FETCH_IDS_MAX + 1))),
        ListIds(b"", b""),
        ListIds(b"\x02\x01", b""),
        ListIds(b"\x01\x01", b""),
        ListIds(b"\x01", b"after"),
        Fetch(b""),
        Fetch(bytes(9)),
        Fetch(bytes(8 * (RECONCILE_FETCH_IDS_MAX + 1))),
    ],
)
def test_requests_that_no_asker_sends_are_refused(question: Question) -> None:
    with pytest.raises(BrokenProtocol):
        numbered(*range(2000)).answerer.answer(PEER, encode(Request(question)), 0)


def symbols(server: Shelf, peer: bytes, now_ms: int, nonce: bytes = NONCE, first: int = 0) -> bytes:
    request = encode(Request(Stream(nonce, first, 5)))
    return decode(Symbols, server.answerer.answer(peer, request, now_ms)).symbols


def test_a_session_goes_on_with_the_set_as_it_was() -> None:
    server, still = numbered(*range(500)), numbered(*range(500))
    for one in (server, still):
        assert len(symbols(one, PEER, 0)) == 60
    server.put(b"later")
    assert symbols(server, PEER, 1, b"", 5) == symbols(still, PEER, 1, b"", 5)


def test_every_pull_has_symbols_of_its_own() -> None:
    server = numbered(*range(50))
    nonces = [bytes([number]) * 8 for number in range(5)]
    answers = {symbols(server, nonce, 0, nonce) for nonce in nonces}
    assert len(answers) == len(nonces)


def test_a_peer_has_to_wait_for_the_next_session() -> None:
    server = numbered(1, 2, 3)
    assert symbols(server, PEER, 0)
    assert symbols(server, PEER, SESSION_INTERVAL_MS - 1) == b""
    assert symbols(server, b"other", 1)
    assert symbols(server, PEER, SESSION_INTERVAL_MS)


def test_all_sessions_together_hash_so_many_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answerer, "SESSION_IDS_BURST", 10_000)
    monkeypatch.setattr(answerer, "SESSION_IDS_PER_SECOND", 2_500)
    server = numbered(*range(500))
    got = [bool(symbols(server, b"%d" % number, 0)) for number in range(10)]
    assert got == [True] * 4 + [False] * 6
    assert symbols(server, b"later", 2000)


def test_sessions_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    server = numbered(1, 2, 3)
    for number in range(SESSIONS_MAX + 1):
        assert symbols(server, b"%d" % number, 0)
    assert len(server.answerer._sessions) == SESSIONS_MAX
    assert symbols(server, b"0", 1, b"", 5) == b""
    assert symbols(server, b"1", 1, b"", 5)
    monkeypatch.setattr(answerer, "SESSIONS_REMEMBERED_MAX", 3)
    symbols(server, b"new", 1)
    assert len(server.answerer._begun_ms) == SESSIONS_MAX + 1


def test_short_names_without_a_session_name_nothing() -> None:
    request = encode(Request(FetchShort(bytes(8))))
    reply = decode(Records, numbered(1).answerer.answer(PEER, request, 0))
    assert reply == Records((), 2)
