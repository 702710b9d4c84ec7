"""What is signed is durable first, and no stamp is ever used twice."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from p2pgrid.errors import Refused
from p2pgrid.explorer.announce import announcement_of
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.records import QUOTAS
from p2pgrid.explorer.shelf import Quota
from p2pgrid.limits.explorer import FLIST_NAMES_PER_AUTHOR_MAX, NODE_LEASE_MS
from p2pgrid.model.ids import FlistId
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.units import HOUR_MS, MIB, TimestampMs
from p2pgrid.wire.kinds import RecordKind
from tests.explorer.grid import (
    GRID,
    HARDWARE,
    NOW,
    announced,
    facts,
    farm_record,
    flist_name,
    key_of,
    node_of,
)


def archive_of(store: MemoryStore, now_ms: int = NOW) -> Archive:
    return Archive(store, GRID, lambda: TimestampMs(now_ms))


async def sign_some(archive: Archive) -> list[tuple[int, int]]:
    """Sign three records; give their versions."""
    signed = [
        await archive.sign_next(key_of(1), lambda stamp: announcement_of(facts(1), stamp))
        for _ in range(3)
    ]
    return [(one.record.incarnation, one.record.sequence) for one in signed]


async def test_stamps_go_up_over_restarts_also_when_the_clock_goes_back() -> None:
    store, used = MemoryStore(), list[tuple[int, int]]()
    for hours_back in (0, 0, 5, 2):
        used += await sign_some(archive_of(store, NOW - hours_back * HOUR_MS))
    assert used == sorted(set(used))


async def test_stamps_go_up_although_the_disk_was_lost() -> None:
    before = await sign_some(archive_of(MemoryStore()))
    after = await sign_some(archive_of(MemoryStore(), NOW + 1000))
    assert after[0] > before[-1]


async def test_a_lost_disk_and_a_clock_set_back_go_on_from_what_peers_have() -> None:
    archive = archive_of(MemoryStore(), NOW - HOUR_MS)
    archive.admit(announced(1, incarnation=NOW // 1000, sequence=7, time_ms=NOW - HOUR_MS))
    assert (await sign_some(archive))[0] == (NOW // 1000, 8)


async def test_what_is_signed_is_on_the_disk_and_in_the_view() -> None:
    store = MemoryStore()
    archive = archive_of(store)
    signed = await archive.sign_next(key_of(1), lambda stamp: announcement_of(facts(1), stamp))
    assert archive.view.record(signed.id) == signed.envelope
    assert [value for _, value in store.scan(Table.REGISTER.value)] == [signed.envelope]
    assert archive_of(store).view.record(signed.id) == signed.envelope


async def test_a_register_takes_one_place_on_the_disk() -> None:
    store = MemoryStore()
    archive = archive_of(store)
    for sequence in range(3):
        archive.admit(announced(1, sequence=sequence))
        archive.admit(farm_record(sequence=sequence))
    assert len(list(store.scan(Table.REGISTER.value))) == 2


async def test_what_expires_leaves_the_disk() -> None:
    store = MemoryStore()
    archive_of(store).admit(announced(1))
    assert archive_of(store, NOW + NODE_LEASE_MS).expire() == 0
    late = Archive(store, GRID, lambda: TimestampMs(NOW + NODE_LEASE_MS + 1))
    assert late.view.node(node_of(1), now_ms=NOW) is None
    assert list(store.scan(Table.REGISTER.value)) == []


def test_broken_entries_on_disk_are_dropped() -> None:
    store = MemoryStore()
    key = Table.REGISTER.key(bytes((RecordKind.FARM_RECORD,)), bytes(32), bytes(16))
    store.write([(key, b"rotten")])
    assert len(archive_of(store).view) == 0
    assert store.get(key) is None


async def test_what_is_too_large_or_too_old_is_not_kept() -> None:
    archive = archive_of(MemoryStore())
    await archive.keep(announced(1, sequence=5))
    with pytest.raises(Refused, match="OUTDATED"):
        await archive.keep(announced(1, sequence=4))
    large = facts(1, hardware=replace(HARDWARE, gpus=("g" * 128,) * 60))
    with pytest.raises(Refused, match="too large"):
        await archive.sign_next(key_of(1), lambda stamp: announcement_of(large, stamp))


async def test_a_start_holds_no_more_than_its_share_and_loses_nothing_of_our_own() -> None:
    store = MemoryStore()
    archive = archive_of(store)
    await archive.keep(announced(2))
    for number in range(3, 30):
        archive.admit(announced(number))
    few = {**QUOTAS, RecordKind.NODE_ANNOUNCEMENT: Quota(5, MIB)}
    again = Archive(store, GRID, lambda: NOW, quotas=few)
    assert len(again.view) == 5
    assert again.view.node(node_of(2), now_ms=NOW) is not None
    assert len(list(store.scan(Table.REGISTER.value))) == 5

    for number in range(30, 40):
        again.admit(announced(number))
    assert len(list(store.scan(Table.REGISTER.value))) == 5
    assert again.view.node(node_of(2), now_ms=NOW) is not None


async def test_names_that_peers_would_not_take_are_refused_with_the_reason() -> None:
    archive = archive_of(MemoryStore())
    flist = FlistId(bytes(32))
    for number in range(FLIST_NAMES_PER_AUTHOR_MAX):
        await archive.keep(flist_name(1, f"n{number}", flist))
    with pytest.raises(Refused, match="100 names"):
        await archive.keep(flist_name(1, "more", flist))
    await archive.keep(flist_name(1, "n0", flist, sequence=1))


class _Counting(MemoryStore):
    """Counts writes."""

    writes = 0

    def write(self, changes: Sequence[Change]) -> None:
        self.writes += 1
        super().write(changes)


def test_what_is_admitted_together_is_written_at_once_also_when_the_block_fails() -> None:
    store = _Counting()
    archive = archive_of(store)
    before = store.writes

    def take() -> None:
        with archive.one_write():
            for number in range(1, 6):
                archive.admit(announced(number))
            assert list(store.scan(Table.REGISTER.value)) == []
            raise ValueError("garbage came next")

    with pytest.raises(ValueError, match="garbage"):
        take()
    assert store.writes == before + 1
    archive.admit(announced(6))
    assert store.writes == before + 2
    assert len(archive_of(store).view) == 6


def test_a_batch_that_brings_and_drops_a_record_leaves_none() -> None:
    store = MemoryStore()
    few = {**QUOTAS, RecordKind.NODE_ANNOUNCEMENT: Quota(2, MIB)}
    archive = Archive(store, GRID, lambda: TimestampMs(NOW), quotas=few)
    with archive.one_write():
        for number in range(1, 6):
            archive.admit(announced(number))
    assert len(list(store.scan(Table.REGISTER.value))) == len(archive.view) == 2
