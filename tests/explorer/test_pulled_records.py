"""What a peer sends on request is verified before any of it is taken, and stored by the batch."""

import pytest
import trio.testing

from p2pgrid.errors import MalformedRecord
from p2pgrid.limits.explorer import PULL_STORE_BATCH, PULL_VERIFY_BATCH
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from tests.explorer.grid import announced, node_of
from tests.explorer.peers import open_grid


@pytest.mark.parametrize("count", [1, PULL_VERIFY_BATCH + 1, PULL_STORE_BATCH + 1])
async def test_what_comes_before_something_wrong_is_taken_and_stored(
    count: int, autojump_clock: trio.testing.MockClock
) -> None:
    good = [announced(number).envelope for number in range(1000, 1000 + count)]
    store = MemoryStore()
    async with open_grid() as grid:
        explorer = await grid.join(1, store)
        with pytest.raises(MalformedRecord):
            await explorer._take_pulled((*good, b"garbage", announced(99).envelope))
        assert len(explorer.view) == count
        assert sorted(value for _, value in store.scan(Table.REGISTER.value)) == sorted(good)
        assert explorer.node(node_of(99)) is None
        assert await explorer._take_pulled((announced(99).envelope, *good)) == 1
