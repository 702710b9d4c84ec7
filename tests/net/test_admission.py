"""Whoever floods us with connections is in his own way, and not in that of others."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits.net import (
    ARRIVALS_ADDRESS_BURST,
    ARRIVALS_BURST,
    ARRIVALS_PER_SECOND,
    ARRIVALS_QUIET,
    ARRIVALS_REMEMBERED_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    CONNECTIONS_PER_PREFIX_MAX,
    CONNECTIONS_UNKNOWN_MAX,
)
from p2pgrid.net.admission import Admission


def admission() -> Admission:
    return Admission(now=0.0)


def test_an_address_has_only_so_many_connections_open() -> None:
    door, taken = admission(), 0
    for number in range(1000):
        taken += door.arrive(number, "192.0.2.7", number)

    assert taken == CONNECTIONS_PER_ADDRESS_MAX
    assert door.arrive(2000, "192.0.2.8", 1000.0)
    door.leave(0)
    assert door.arrive(2001, "192.0.2.7", 1001.0)


def test_a_prefix_has_only_so_many_connections_open() -> None:
    door, taken = admission(), 0
    for number in range(1000):
        taken += door.arrive(number, f"192.0.{number % 250}.{number // 250}", number)

    assert taken == CONNECTIONS_PER_PREFIX_MAX
    assert door.arrive(2000, "192.1.0.1", 1000.0)


def test_a_whole_64_counts_as_one_address() -> None:
    door = admission()
    taken = sum(door.arrive(number, f"2001:db8::{number:x}", number) for number in range(100))

    assert taken == CONNECTIONS_PER_ADDRESS_MAX


def test_connections_that_come_and_go_are_paced() -> None:
    door, taken = admission(), 0
    for number in range(1000):
        if door.arrive(number, "192.0.2.7", 0.0):
            taken += 1
            door.leave(number)

    assert taken == ARRIVALS_ADDRESS_BURST
    assert door.arrive(2000, "192.0.2.7", 1.0)


def test_a_flood_from_many_prefixes_leaves_room_for_a_quiet_one() -> None:
    """All together have a pace, but whoever has used none of it gets in."""
    door, taken, seconds = admission(), 0, 10
    for number in range(1000 * seconds):
        now = number / 1000
        if door.arrive(number, f"10.{number % 50}.{number % 199}.1", now):
            taken += 1
            door.leave(number)
    assert taken <= ARRIVALS_BURST + seconds * ARRIVALS_PER_SECOND + 50 * 8 * seconds
    assert taken <= ARRIVALS_BURST + seconds * ARRIVALS_PER_SECOND + 50 * (ARRIVALS_QUIET + 1)

    assert door.arrive(99_999, "192.0.2.7", float(seconds))


def test_of_those_who_have_not_greeted_the_crowd_makes_place() -> None:
    door, dropped = admission(), []
    assert door.arrive(0, "192.0.2.7", 0.0)
    for number in range(1, 90):
        assert door.arrive(number, f"10.0.0.{number}", number)
        if (gone := door.whom_to_drop()) is not None:
            door.leave(gone)
            dropped.append(gone)

    assert door.unknown_count == CONNECTIONS_UNKNOWN_MAX
    assert dropped == list(range(1, len(dropped) + 1))


def test_whoever_has_greeted_makes_place_for_nobody() -> None:
    door = admission()
    for number in range(90):
        door.arrive(number, f"10.{number}.0.1", number)
        door.settle(number)

    assert door.whom_to_drop() is None


@given(st.lists(st.tuples(st.sampled_from("asl"), st.integers(0, 20), st.integers(0, 3))))
def test_counts_are_right_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    door, here = admission(), set[int]()
    for now, (step, number, host) in enumerate(steps):
        if step == "a" and number not in here:
            if door.arrive(number, f"10.0.0.{host}", now):
                here.add(number)
        elif step == "s":
            door.settle(number)
        else:
            door.leave(number)
            here.discard(number)

    assert set(door._here) == here >= set(door._unknown)
    assert door._sites.total() == door._prefixes.total() == len(here)


def test_addresses_that_come_once_do_not_fill_the_memory() -> None:
    door = admission()
    for number in range(20_000):
        door.arrive(number, f"10.{number % 250}.{number // 250}.1", number * 10)
        door.leave(number)

    assert len(door._paces) <= ARRIVALS_REMEMBERED_MAX
    assert len(door._sites) == len(door._prefixes) == 0
