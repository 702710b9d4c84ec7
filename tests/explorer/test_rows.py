"""A row says what its records say, and no more."""

from dataclasses import replace

from p2pgrid.explorer.query import Presence
from p2pgrid.explorer.rows import Looker, farm_view, node_view
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.node import CapacityUpdate, NodeAnnouncement
from p2pgrid.units import HOUR_MS, TimestampMs
from tests.explorer.grid import (
    NOW,
    TOTAL,
    Unsearched,
    announced,
    farm_members,
    farm_record,
    node_of,
    updated,
)

LATER = TimestampMs(NOW + HOUR_MS)


def nobody(_: bytes) -> bool:
    return False


def test_an_announcement_alone_makes_a_row() -> None:
    said = announced(1).record
    assert isinstance(said, NodeAnnouncement)
    row = node_view(said, None, None, None, Looker(LATER, nobody))
    assert (row.farm_name, row.is_confirmed, row.payout, row.reservations) == ("", False, None, 0)
    assert (row.status, row.age_ms, row.uptime_ms) == (Presence.UP, HOUR_MS, HOUR_MS)
    assert row.free == TOTAL.less(said.system)
    assert row.round_trip_us is None
    near = Looker(LATER, nobody, {said.node: 7})
    assert node_view(said, None, None, None, near).round_trip_us == 7


def test_newer_records_and_the_farm_complete_it() -> None:
    said, update = announced(1).record, updated(1, TOTAL, time_ms=NOW + 1, reservations=2).record
    farm, members = farm_record().record, farm_members(1).record
    assert isinstance(said, NodeAnnouncement)
    assert isinstance(update, CapacityUpdate)
    assert isinstance(farm, FarmRecord)
    assert isinstance(members, FarmMembers)
    row = node_view(said, update, farm, members, Looker(LATER, nobody))
    assert (row.farm_name, row.is_confirmed, row.payout) == ("Acme", True, farm.payout)
    assert (row.free, row.reservations, row.age_ms) == (TOTAL, 2, HOUR_MS - 1)
    assert row.location == farm.location
    assert farm_view(farm, members, Looker(LATER, nobody)).nodes == (node_of(1),)
    assert farm_view(farm, None, Looker(LATER, nobody)).nodes == ()


def test_a_row_tells_whose_lies_are_proved() -> None:
    said, farm = announced(1).record, farm_record().record
    assert isinstance(said, NodeAnnouncement)
    assert isinstance(farm, FarmRecord)
    for liar in (said.node, said.farm):
        row = node_view(said, None, farm, None, Looker(LATER, liar.__eq__))
        assert (row.is_contradicted, row.is_farm_contradicted) == (
            liar == said.node,
            liar == said.farm,
        )
        row_of_farm = farm_view(farm, None, Looker(LATER, liar.__eq__))
        assert row_of_farm.is_contradicted is (liar == farm.farm)


def test_the_list_of_a_farm_is_not_searched_for_every_node() -> None:
    said, members = announced(1).record, farm_members(1).record
    assert isinstance(said, NodeAnnouncement)
    assert isinstance(members, FarmMembers)
    members = replace(members, nodes=Unsearched(members.nodes))
    assert node_view(said, None, None, members, Looker(LATER, nobody)).is_confirmed
