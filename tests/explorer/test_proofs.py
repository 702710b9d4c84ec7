"""Who asks for proofs gets those that it lacks, page by page, whatever it says that it has."""

import pytest

from p2pgrid.crdt.register import Contradiction, RegisterKey
from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.explorer import questions
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.proofs import known_of, unknown_to
from p2pgrid.explorer.questions import AskProofs, page_of_proofs
from p2pgrid.explorer.records import envelope_of
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import CONTRADICTIONS_MAX, FARM_MEMBERS_BYTES_MAX, PROOF_HASH_BYTES
from p2pgrid.wire.kinds import RecordKind


def key(number: int) -> RegisterKey:
    return RegisterKey(RecordKind.FARM_RECORD, number.to_bytes(32, "big"), b"")


def proof(number: int) -> Contradiction:
    return Contradiction(b"%d" % number, b"x" * 10)


def proofs_of(*numbers: int) -> Contradictions:
    proofs = Contradictions()
    for number in numbers:
        assert proofs.add(key(number), proof(number))
    return proofs


def test_only_what_is_not_known_is_told() -> None:
    theirs, ours = proofs_of(1, 2, 3), proofs_of(2, 9)
    assert list(unknown_to(theirs, known_of(ours))) == [envelope_of(proof(n)) for n in (1, 3)]
    assert list(unknown_to(theirs, known_of(theirs))) == []
    long = Contradiction(b"a" * FARM_MEMBERS_BYTES_MAX, b"b")
    theirs.add(key(4), long)
    assert len(list(unknown_to(theirs, b""))) == 3


def test_pages_together_tell_every_proof_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "PROOFS_ANSWER_BYTES_MAX", 60)
    view = View()
    for number in range(10):
        view.contradictions.add(key(number), proof(number))
    told: list[bytes] = []
    left = 1
    while left:
        page = page_of_proofs(view, b"", len(told))
        assert page.rows == len(page.records) > 0
        assert sum(map(len, page.records)) <= 60
        told, left = [*told, *page.records], page.rows_left
    assert told == [envelope_of(proof(number)) for number in range(10)]
    monkeypatch.setattr(questions, "PROOFS_ANSWER_BYTES_MAX", 1)
    assert page_of_proofs(view, b"", 0).rows == 1
    with pytest.raises(BrokenProtocol):
        page_of_proofs(view, b"", 11)


def test_nobody_knows_more_than_there_may_be() -> None:
    AskProofs(bytes(PROOF_HASH_BYTES * CONTRADICTIONS_MAX))
    with pytest.raises(InvalidRecord):
        AskProofs(bytes(PROOF_HASH_BYTES * CONTRADICTIONS_MAX + 1))
