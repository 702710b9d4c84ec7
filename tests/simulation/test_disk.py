"""A disk that loses power keeps what was committed, and a prefix of the rest."""

from random import Random

from p2pgrid.simulation.coroutines import result_of
from p2pgrid.simulation.disk import Disk, DiskStore
from p2pgrid.store.store import Table

KEYS = [Table.META.key(b"%d" % number) for number in range(5)]


def kept_after(seed: int) -> list[bytes]:
    disk = Disk()
    store = DiskStore(disk)
    result_of(store.commit([(KEYS[0], b"durable")]))
    for key in KEYS[1:]:
        store.write([(key, b"written")])
    assert store.get(KEYS[4]) == b"written"
    disk.lose_power(Random(seed))
    return [key for key, _ in DiskStore(disk).scan(Table.META.value)]


def test_what_was_committed_stays_and_of_the_rest_a_prefix() -> None:
    kept = [kept_after(seed) for seed in range(50)]

    assert all(one == KEYS[: len(one)] and one for one in kept)
    assert {len(one) for one in kept} == {1, 2, 3, 4, 5}


def test_a_commit_makes_durable_what_was_written_before() -> None:
    disk = Disk()
    store = DiskStore(disk)
    store.write([(KEYS[1], b"before"), (KEYS[2], b"gone")])
    result_of(store.commit([(KEYS[2], None)]))
    disk.lose_power(Random(0))

    assert dict(DiskStore(disk).scan(Table.META.value)) == {KEYS[1]: b"before"}
    assert disk.table(Table.META) == [(KEYS[1][1:], b"before")]
