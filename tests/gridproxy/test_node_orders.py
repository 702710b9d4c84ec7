"""Every order that gridproxy documents sorts, or is refused by its name."""

from collections.abc import Callable
from typing import Any

import pytest

from p2pgrid.gridproxy.node_orders import NODE_SORTS
from tests.gridproxy.world import World, world

DOCUMENTED = (
    "node_id", "farm_id", "twin_id", "country", "city", "uptime", "created", "updated_at",
    "total_cru", "total_sru", "total_hru", "total_mru", "used_cru", "used_sru", "used_hru",
    "used_mru", "free_cru", "status", "dedicated_farm", "rent_contract_id", "rented", "rentable",
    "num_gpu", "extra_fee", "price_usd",
)  # fmt: skip
Row = dict[str, Any]


def resource(kind: str, name: str) -> Callable[[Row], object]:
    return lambda row: row[f"{kind}_resources"][name]


KEYS: dict[str, Callable[[Row], Any]] = {
    "node_id": lambda row: row["nodeId"],
    "twin_id": lambda row: row["twinId"],
    "farm_id": lambda row: row["farmId"],
    "country": lambda row: row["country"],
    "city": lambda row: row["city"],
    "uptime": lambda row: row["uptime"],
    "updated_at": lambda row: row["updatedAt"],
    **{
        f"{kind}_{name}": resource(kind, name)
        for kind in ("total", "used")
        for name in ("cru", "sru", "hru", "mru")
    },
    "free_cru": lambda row: row["total_resources"]["cru"] - row["used_resources"]["cru"],
    "status": lambda row: ("up", "standby", "down").index(row["status"]),
    "num_gpu": lambda row: row["num_gpu"],
    "price_usd": lambda row: row["price_usd"],
    **{
        name: lambda row: 0
        for name in ("dedicated_farm", "rent_contract_id", "rented", "rentable", "extra_fee")
    },
}


@pytest.fixture(scope="module")
def grid() -> World:
    return world()


def test_every_documented_order_is_known_or_refused() -> None:
    assert {*NODE_SORTS.known, *NODE_SORTS.refused} == set(DOCUMENTED)
    assert set(KEYS) == set(NODE_SORTS.known)


@pytest.mark.parametrize("name", NODE_SORTS.known)
def test_rows_are_in_order(grid: World, name: str) -> None:
    up = [KEYS[name](row) for row in grid.rows("/nodes", sort_by=name)]
    down = [KEYS[name](row) for row in grid.rows("/nodes", sort_by=name, sort_order="DESC")]
    assert up == sorted(up)
    assert down == sorted(down, reverse=True)
    assert len(up) == len(down) == len(grid.rows("/nodes"))


def test_equal_rows_are_in_the_order_of_their_ids_both_ways(grid: World) -> None:
    ids = [row["nodeId"] for row in grid.rows("/nodes", sort_by="rented")]
    assert ids == sorted(ids)
    assert ids == [
        row["nodeId"] for row in grid.rows("/nodes", sort_by="rented", sort_order="desc")
    ]


def test_other_orders_are_refused(grid: World) -> None:
    assert "sort_by created: nobody knows" in grid.refusal("/nodes", sort_by="created")
    assert "no sort_by; there are node_id" in grid.refusal("/nodes", sort_by="beauty")
