"""The view is the same whatever order records come in, and its rules hold for each of them."""

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.crdt.register import register_key
from p2pgrid.explorer.admission import Admission, Refusal
from p2pgrid.explorer.query import NodeFilter, Presence
from p2pgrid.explorer.records import QUOTAS, ExplorerRecord, memory_bytes_of
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import (
    CONTRADICTIONS_BYTES_MAX,
    CONTRADICTIONS_MAX,
    EXPLORER_MEMORY_BYTES_MAX,
    EXPLORER_UNWANTED_MAX,
    NAME_LEASE_MS,
    NODE_FRESH_MS,
    NODE_LEASE_MS,
    RECORD_AHEAD_MS_MAX,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers
from p2pgrid.model.ids import FarmId, FlistId
from p2pgrid.model.node import NodeStatus
from p2pgrid.units import KIB, MIB, TimestampMs
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, sign
from tests.explorer.grid import (
    FARM,
    GRID,
    NOW,
    TOTAL,
    announced,
    farm_members,
    farm_record,
    flist_name,
    holdings,
    key_of,
    members_of,
    node_of,
    updated,
)

EMPTY_VIEW_BYTES = 64 * KIB

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
        for key, proof in giver.contradictions.items():
            taker.contradict(key, proof)
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
        envelopes = [signed.envelope for signed in sorted((one, other), key=lambda it: it.id)]
        assert [found.first, found.second] == envelopes
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
    assert view.farm(FARM, now_ms=NOW) == farm
    assert view.farm(FarmId(node_of(9)), now_ms=NOW) is None
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


def test_a_node_that_says_goodbye_is_down_at_once_and_serves_nothing() -> None:
    flist = FlistId(bytes(32))
    view = view_of(announced(1), holdings(1, flist))
    assert view.holders(flist, now_ms=NOW) == (node_of(1),)
    view.accept(announced(1, sequence=1, status=NodeStatus.GONE), NOW)
    (row,) = view.nodes(now_ms=NOW)
    assert (row.node, row.status) == (node_of(1), Presence.DOWN)
    assert view.node(node_of(1), now_ms=NOW) == row
    assert view.nodes(NodeFilter(statuses=(Presence.UP,)), now_ms=NOW) == ()
    assert view.holders(flist, now_ms=NOW) == ()
    view.accept(announced(1, incarnation=2), NOW)
    assert [one.status for one in view.nodes(now_ms=NOW)] == [Presence.UP]
    assert view.holders(flist, now_ms=NOW) == (node_of(1),)


def test_withdrawn_names_are_not_listed() -> None:
    view = view_of(flist_name(1, "web", FlistId(bytes(32))), flist_name(1, "web", None, sequence=1))
    assert view.flist_names(now_ms=NOW) == ()


def crowded(kind: RecordKind, **changes: Any) -> View:
    """A view with little room for one kind."""
    return View({**QUOTAS, kind: replace(QUOTAS[kind], **changes)})


def test_one_author_cannot_fill_the_view() -> None:
    view = crowded(RecordKind.FLIST_NAME, per_author_max=3)
    names = [flist_name(1, f"n{n}", FlistId(bytes(32))) for n in range(4)]
    refusals = [view.accept(name, NOW).refusal for name in names]
    assert refusals == [None, None, None, Refusal.TOO_MANY]
    assert view.accept(flist_name(1, "n0", None, sequence=1), NOW).refusal is None
    assert view.accept(announced(2), NOW).refusal is None
    view.protect(node_of(1))
    assert view.accept(names[3], NOW).refusal is None


def test_a_flood_of_new_keys_moves_nobody_who_is_there() -> None:
    view = crowded(RecordKind.NODE_ANNOUNCEMENT, registers_max=10)
    incumbents = {node_of(number) for number in range(1, 11)}
    for number in range(1, 61):
        view.accept(announced(number), NOW)
        view.accept(announced(number % 10 + 1, sequence=number), NOW)
    assert len(view) == len(view.ids) == 10
    assert {row.node for row in view.nodes(now_ms=NOW)} == incumbents


def test_ourselves_are_never_crowded_out() -> None:
    view = crowded(RecordKind.NODE_ANNOUNCEMENT, registers_max=2)
    view.accept(announced(1), NOW)
    view.accept(announced(2), NOW)
    view.protect(node_of(3))
    assert view.accept(announced(3), NOW) == Admission(None, (register_key(announced(2)),))
    assert {row.node for row in view.nodes(now_ms=NOW)} == {node_of(1), node_of(3)}


def test_names_move_no_node_and_no_farm() -> None:
    view = crowded(RecordKind.FLIST_NAME, registers_max=20, per_author_max=10)
    others = [announced(1), updated(1, TOTAL), farm_record(), farm_members(1)]
    for one in others:
        view.accept(one, NOW)
    for number in range(2, 12):
        for title in range(12):
            view.accept(flist_name(number, f"n{title}", FlistId(bytes(32))), NOW)
    assert len(view.flist_names(now_ms=NOW)) == 20
    assert all(one.id in view.ids for one in others)


def test_publishers_of_most_names_make_room_first_then_the_least_renewed() -> None:
    view = crowded(RecordKind.FLIST_NAME, registers_max=8)
    modest = [flist_name(number, "web", FlistId(bytes(32))) for number in (1, 2)]
    for one in modest:
        view.accept(one, NOW)
    for title in range(20):
        view.accept(flist_name(3, f"n{title}", FlistId(bytes(32))), NOW)
    assert all(one.id in view.ids for one in modest)
    assert {name.title for name in view.flist_names("", now_ms=NOW)} == {
        "web", *(f"n{n}" for n in range(14, 20))
    }  # fmt: skip

    for number in range(4, 10):
        view.accept(flist_name(number, "x", FlistId(bytes(32))), NOW)
    renewed = flist_name(1, "web", FlistId(bytes(32)), sequence=1)
    view.accept(renewed, NOW)
    view.accept(flist_name(10, "x", FlistId(bytes(32))), NOW)
    assert renewed.id in view.ids
    assert modest[1].id not in view.ids


def test_large_records_are_bounded_by_what_they_take_of_memory() -> None:
    view = crowded(RecordKind.FARM_MEMBERS, memory_bytes_max=MIB, orphan_bytes_max=None)
    for number in range(1, 31):
        view.accept(members_of(number, 1000), NOW)
    assert MIB // 2 < view.memory_bytes <= MIB
    assert len(view) == len(view.ids) < 12


def test_lists_of_unknown_farms_have_little_room_and_come_when_the_farm_does() -> None:
    room = memory_bytes_of(members_of(1, 10)) * 2
    view = crowded(RecordKind.FARM_MEMBERS, orphan_bytes_max=room)
    for number in (1, 2):
        view.accept(members_of(number, 10), NOW)
    own = farm_members(1, 2, 3)
    assert view.accept(own, NOW).refusal is Refusal.CROWDED
    assert own.id in view.unwanted

    view.accept(farm_record(), NOW)
    assert own.id not in view.unwanted
    assert view.accept(own, NOW).refusal is None
    assert view.accept(members_of(4, 10), NOW).refusal is Refusal.CROWDED
    (farm,) = view.farms(now_ms=NOW)
    assert farm.nodes == (node_of(1), node_of(2), node_of(3))


def test_what_nodes_say_of_themselves_moves_what_nobody_announced() -> None:
    view = crowded(RecordKind.HOLDINGS, registers_max=3)
    flist = FlistId(bytes(32))
    for number in (1, 2, 3):
        view.accept(holdings(number, flist), NOW)
    view.accept(announced(4), NOW)
    assert view.accept(holdings(4, flist), NOW).refusal is None
    assert node_of(4) in view.holders(flist, now_ms=NOW)
    view.accept(announced(1), NOW)
    for number in range(5, 9):
        view.accept(holdings(number, flist), NOW)
    assert {node_of(1), node_of(4)} <= set(view.holders(flist, now_ms=NOW))


def test_what_made_room_is_not_wanted_again_however_much_it_is() -> None:
    assert sum(quota.registers_max for quota in QUOTAS.values()) <= EXPLORER_UNWANTED_MAX
    view = crowded(RecordKind.FLIST_NAME, registers_max=2)
    names = [flist_name(number, "web", FlistId(bytes(32))) for number in range(1, 8)]
    for one in names:
        view.accept(one, NOW)
    for one in names:
        assert (one.id in view.ids) != (one.id in view.unwanted)


def test_the_shares_of_memory_add_up() -> None:
    shares = sum(quota.memory_bytes_max for quota in QUOTAS.values())
    assert shares == EXPLORER_MEMORY_BYTES_MAX


def test_what_an_author_who_left_said_is_no_evidence_any_more() -> None:
    view = view_of(announced(1, version="1"), announced(1, version="2"))
    assert len(view.contradictions) == 1
    view.expire(TimestampMs(NOW + 2 * NODE_LEASE_MS))
    assert not view.contradictions


def test_evidence_is_bounded() -> None:
    view = View()
    for number in range(1, CONTRADICTIONS_MAX + 20):
        for version in ("1", "2"):
            view.accept(announced(number, version=version), NOW)
    assert len(view.contradictions) == CONTRADICTIONS_MAX
    view = crowded(RecordKind.FARM_MEMBERS, orphan_bytes_max=None)
    for number in range(1, 90):
        first = members_of(number, 1000)
        lie = replace(cast(FarmMembers, first.record), nodes=())
        view.accept(first, NOW)
        view.accept(sign(lie, key_of(number), GRID), NOW)
    kept = sum(len(one.first) + len(one.second) for one in view.contradictions.values())
    assert kept <= CONTRADICTIONS_BYTES_MAX
