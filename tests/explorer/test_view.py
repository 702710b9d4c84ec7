"""The view is the same whatever order records come in, and its rules hold for each of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.explorer.query import NodeFilter, Presence
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.view import Refusal, View
from p2pgrid.limits.explorer import NAME_LEASE_MS, NODE_FRESH_MS, NODE_LEASE_MS, RECORD_AHEAD_MS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId
from p2pgrid.model.node import NodeStatus
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed
from tests.explorer.grid import (
    FARM,
    NOW,
    TOTAL,
    announced,
    farm_members,
    farm_record,
    flist_name,
    holdings,
    node_of,
    updated,
)

POOL: list[Signed[ExplorerRecord]] = [
    *(announced(n, sequence=s, version=f"{s}") for n in (1, 2) for s in (0, 1)),
    *(announced(1, sequence=1, version=version) for version in ("lie", "lie again")),
    announced(2, incarnation=2, status=NodeStatus.GONE),
    *(updated(n, Capacity(millicores=1000 * s), sequence=s) for n in (1, 2, 3) for s in (0, 3)),
    announced(3, time_ms=NOW - NODE_LEASE_MS - 1),
    announced(3, time_ms=NOW + RECORD_AHEAD_MS_MAX + 1, sequence=9),
    *(farm_record(title, sequence=s) for s, title in enumerate(("Acme", "Acme II"))),
    farm_members(1, 2),
    farm_members(2, sequence=1),
    *(holdings(n, FlistId(bytes([n]) * 32), sequence=s) for n in (1, 2) for s in (0, 1)),
    *(flist_name(1, title, FlistId(bytes(32))) for title in ("web", "db")),
    flist_name(1, "web", None, sequence=1),
]


def state(view: View) -> Any:
    """All that can be seen from outside."""
    return (
        sorted(view.ids),
        view.nodes(now_ms=NOW),
        view.farms(now_ms=NOW),
        view.flist_names(now_ms=NOW),
        [view.holders(FlistId(bytes([n]) * 32), now_ms=NOW) for n in range(4)],
    )


def view_of(*records: Signed[ExplorerRecord], now_ms: int = NOW) -> View:
    view = View()
    for one in records:
        view.accept(one, TimestampMs(now_ms))
    return view


@given(st.data())
def test_order_and_repetition_do_not_matter(data: st.DataObject) -> None:
    records = data.draw(st.lists(st.sampled_from(POOL), max_size=30))
    again = data.draw(st.permutations(records + records[: len(records) // 2]))
    assert state(view_of(*records)) == state(view_of(*again))


@given(st.lists(st.sampled_from(POOL), max_size=30), st.lists(st.sampled_from(POOL), max_size=30))
def test_what_two_views_exchange_makes_them_equal(
    left: list[Signed[ExplorerRecord]], right: list[Signed[ExplorerRecord]]
) -> None:
    one, other = view_of(*left), view_of(*right)
    for giver, taker in ((one, other), (other, one)):
        for signed in POOL:
            if signed.id in giver.ids:
                taker.accept(signed, NOW)
    assert state(one) == state(other)


@given(st.lists(st.sampled_from(POOL), max_size=40))
def test_ids_and_records_are_of_what_is_held(records: list[Signed[ExplorerRecord]]) -> None:
    view = view_of(*records)
    by_id = {signed.id: signed.envelope for signed in POOL}
    assert len(view) == len(view.ids)
    assert all(view.record(identity) == by_id[identity] for identity in view.ids)  # type: ignore[index]  # ids
    assert not set(view.ids) & set(view.unwanted)
    view.expire(TimestampMs(NOW + NAME_LEASE_MS + 1))
    assert len(view) == len(view.ids) == 0
    assert state(view) == state(View())


def test_a_record_from_the_future_waits() -> None:
    record = announced(1, time_ms=NOW + RECORD_AHEAD_MS_MAX + 1)
    view = View()
    assert view.accept(record, NOW).refusal is Refusal.AHEAD
    assert record.id not in view.unwanted
    assert view.accept(record, TimestampMs(NOW + 1)).refusal is None


def test_a_stale_record_is_refused_also_after_the_newer_one_is_gone() -> None:
    old, new = announced(1), announced(1, sequence=1, time_ms=NOW + 1000)
    view = view_of(old, new)
    later = TimestampMs(NOW + 1000 + NODE_LEASE_MS + 1)
    assert view.nodes(now_ms=later) == ()
    assert len(view.expire(later)) == 1
    assert view.accept(old, later).refusal is Refusal.STALE
    assert view.accept(new, later).refusal is Refusal.STALE
    assert old.id in view.unwanted
    assert new.id not in view.unwanted


def test_farms_and_names_outlive_the_lease_of_nodes() -> None:
    view = view_of(farm_record(), flist_name(1, "web", FlistId(bytes(32))), announced(1))
    view.expire(TimestampMs(NOW + NODE_LEASE_MS + 1))
    assert len(view.farms(now_ms=NOW)) == len(view.flist_names(now_ms=NOW)) == 1
    assert view.nodes(now_ms=NOW) == ()


def test_outdated_records_are_refused_and_not_wanted_again() -> None:
    old, new = announced(1), announced(1, sequence=1)
    view = view_of(new)
    assert view.accept(old, NOW).refusal is Refusal.OUTDATED
    assert view.accept(new, NOW).refusal is Refusal.KNOWN
    assert old.id in view.unwanted
    assert old.id in view_of(old, new).unwanted


def test_contradicting_records_are_kept_as_evidence() -> None:
    one, other = announced(1, version="1"), announced(1, version="2")
    for first, second in ((one, other), (other, one)):
        (found,) = view_of(first, second).contradictions.values()
        assert (found.first, found.second) == (first.envelope, second.envelope)
    assert not view_of(one, announced(1, sequence=1), announced(2)).contradictions


def test_free_capacity_is_what_the_node_says() -> None:
    free = Capacity(millicores=500)
    (row,) = view_of(announced(1), updated(1, free, reservations=3)).nodes(now_ms=NOW)
    assert (row.free, row.reservations) == (free, 3)
    (row,) = view_of(announced(1)).nodes(now_ms=NOW)
    assert row.free == TOTAL.less(row.system)


def test_a_node_belongs_to_its_farm_when_both_say_so() -> None:
    view = view_of(announced(1), announced(2), farm_record(), farm_members(2))
    rows = {row.node: row for row in view.nodes(now_ms=NOW)}
    assert not rows[node_of(1)].is_confirmed
    assert rows[node_of(2)].is_confirmed
    assert {row.farm_name for row in rows.values()} == {"Acme"}
    (farm,) = view.farms(now_ms=NOW)
    assert farm.nodes == (node_of(2),)
    (row,) = view_of(announced(1)).nodes(now_ms=NOW)
    assert (row.farm, row.farm_name, row.payout) == (FARM, "", None)


@pytest.mark.parametrize(
    ("status", "age_ms", "expected"),
    [
        (NodeStatus.UP, NODE_FRESH_MS, Presence.UP),
        (NodeStatus.UP, NODE_FRESH_MS + 1, Presence.DOWN),
        (NodeStatus.STANDBY, 0, Presence.STANDBY),
        (NodeStatus.STANDBY, NODE_FRESH_MS + 1, Presence.DOWN),
    ],
)
def test_presence(status: NodeStatus, age_ms: int, expected: Presence) -> None:
    view = view_of(announced(1, status=status))
    (row,) = view.nodes(now_ms=TimestampMs(NOW + age_ms))
    assert (row.status, row.age_ms) == (expected, age_ms)


def test_a_node_that_says_goodbye_disappears_and_serves_nothing() -> None:
    flist = FlistId(bytes(32))
    view = view_of(announced(1), holdings(1, flist))
    assert view.holders(flist, now_ms=NOW) == (node_of(1),)
    view.accept(announced(1, sequence=1, status=NodeStatus.GONE), NOW)
    assert view.nodes(now_ms=NOW) == ()
    assert view.node(node_of(1), now_ms=NOW) is None
    assert view.holders(flist, now_ms=NOW) == ()


def test_withdrawn_names_are_not_listed() -> None:
    view = view_of(flist_name(1, "web", FlistId(bytes(32))), flist_name(1, "web", None, sequence=1))
    assert view.flist_names(now_ms=NOW) == ()


def test_one_author_cannot_fill_the_view() -> None:
    view = View(per_author_max=3)
    names = [flist_name(1, f"n{n}", FlistId(bytes(32))) for n in range(4)]
    refusals = [view.accept(name, NOW).refusal for name in names]
    assert refusals == [None, None, None, Refusal.TOO_MANY]
    assert view.accept(flist_name(1, "n0", None, sequence=1), NOW).refusal is None
    assert view.accept(announced(2), NOW).refusal is None


def test_who_was_not_heard_of_for_longest_makes_room_but_never_ourselves() -> None:
    view = View(registers_max=3)
    view.protect(node_of(1))
    for number in (1, 2, 3):
        view.accept(announced(number), NOW)
    view.accept(announced(2, sequence=1), NOW)
    admission = view.accept(announced(4), NOW)
    assert [key.author for key in admission.dropped] == [node_of(3)]
    kept = view.nodes(NodeFilter(), now_ms=NOW)
    assert {row.node for row in kept} == {node_of(1), node_of(2), node_of(4)}


def test_a_flood_of_new_keys_leaves_a_bounded_view() -> None:
    view = View(registers_max=10)
    for number in range(1, 60):
        view.accept(announced(number), NOW)
    assert len(view) == len(view.ids) == len(view.nodes(now_ms=NOW)) == 10
