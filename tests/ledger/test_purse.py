"""A purse never signs twice for a place, whatever dies when."""

import pytest
import trio
import trio.testing

from p2pgrid.ledger.purse import Purse
from p2pgrid.ledger.wallet import (
    Head,
    head_after,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from tests.ledger.grids import FEE, NOW, Chain, account_of, genesis_of, key_of, pay

NETWORK = genesis_of(1).network
ALICE = account_of("alice")


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
