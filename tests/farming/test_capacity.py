"""What is offered never exceeds what there is, and shares never exceed the whole."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.farming.capacity import (
    DataDisk,
    cache_bytes,
    free_capacity,
    has_drifted,
    share_of,
    system_capacity,
    system_memory_bytes,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.units import GIB, MIB, TIB

capacities = st.builds(
    Capacity,
    millicores=st.integers(0, 512_000),
    memory_bytes=st.integers(0, 4 * TIB),
    ssd_bytes=st.integers(0, 100 * TIB),
    hdd_bytes=st.integers(0, 100 * TIB),
    gpus=st.integers(0, 16),
)


@given(capacities, st.integers(0, 100 * TIB), st.integers(0, TIB), st.booleans())
def test_the_system_keeps_a_part_and_the_rest_fits_on_the_data_disk(
    total: Capacity, available: int, own: int, is_ssd: bool
) -> None:
    disk = DataDisk(available + own, available, is_ssd)
    system = system_capacity(total, disk, own_bytes=own)
    offered = free_capacity(total, system, Capacity())
    assert system.fits_in(total)
    assert offered.ssd_bytes + offered.hdd_bytes <= available + own
    assert offered.gpus == 0
    assert (offered.hdd_bytes if is_ssd else offered.ssd_bytes) == 0


@given(capacities, capacities, capacities)
def test_free_is_total_less_system_less_reserved(
    total: Capacity, system: Capacity, reserved: Capacity
) -> None:
    free = free_capacity(total, system, reserved)
    assert free.fits_in(total)
    if (system + reserved).fits_in(total):
        assert free + system + reserved == total


@given(capacities, st.lists(st.floats(0.001, 1), min_size=1, max_size=5))
def test_shares_that_add_up_to_one_do_not_exceed_the_machine(
    total: Capacity, parts: list[float]
) -> None:
    shares = [max(0.001, part / sum(parts) - 0.001) for part in parts]
    summed = Capacity()
    for share in shares:
        summed += share_of(total, share)
    assert summed.fits_in(total) or sum(shares) > 1


def test_a_whole_share_is_the_machine_and_thirds_leave_less_than_a_thousandth() -> None:
    total = Capacity(millicores=2000, memory_bytes=24 * GIB, ssd_bytes=100 * GIB)
    assert share_of(total, 1.0) == total
    third = share_of(total, 1 / 3)
    assert third == share_of(total, 0.333)
    assert (third + third + third).fits_in(total)
    assert share_of(total, 0.29).millicores == 580


@given(st.integers(0, 4 * TIB))
def test_small_machines_keep_half_of_their_memory(total: int) -> None:
    kept = system_memory_bytes(total)
    assert kept <= total // 2
    assert kept >= min(2 * GIB, total // 2)
    assert kept >= min(total // 10, total // 2)


@given(st.integers(0, 100 * TIB))
def test_the_cache_takes_a_bounded_part_of_the_disk(usable: int) -> None:
    assert cache_bytes(usable) <= min(usable // 4, 100 * GIB)
    assert cache_bytes(usable) >= min(usable // 4, 5 * GIB)


def test_running_workloads_do_not_make_the_machine_shrink() -> None:
    total = Capacity(ssd_bytes=100 * GIB)
    before = system_capacity(total, DataDisk(100 * GIB, 60 * GIB, is_ssd=True))
    after = system_capacity(total, DataDisk(100 * GIB, 40 * GIB, is_ssd=True), own_bytes=20 * GIB)
    assert before == after


def test_little_writes_of_others_are_no_news() -> None:
    said = Capacity(memory_bytes=2 * GIB, ssd_bytes=50 * GIB)
    assert not has_drifted(said, said + Capacity(ssd_bytes=500 * MIB))
    assert has_drifted(said, said + Capacity(ssd_bytes=GIB))
    assert has_drifted(said, said + Capacity(hdd_bytes=GIB))
    assert has_drifted(said, said + Capacity(memory_bytes=1))
