"""One proof for a register, as many as there is room for."""

import pytest

from p2pgrid.crdt.register import Contradiction, RegisterKey
from p2pgrid.explorer import contradictions
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.wire.kinds import RecordKind


def key(number: int) -> RegisterKey:
    return RegisterKey(RecordKind.FARM_RECORD, bytes([number]) * 32, b"")


def test_the_first_proof_of_a_register_stays() -> None:
    proofs, first = Contradictions(), Contradiction(b"1", b"2")
    assert proofs.add(key(1), first)
    assert not proofs.add(key(1), Contradiction(b"3", b"4"))
    assert dict(proofs) == {key(1): first}


def test_an_author_is_convicted_as_long_as_one_proof_is_kept() -> None:
    proofs = Contradictions()
    names = RegisterKey(RecordKind.FLIST_NAME, key(1).author, b"x")
    for number, one in enumerate((key(1), names, key(2))):
        assert proofs.add(one, Contradiction(b"%d" % number, b""))
    assert list(proofs.authors()) == [key(1).author, key(2).author]
    assert proofs.of_author(key(1).author) == Contradiction(b"0", b"")
    assert proofs.drop(key(1))
    assert proofs.convict(key(1).author)
    assert proofs.of_author(key(1).author) == Contradiction(b"1", b"")
    assert proofs.drop(names)
    assert not proofs.drop(names)
    assert not proofs.convict(key(1).author)
    assert proofs.of_author(key(1).author) is None


def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contradictions, "CONTRADICTIONS_MAX", 2)
    proofs = Contradictions()
    added = [proofs.add(key(number), Contradiction(b"1", b"2")) for number in range(3)]
    assert (added, proofs.is_full) == ([True, True, False], True)
    proofs.drop(key(0))
    proofs.drop(key(9))
    assert proofs.add(key(2), Contradiction(b"1", b"2"))


def test_there_is_room_for_so_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contradictions, "CONTRADICTIONS_BYTES_MAX", 4)
    proofs = Contradictions()
    added = [proofs.add(key(number), Contradiction(b"1", b"2")) for number in range(3)]
    assert added == [True, True, False]
    proofs.drop(key(1))
    assert proofs.add(key(2), Contradiction(b"1", b"2"))
