"""A node speaks when there is news, and not more often than others want to hear."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.explorer.announce import (
    Announcer,
    Due,
    Load,
    Stamp,
    announcement_of,
    is_news,
    next_incarnation,
    next_stamp,
)
from p2pgrid.limits.explorer import (
    ANNOUNCE_INTERVAL_MS,
    EXPLORER_RECORD_BYTES_MAX,
    RECORD_BURST,
    RECORD_INTERVAL_MS,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.units import GIB, TimestampMs
from p2pgrid.wire.signed import sign
from tests.explorer.grid import GRID, NOW, TOTAL, facts, key_of

FREE = Capacity(millicores=8000, memory_bytes=28 * GIB, ssd_bytes=500 * GIB)


def test_it_speaks_at_start_and_is_silent_while_nothing_changes() -> None:
    announcer = Announcer()
    assert announcer.due(facts(1), Load(FREE, 0), NOW) == Due(announcement=True, update=True)
    later = TimestampMs(NOW + ANNOUNCE_INTERVAL_MS - 1)
    assert announcer.due(facts(1), Load(FREE, 0), later) == Due(announcement=False, update=False)
    after = TimestampMs(NOW + ANNOUNCE_INTERVAL_MS)
    assert announcer.due(facts(1), Load(FREE, 0), after) == Due(announcement=True, update=True)


def test_each_part_is_said_when_it_changes() -> None:
    announcer = Announcer()
    announcer.due(facts(1), Load(FREE, 0), NOW)
    changed = facts(1, version="2")
    assert announcer.due(changed, Load(FREE, 0), NOW) == Due(announcement=True, update=False)
    assert announcer.due(changed, Load(FREE, 1), NOW) == Due(announcement=False, update=True)


@given(st.lists(st.tuples(st.integers(0, 200_000), st.integers(0, 5)), max_size=60))
def test_updates_keep_their_pace_and_the_last_state_is_said_in_the_end(
    steps: list[tuple[int, int]],
) -> None:
    announcer, now, said = Announcer(), int(NOW), list[int]()
    load = Load(FREE, 0)
    for pause_ms, reservations in steps:
        now += pause_ms
        load = Load(FREE, reservations)
        if announcer.due(facts(1), load, TimestampMs(now)).update:
            said.append(now)
    for first, start in enumerate(said):
        for count, end in enumerate(said[first:], start=1):
            assert count <= RECORD_BURST + (end - start) / RECORD_INTERVAL_MS
    announcer.due(facts(1), load, TimestampMs(now + RECORD_INTERVAL_MS))
    assert announcer.load is not None
    assert announcer.load.reservations == load.reservations


def test_small_changes_are_not_news() -> None:
    said = Load(FREE, 1)
    assert not is_news(said, said, TOTAL)
    assert not is_news(said, Load(FREE.less(Capacity(millicores=399)), 1), TOTAL)
    assert is_news(said, Load(FREE.less(Capacity(millicores=400)), 1), TOTAL)
    assert is_news(said, Load(FREE, 2), TOTAL)
    assert is_news(said, Load(FREE + Capacity(gpus=1), 1), TOTAL)


@given(st.none() | st.integers(0, 10**10), st.integers(0, 10**13))
def test_incarnations_go_up(last: int | None, now_ms: int) -> None:
    incarnation = next_incarnation(last, TimestampMs(now_ms))
    assert incarnation >= now_ms // 1000
    assert last is None or incarnation > last


@given(
    st.none() | st.builds(Stamp, st.integers(0, 5), st.integers(0, 5), st.just(NOW)),
    st.integers(0, 5),
)
def test_stamps_go_up(last: Stamp | None, incarnation: int) -> None:
    stamp = next_stamp(last, incarnation, NOW)
    assert stamp.incarnation >= incarnation
    assert last is None or ((stamp.incarnation, stamp.sequence) > (last.incarnation, last.sequence))


def test_addresses_are_left_out_rather_than_the_announcement() -> None:
    addresses = tuple("/ip6/" + f"{n}".rjust(250, "x") for n in range(16))
    said = announcement_of(facts(1, addresses=addresses, version="v" * 250), Stamp(1, 1, NOW))
    assert said.addresses == addresses[: len(said.addresses)]
    assert 10 < len(said.addresses) < 16
    assert len(sign(said, key_of(1), GRID).envelope) <= EXPLORER_RECORD_BYTES_MAX


def test_a_usual_announcement_takes_600_bytes_at_most() -> None:
    said = announcement_of(
        facts(1, addresses=("/ip4/10.0.0.1/tcp/4001/p2p/" + "Q" * 52,) * 3),
        Stamp(NOW // 1000, 1, NOW),
    )
    assert len(sign(said, key_of(1), GRID).envelope) <= 600
