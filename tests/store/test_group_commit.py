"""Writes share, in order, and nobody is left waiting, whatever happens to the others."""

from collections.abc import Sequence

import pytest
import trio
import trio.testing

from p2pgrid.errors import StoreFailed
from p2pgrid.store.group_commit import GroupCommit


class SlowDisk:
    """Takes a second for each write, and refuses the item -1."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []

    async def write(self, items: Sequence[int]) -> None:
        self.groups.append(list(items))
        await trio.sleep(1)
        if -1 in items:
            raise StoreFailed("refused")
        if -2 in items:
            raise ZeroDivisionError


async def test_those_who_wait_share_the_next_write(autojump_clock: trio.abc.Clock) -> None:
    disk = SlowDisk()
    commits = GroupCommit(disk.write, group_bytes_max=3)
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.submit, 0, 1)
        await trio.testing.wait_all_tasks_blocked()
        for item in range(1, 8):
            nursery.start_soon(commits.submit, item, 1)
            await trio.testing.wait_all_tasks_blocked()
    assert disk.groups == [[0], [1, 2, 3], [4, 5, 6], [7]]
    assert trio.current_time() - started == 4


async def test_an_item_beyond_the_group_limit_goes_alone(autojump_clock: trio.abc.Clock) -> None:
    disk = SlowDisk()
    await GroupCommit(disk.write, group_bytes_max=3).submit(1, 100)
    assert disk.groups == [[1]]


async def test_a_refused_group_is_refused_to_each_and_the_next_goes_on(
    autojump_clock: trio.abc.Clock,
) -> None:
    commits = GroupCommit(SlowDisk().write, group_bytes_max=10)
    refused = []

    async def submit(item: int) -> None:
        try:
            await commits.submit(item, 1)
        except StoreFailed:
            refused.append(item)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.submit, 0, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(submit, -1)
        nursery.start_soon(submit, 1)
    assert sorted(refused) == [-1, 1]
    await commits.submit(2, 1)


async def test_a_cancelled_one_that_nobody_took_along_is_not_written_later(
    autojump_clock: trio.abc.Clock,
) -> None:
    disk = SlowDisk()
    commits = GroupCommit(disk.write, group_bytes_max=10)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.submit, 0, 1)
        await trio.testing.wait_all_tasks_blocked()
        with trio.move_on_after(0.5):
            await commits.submit(1, 1)
    await commits.submit(2, 1)
    assert disk.groups == [[0], [2]]


async def test_a_cancelled_leader_finishes_what_others_share(
    autojump_clock: trio.abc.Clock,
) -> None:
    disk = SlowDisk()
    commits = GroupCommit(disk.write, group_bytes_max=10)
    with trio.move_on_after(0.5):
        await commits.submit(0, 1)
    assert not commits.is_writing
    assert trio.current_time() >= 1


async def test_a_bug_in_the_write_reaches_its_leader_and_frees_the_others(
    autojump_clock: trio.abc.Clock,
) -> None:
    commits = GroupCommit(SlowDisk().write, group_bytes_max=10)
    errors: list[type[Exception]] = []

    async def submit(item: int) -> None:
        try:
            await commits.submit(item, 1)
        except (StoreFailed, ZeroDivisionError) as error:
            errors.append(type(error))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(commits.submit, 0, 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(submit, -2)
        nursery.start_soon(submit, 1)
    with pytest.raises(ZeroDivisionError):
        await commits.submit(-2, 1)
    assert set(errors) == {ZeroDivisionError, StoreFailed}
    assert not commits.is_writing
