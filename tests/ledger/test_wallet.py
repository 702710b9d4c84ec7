"""The operations of a wallet follow on, never go back in time, and never exceed the balance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InsufficientBalance
from p2pgrid.ledger.wallet import (
    Head,
    head_after,
    least_fee,
    newest,
    next_operation,
    read_head,
    require_funds,
    write_head,
)
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import SettleEscrow
from p2pgrid.units import Amount, TimestampMs
from tests.ledger.grids import FEE, NOW, account_of, genesis_of, pay

NETWORK = genesis_of(1).network
ALICE = account_of("alice")
heads = st.builds(
    Head,
    sequence=st.integers(1, 2**63 - 1),
    previous=st.binary(min_size=32, max_size=32).filter(any).map(RecordId),
    time_ms=st.integers(0, 2**63 - 1).map(TimestampMs),
)


@given(heads)
def test_a_head_is_read_as_it_was_written(head: Head) -> None:
    assert read_head(write_head(head)) == head


@given(heads, st.integers(0, 2**62))
def test_the_next_operation_follows_and_its_time_never_goes_back(head: Head, now_ms: int) -> None:
    operation = next_operation(ALICE, pay("bob", 1), head, fee=FEE, now_ms=TimestampMs(now_ms))

    assert (operation.sequence, operation.previous) == (head.sequence, head.previous)
    assert operation.time_ms >= head.time_ms
    assert newest(head, head_after(RecordId(bytes(32)), operation)).sequence == head.sequence + 1


def test_only_a_node_closes_for_nothing() -> None:
    settle = SettleEscrow(escrow=RecordId(bytes(32)), to_farm=Amount(0), evidence=bytes(32))

    assert least_fee(settle, account_of("node"), ALICE, FEE) == 0
    assert least_fee(settle, ALICE, ALICE, FEE) == FEE
    assert least_fee(pay("bob", 1), ALICE, None, FEE) == FEE


def test_more_than_the_balance_is_named_exactly() -> None:
    operation = next_operation(ALICE, pay("bob", 95), Head(), fee=FEE, now_ms=NOW)

    require_funds(operation, 105)
    with pytest.raises(InsufficientBalance, match=r"holds 0\.0000104 TFT; this takes 0\.0000105"):
        require_funds(operation, 104)
