"""Registers end up the same whatever order records come in, and show who contradicts himself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.crdt.register import (
    Contradiction,
    Outcome,
    RegisterKey,
    Registers,
    contradicted_register,
    contradiction_of,
    register_key,
)
from p2pgrid.errors import MalformedRecord
from p2pgrid.model.flist import FlistName
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed


def note(
    author: int, title: int, incarnation: int, sequence: int, content: int
) -> Signed[FlistName]:
    name = FlistName(
        publisher=AccountId(bytes([author]) * 32),
        incarnation=incarnation,
        sequence=sequence,
        time_ms=TimestampMs(0),
        title=f"n{title}",
        tag="1",
        flist=None,
        flist_bytes=content,
        content_bytes=0,
        description="",
    )
    unique = bytes((author, title, incarnation, sequence, content)).rjust(32, b"\0")
    return Signed(name, RecordId(unique), b"")


notes = st.builds(note, *(st.integers(0, 2) for _ in range(5)))


def merged(records: list[Signed[FlistName]]) -> dict[RegisterKey, Signed[FlistName]]:
    registers: Registers[FlistName] = Registers()
    for one in records:
        registers.merge(one)
    return dict(registers)


@given(st.data())
def test_order_and_repetition_do_not_matter(data: st.DataObject) -> None:
    records = data.draw(st.lists(notes, max_size=25))
    again = data.draw(st.permutations(records + records[: len(records) // 2]))
    assert merged(records) == merged(again)


@given(st.lists(notes, max_size=25))
def test_a_register_never_goes_back(records: list[Signed[FlistName]]) -> None:
    registers: Registers[FlistName] = Registers()
    for one in records:
        before = registers.get(register_key(one))
        registers.merge(one)
        after = registers.get(register_key(one))
        assert after is not None
        assert before is None or (
            (before.record.incarnation, before.record.sequence)
            <= (after.record.incarnation, after.record.sequence)
        )


@given(st.lists(notes, max_size=25), notes, notes)
def test_authors_and_names_have_registers_of_their_own(
    records: list[Signed[FlistName]], one: Signed[FlistName], other: Signed[FlistName]
) -> None:
    if register_key(one) == register_key(other):
        return
    held = merged([*records, one])
    assert held[register_key(one)] == merged([*records, one, other])[register_key(one)]


def test_two_records_of_one_version_are_an_equivocation() -> None:
    registers: Registers[FlistName] = Registers()
    first, second = note(1, 1, 1, 1, 1), note(1, 1, 1, 1, 2)
    assert registers.merge(first).contradicts is None
    found = registers.merge(second)
    assert (found.outcome, found.contradicts) == (Outcome.NEWER, first)
    found = registers.merge(first)
    assert (found.outcome, found.contradicts) == (Outcome.OLDER, second)
    assert registers.merge(second).outcome is Outcome.SAME


def test_a_restart_counts_more_than_a_long_sequence() -> None:
    registers: Registers[FlistName] = Registers()
    registers.merge(note(1, 1, 1, 2, 0))
    assert registers.merge(note(1, 1, 2, 0, 0)).outcome is Outcome.NEWER
    assert registers.merge(note(1, 1, 1, 2, 0)).outcome is Outcome.OLDER


def test_a_dropped_register_is_empty() -> None:
    registers: Registers[FlistName] = Registers()
    one = note(1, 1, 1, 1, 1)
    registers.merge(one)
    assert registers.drop(register_key(one)) == one
    assert registers.get(register_key(one)) is None
    assert registers.drop(register_key(one)) is None


def test_two_records_of_one_version_are_a_proof_in_one_order() -> None:
    one, other = note(1, 1, 5, 7, 0), note(1, 1, 5, 7, 1)
    envelopes = {one.id: b"one", other.id: b"other"}
    one, other = (replace(it, envelope=envelopes[it.id]) for it in (one, other))
    first, second = sorted((one, other), key=lambda it: it.id)
    proof = contradiction_of(one, other)
    assert proof == contradiction_of(other, one) == Contradiction(first.envelope, second.envelope)
    assert contradicted_register(first, second) == register_key(one)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (note(1, 1, 5, 7, 1), note(1, 1, 5, 7, 0)),
        (note(1, 1, 5, 7, 0), note(1, 1, 5, 7, 0)),
        (note(1, 1, 5, 7, 0), note(1, 1, 5, 8, 1)),
        (note(1, 1, 5, 7, 0), note(1, 1, 6, 7, 1)),
        (note(1, 1, 5, 7, 0), note(1, 2, 5, 7, 1)),
        (note(1, 1, 5, 7, 0), note(2, 1, 5, 7, 1)),
    ],
)
def test_what_proves_nothing(first: Signed[FlistName], second: Signed[FlistName]) -> None:
    with pytest.raises(MalformedRecord):
        contradicted_register(first, second)
