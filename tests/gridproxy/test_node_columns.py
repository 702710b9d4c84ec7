"""Columns say of each node what one look at its records says."""

import numpy as np

from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.limits.explorer import NAME_LEASE_MS
from p2pgrid.model.ids import NodeId
from p2pgrid.units import TimestampMs
from tests.explorer.grid import NOW, node_of
from tests.gridproxy.world import PRICING, RANGES, STRANGER, farm_of, world


def by_node(
    nodes: NodeRows, column: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> dict[NodeId, int]:
    return {nodes.rows.node(row): int(column[row]) for row in np.flatnonzero(nodes.rows.alive())}


def test_what_a_farm_says_counts_for_the_nodes_that_it_lists() -> None:
    nodes = NodeRows(world().view.rows(NOW), PRICING)
    numbers, ranges = (
        by_node(nodes, column) for column in (nodes.farm_numbers(), nodes.farm_ranges())
    )
    assert numbers[node_of(1)] == number_of(farm_of("Green Valley"))
    assert numbers[node_of(4)] == number_of(farm_of("Dry Lake"))
    assert numbers[node_of(STRANGER)] == ranges[node_of(STRANGER)] == 0
    assert (ranges[node_of(1)], ranges[node_of(4)]) == (len(RANGES), 0)


def test_what_a_farm_said_long_ago_counts_no_more() -> None:
    late = TimestampMs(NOW + NAME_LEASE_MS + 1)
    nodes = NodeRows(world().view.rows(late), PRICING)
    assert not nodes.known_farms().any()
    assert not nodes.farms_titled(lambda _: True).any()
    assert not nodes.farm_ranges().any()


def test_the_price_of_some_is_that_of_all() -> None:
    nodes = NodeRows(world().view.rows(NOW), PRICING)
    some = np.array([4, 1])
    assert list(nodes.prices_usd_of(some)) == list(nodes.price_usd()[some])
