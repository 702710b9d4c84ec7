"""A set stands for a list of members: what it says is what the record says, of few farms."""

from dataclasses import replace
from typing import cast

from p2pgrid.explorer.memberships import Memberships
from p2pgrid.limits.explorer import MEMBERSHIPS_MAX
from p2pgrid.model.farm import FarmMembers
from p2pgrid.model.ids import FarmId
from tests.explorer.grid import Unsearched, farm_members, node_of

MEMBERS = cast(FarmMembers, farm_members(1, 2).record)


def test_a_list_is_not_searched_for_every_node() -> None:
    members = replace(MEMBERS, nodes=Unsearched(MEMBERS.nodes))
    memberships = Memberships()
    said = [memberships.lists(members, node_of(number)) for number in (1, 2, 3, 1)]
    assert said == [True, True, False, True]


def test_a_newer_list_counts_at_once_even_with_the_same_stamp() -> None:
    memberships = Memberships()
    assert memberships.lists(MEMBERS, node_of(1))
    assert not memberships.lists(replace(MEMBERS, nodes=()), node_of(1))
    assert memberships.lists(MEMBERS, node_of(1))


def test_sets_of_few_farms_are_kept() -> None:
    memberships = Memberships()
    for number in range(1, MEMBERSHIPS_MAX + 20):
        assert memberships.lists(replace(MEMBERS, farm=FarmId(node_of(number))), node_of(1))
    assert len(memberships) == MEMBERSHIPS_MAX
