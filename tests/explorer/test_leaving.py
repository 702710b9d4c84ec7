"""A node that stops says so: others see at once that it is down, and when it is up again."""

from random import Random

import trio
import trio.testing

from p2pgrid.explorer.query import Presence
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.limits.explorer import ANNOUNCE_INTERVAL_MS, GOODBYE_SECONDS_MAX
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Store
from p2pgrid.units import SECOND_MS
from tests.explorer.grid import GRID, key_of
from tests.explorer.peers import Grid, clock, open_grid
from tests.explorer.test_service import FailingStore, Machine


def restarted(grid: Grid, store: Store) -> ExplorerService:
    """The service of a program that starts on what the first node stored."""
    return ExplorerService(grid.world.networks[1], store, GRID, clock, random=Random(1))


async def test_a_node_that_leaves_is_down_at_once_and_up_again_when_it_starts(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore()
    async with open_grid(2) as grid, trio.open_nursery() as nursery:
        explorer = await grid.join(1, store)
        nursery.start_soon(explorer.announce, key_of(1), Machine())
        await trio.sleep(1)
        (row,) = grid.explorers[2].nodes()
        assert row.status is Presence.UP

        leaving = trio.current_time()
        await explorer.leave()
        assert trio.current_time() - leaving < GOODBYE_SECONDS_MAX
        (row,) = grid.explorers[2].nodes()
        assert row.status is Presence.DOWN
        await trio.sleep(ANNOUNCE_INTERVAL_MS / SECOND_MS + 10)
        (row,) = grid.explorers[2].nodes()
        assert row.status is Presence.DOWN, "it said something after it took its leave"

        nursery.start_soon(restarted(grid, store).announce, key_of(1), Machine())
        await trio.sleep(1)
        (row,) = grid.explorers[2].nodes()
        assert row.status is Presence.UP
        nursery.cancel_scope.cancel()


async def test_what_cannot_be_stored_or_sent_does_not_keep_a_node_from_leaving(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(2) as grid, trio.open_nursery() as nursery:
        full = await grid.join(1, FailingStore())
        nursery.start_soon(full.announce, key_of(1), Machine())
        await trio.sleep(1)
        leaving = trio.current_time()
        await full.leave()
        assert trio.current_time() - leaving < GOODBYE_SECONDS_MAX
        never_spoke = grid.explorers[2]
        leaving = trio.current_time()
        await never_spoke.leave()
        assert trio.current_time() - leaving <= GOODBYE_SECONDS_MAX
        nursery.cancel_scope.cancel()
