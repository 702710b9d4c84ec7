"""A purse never signs twice for a place, whatever dies when; a wallet's operations follow on."""

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InsufficientBalance
from p2pgrid.ledger.purse import Purse
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
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import Amount, TimestampMs
from tests.ledger.grids import FEE, NOW, Chain, account_of, genesis_of, key_of, pay

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


async def test_what_is_signed_is_on_disk_and_comes_back_as_it_was() -> None:
    store = MemoryStore()
    purse = Purse(store, NETWORK)
    signed = await purse.sign_next(key_of("alice"), pay("bob", 1), Head(), FEE, NOW)
    again = Purse(store, NETWORK)

    assert again.pending(ALICE) == signed
    with pytest.raises(AssertionError, match="one operation at a time"):
        await again.sign_next(key_of("alice"), pay("carol", 1), Head(), FEE, NOW)
    again.settle([(signed.id, signed.record)])
    assert again.pending(ALICE) is None
    assert Purse(store, NETWORK).head(ALICE) == head_after(signed.id, signed.record)
    with pytest.raises(AssertionError, match="taken"):
        await again.sign_next(key_of("alice"), pay("carol", 1), Head(), FEE, NOW)


async def test_the_certificate_of_another_operation_settles_nothing() -> None:
    purse = Purse(MemoryStore(), NETWORK)
    signed = await purse.sign_next(key_of("alice"), pay("bob", 1), Head(), FEE, NOW)
    other = Chain(genesis_of(1), "alice").fork(pay("bob", 2))
    purse.settle([(other.id, other.record)])

    assert purse.pending(ALICE) == signed


class Hanging(MemoryStore):
    """A disk whose commit is cut off, before or after it was written."""

    def __init__(self, *, writes: bool) -> None:
        super().__init__()
        self._writes = writes

    async def commit(self, changes: object) -> None:
        if self._writes:
            await super().commit(changes)  # type: ignore[arg-type]  # the same
        await trio.sleep_forever()


@pytest.mark.parametrize("writes", [True, False])
async def test_a_cancelled_signing_is_pending_exactly_when_the_disk_has_it(writes: bool) -> None:
    store = Hanging(writes=writes)
    purse = Purse(store, NETWORK)
    async with trio.open_nursery() as nursery:

        async def sign() -> None:
            await purse.sign_next(key_of("alice"), pay("bob", 1), Head(), FEE, NOW)

        nursery.start_soon(sign)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()

    assert (purse.pending(ALICE) is not None) == writes
    assert (store.get(Table.PENDING.key(ALICE)) is not None) == writes
