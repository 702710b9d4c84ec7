"""Operations: amounts cannot overflow, chains have one beginning, slots say what conflicts."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.ids import AccountId, NodeId, RecordId
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    OUTPUTS_MAX,
    CancelEscrow,
    CloseEscrow,
    CloseTerms,
    OpenEscrow,
    Operation,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
    slot_of,
)
from p2pgrid.units import Amount, TimestampMs
from tests.model.refusals import expect_refused
from tests.strategies import values

ACCOUNT, OTHER = AccountId(b"a" * 32), AccountId(b"b" * 32)
ESCROW = RecordId(b"e" * 32)
TRANSFER = Transfer(outputs=((OTHER, Amount(5)),))
OPEN = OpenEscrow(
    farm=OTHER,
    node=NodeId(b"n" * 32),
    deposit=Amount(10),
    price_per_hour=Amount(1),
    starts_at_ms=TimestampMs(0),
    ends_at_ms=TimestampMs(1),
    grace_seconds=0,
    terms_hash=bytes(32),
)
FIRST = Operation(
    account=ACCOUNT,
    sequence=0,
    previous=NO_PREVIOUS,
    time_ms=TimestampMs(1),
    fee=Amount(2),
    payload=TRANSFER,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"account": b""},
        {"previous": b"p" * 32},
        {"sequence": 1},
        {"fee": INTEGER_MAX},
        {"payload": Transfer(outputs=((OTHER, Amount(INTEGER_MAX)),))},
    ],
    ids=", ".join,
)
def test_operations_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(FIRST, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": ()},
        {"outputs": ((OTHER, 1),) * (OUTPUTS_MAX + 1)},
        {"outputs": ((OTHER, 0),)},
        {"outputs": ((b"", 1),)},
        {"memo": bytes(65)},
    ],
    ids=", ".join,
)
def test_transfers_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(TRANSFER, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"farm": b""},
        {"node": b""},
        {"terms_hash": b""},
        {"deposit": 0},
        {"ends_at_ms": 0},
        {"grace_seconds": INTEGER_MAX // 1000 + 1},
    ],
    ids=", ".join,
)
def test_escrows_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(OPEN, **changes)


def test_other_payloads_out_of_bounds() -> None:
    expect_refused(CancelEscrow(escrow=ESCROW), escrow=b"")
    expect_refused(ReclaimEscrow(escrow=ESCROW), escrow=b"")
    settle = SettleEscrow(escrow=ESCROW, to_farm=Amount(0), evidence=bytes(32))
    expect_refused(settle, evidence=b"")
    close = CloseEscrow(escrow=ESCROW, to_farm=Amount(0), other_signature=bytes(64))
    expect_refused(close, other_signature=bytes(63))


def test_no_amount_is_negative() -> None:
    with pytest.raises(InvalidRecord):
        replace(TRANSFER, outputs=((OTHER, Amount(-1)),))
    with pytest.raises(InvalidRecord):
        replace(OPEN, deposit=Amount(-1))


@given(st.lists(st.integers(1, INTEGER_MAX), min_size=1, max_size=5), st.integers(0, INTEGER_MAX))
def test_a_debit_is_exact_or_refused(amounts: list[int], fee: int) -> None:
    payload = Transfer(outputs=tuple((OTHER, Amount(amount)) for amount in amounts))
    whole = sum(amounts) + fee
    if whole > INTEGER_MAX:
        with pytest.raises(InvalidRecord, match="add up"):
            replace(FIRST, payload=payload, fee=Amount(fee))
    else:
        assert replace(FIRST, payload=payload, fee=Amount(fee)).debit == whole


@given(values(Operation), values(Operation))
def test_operations_conflict_by_place_in_the_chain(a: Operation, b: Operation) -> None:
    same = (a.account, a.sequence) == (b.account, b.sequence)
    assert (a.slots[0] == b.slots[0]) == same
    assert a.slots[0] == replace(a, fee=Amount(0), time_ms=TimestampMs(0)).slots[0]
    assert a.author == a.account


def test_an_escrow_closes_once_however_it_is_closed() -> None:
    closings: list[Payload] = [
        SettleEscrow(escrow=ESCROW, to_farm=Amount(0), evidence=bytes(32)),
        CloseEscrow(escrow=ESCROW, to_farm=Amount(0), other_signature=bytes(64)),
        ReclaimEscrow(escrow=ESCROW),
    ]
    extra = {replace(FIRST, payload=closing).slots[1] for closing in closings}
    cancelled = replace(FIRST, payload=CancelEscrow(escrow=ESCROW))
    another = replace(FIRST, payload=ReclaimEscrow(escrow=RecordId(b"f" * 32)))

    assert extra == {slot_of(b"closing", ESCROW)}
    assert len(cancelled.slots) == 1
    assert another.slots[1] not in extra


def test_slots_of_different_purposes_differ() -> None:
    assert slot_of(b"account", ESCROW) != slot_of(b"closing", ESCROW)
    assert len(slot_of(b"account", ESCROW)) == 32


def test_only_the_deposit_of_an_escrow_is_a_debit() -> None:
    assert OPEN.debit == 10
    assert CancelEscrow(escrow=ESCROW).debit == ReclaimEscrow(escrow=ESCROW).debit == 0


def test_terms_are_signed_by_their_party() -> None:
    terms = CloseTerms(escrow=ESCROW, to_farm=Amount(1), party=OTHER)
    assert terms.author == OTHER
    expect_refused(terms, party=b"")
