"""Rows and numbers are used again: what comes and goes for years takes no more room."""

from dataclasses import replace

from p2pgrid.explorer.columns import NodeColumns, Numbers
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.ids import FarmId
from p2pgrid.model.node import CapacityUpdate, Location, NodeAnnouncement
from tests.explorer.grid import (
    FARM,
    Unsearched,
    announced,
    farm_members,
    farm_record,
    node_of,
    updated,
)


def nobody(_: bytes) -> bool:
    return False


def said(number: int) -> NodeAnnouncement:
    place = Location(
        country=f"C{number}", city="", latitude_microdegrees=0, longitude_microdegrees=0
    )
    record = announced(number, farm=FarmId(node_of(number + 1000)), location=place).record
    assert isinstance(record, NodeAnnouncement)
    return record


def test_those_who_left_take_no_room() -> None:
    columns = NodeColumns(nobody)
    for number in range(1, 60):
        columns.put_node(node_of(number), said(number), None)
        columns.put_node(node_of(number), None, None)
    assert len(columns) == 0
    assert columns.nodes.length == columns.farms.length == 1
    assert list(columns.places) == list(columns.gpu_names) == []


def test_a_farm_is_forgotten_when_nobody_claims_it_and_it_says_nothing() -> None:
    columns = NodeColumns(nobody)
    record, members = farm_record().record, farm_members(1).record
    assert isinstance(record, FarmRecord)
    assert isinstance(members, FarmMembers)
    columns.put_farm(FARM, record, members)
    columns.put_farm(FARM, None, members)
    assert columns.titles == {}
    columns.put_farm(FARM, None, None)
    columns.put_farm(node_of(5), record, None)
    assert columns.farms.length == 1


def test_a_farm_that_is_claimed_after_its_lie_was_found_out_is_marked() -> None:
    liars = {node_of(1001)}
    columns = NodeColumns(liars.__contains__)
    columns.put_node(node_of(1), said(1), None)
    assert columns.farms["is_contradicted"].tolist() == [True]
    liars.clear()
    columns.put_farm(node_of(1001), None, None)
    assert columns.farms["is_contradicted"].tolist() == [False]


def test_the_list_of_a_farm_is_not_searched_for_every_node() -> None:
    columns = NodeColumns(nobody)
    members = farm_members(1).record
    assert isinstance(members, FarmMembers)
    columns.put_farm(FARM, None, replace(members, nodes=Unsearched(members.nodes)))
    one = announced(1).record
    assert isinstance(one, NodeAnnouncement)
    columns.put_node(node_of(1), one, None)
    assert columns.nodes["is_member"].tolist() == [True]


def test_tables_grow_and_keep_what_they_hold() -> None:
    columns = NodeColumns(nobody)
    update = updated(1, Capacity(millicores=7)).record
    assert isinstance(update, CapacityUpdate)
    for number in range(1, 100):
        columns.put_node(node_of(number), said(number), update)
    assert columns.nodes["node"].tolist() == [node_of(number) for number in range(1, 100)]
    assert set(columns.nodes["free_millicores"].tolist()) == {7}


def test_a_number_is_given_anew_only_when_nobody_uses_it() -> None:
    numbers = Numbers()
    first, again, other = numbers.take("a"), numbers.take("a"), numbers.take("b")
    assert first == again != other
    numbers.give_back("a")
    assert numbers.get("a") == first
    numbers.give_back("a")
    assert numbers.get("a") is None
    assert numbers.take("c") == first
    assert dict(numbers) == {"b": other, "c": first}
