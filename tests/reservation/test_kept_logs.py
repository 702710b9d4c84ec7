"""Kept logs: bounded in all, the oldest go first, and the bound outlives a restart."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from p2pgrid.errors import StoreFailed
from p2pgrid.limits.reservation import LOG_KEPT_BYTES_MAX, LOGS_KEPT_BYTES_MAX
from p2pgrid.model.ids import RecordId
from p2pgrid.reservation.consumer import ConsumerService
from p2pgrid.reservation.kept_logs import KeptLogs, kept_log_key
from p2pgrid.reservation.rental import Order
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.units import TimestampMs
from tests.reservation.samples import container
from tests.reservation.world import CANDIDATE, World

BYTES_MAX = 100


def reservation(number: int) -> RecordId:
    return RecordId(number.to_bytes(32, "big"))


def kept_bytes(store: MemoryStore) -> int:
    return sum(len(value) for _, value in store.scan(Table.KEPT_LOG))


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 60))))
async def test_never_more_than_the_bound_and_the_newest_always(
    ends: list[tuple[int, str, int]],
) -> None:
    store = MemoryStore()
    logs = KeptLogs(store, bytes_max=BYTES_MAX)
    for number, name, size in ends:
        await logs.keep(reservation(number), name, bytes(size))

        assert kept_bytes(store) <= BYTES_MAX
        assert logs.get(reservation(number), name) == bytes(size)


async def test_the_oldest_goes_first_also_after_a_restart() -> None:
    store = MemoryStore()
    before = KeptLogs(store, bytes_max=BYTES_MAX)
    for number in (3, 1, 2):
        await before.keep(reservation(number), "web", bytes(30))
    logs = KeptLogs(store, bytes_max=BYTES_MAX)
    logs.load({reservation(one): TimestampMs(at) for at, one in enumerate((3, 1, 2), start=1)})

    await logs.keep(reservation(4), "web", bytes(40))

    assert logs.get(reservation(3), "web") is None
    assert logs.get(reservation(1), "web") == bytes(30)
    assert kept_bytes(store) == BYTES_MAX


async def test_what_is_forgotten_makes_room() -> None:
    store = MemoryStore()
    logs = KeptLogs(store, bytes_max=BYTES_MAX)
    await logs.keep(reservation(1), "web", bytes(50))
    await logs.keep(reservation(2), "web", bytes(50))

    store.write(logs.forget(reservation(2), ["web", "none"]))
    await logs.keep(reservation(3), "web", bytes(50))

    assert logs.get(reservation(1), "web") is not None
    assert logs.get(reservation(2), "web") is None


class FullDisk(MemoryStore):
    """Refuses what is to be durable."""

    is_full = False

    async def commit(self, changes: Sequence[Change]) -> None:
        if self.is_full:
            raise StoreFailed("no space left on device")
        await super().commit(changes)


async def test_a_full_disk_changes_nothing() -> None:
    store = FullDisk()
    logs = KeptLogs(store, bytes_max=BYTES_MAX)
    await logs.keep(reservation(1), "web", bytes(60))
    store.is_full = True
    with pytest.raises(StoreFailed):
        await logs.keep(reservation(2), "web", bytes(60))
    store.is_full = False

    await logs.keep(reservation(3), "web", bytes(60))

    assert [key for key, _ in store.scan(Table.KEPT_LOG)] == [kept_log_key(reservation(3), "web")]


async def test_a_node_keeps_to_the_bound_with_what_it_finds_at_its_start(
    autojump_clock: MockClock,
) -> None:
    world, end = World(), bytes(LOG_KEPT_BYTES_MAX)
    count = LOGS_KEPT_BYTES_MAX // LOG_KEPT_BYTES_MAX
    old: list[Change] = [(kept_log_key(reservation(one), "web"), end) for one in range(count)]
    await world.host_disk.commit(old)

    async def script(service: ConsumerService) -> None:
        order = Order(workloads=(container(),), duration_seconds=3600)
        rental = await service.reserve([CANDIDATE], order, lambda *_: None)
        await service.cancel(rental.id)
        assert (await service.logs(rental.id, "web", 0)).data == b"hello\n"

    await world.play(script)

    kept = [value for _, value in world.host_disk.scan(Table.KEPT_LOG)]
    assert len(kept) == count
    assert sum(map(len, kept)) <= LOGS_KEPT_BYTES_MAX
