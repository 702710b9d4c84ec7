"""Every filter that gridproxy documents finds what it says, or is refused by its name."""

from collections.abc import Callable
from typing import Any

import pytest

from p2pgrid.explorer.query import NodeView, Presence
from p2pgrid.gridproxy.node_filters import NODE_FILTERS, NODE_REFUSED
from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.gridproxy.paging import PAGING_FIELDS
from p2pgrid.limits.gridproxy import IDS_ASKED_MAX
from p2pgrid.model.node import Feature
from p2pgrid.units import GIB
from tests.explorer.grid import NOW, node_of
from tests.gridproxy.world import NODES, STRANGER, World, farm_of, world

DOCUMENTED = (
    "status", "free_mru", "free_hru", "free_sru", "total_mru", "total_hru", "total_sru",
    "total_cru", "country", "country_contains", "city", "city_contains", "region", "farm_name",
    "farm_name_contains", "farm_ids", "free_ips", "ipv4", "ipv6", "domain", "dedicated",
    "in_dedicated_farm", "rentable", "owned_by", "rented", "rented_by", "rentable_or_rented_by",
    "available_for", "node_id", "node_ids", "twin_id", "certification_type", "has_gpu", "num_gpu",
    "gpu_device_id", "gpu_device_name", "gpu_vendor_id", "gpu_vendor_name", "gpu_available",
    "healthy", "price_min", "price_max", "excluded", "has_ipv6", "features", "size", "page",
    "ret_count", "randomize", "sort_by", "sort_order", "balance",
)  # fmt: skip

GREEN, DRY = number_of(farm_of("Green Valley")), number_of(farm_of("Dry Lake"))
Wanted = Callable[[NodeView], bool]


def numbers(*nodes: int) -> str:
    return ",".join(str(number_of(node_of(node))) for node in nodes)


def is_one_of(*nodes: int) -> Wanted:
    return lambda node: node.node in {node_of(number) for number in nodes}


def everybody(_: NodeView) -> bool:
    return True


def nobody(_: NodeView) -> bool:
    return False


def country(node: NodeView) -> str:
    return node.location.country if node.location else ""


def city(node: NodeView) -> str:
    return node.location.city if node.location else ""


FOUND: dict[str, list[tuple[object, Wanted]]] = {
    "status": [
        ("up", lambda node: node.status is Presence.UP),
        ("standby,DOWN", lambda node: node.status is not Presence.UP),
        (["down", "standby"], lambda node: node.status is not Presence.UP),
    ],
    "free_mru": [(29 * GIB, lambda node: node.free.memory_bytes >= 29 * GIB), (0, everybody)],
    "free_sru": [(1, lambda node: node.free.ssd_bytes >= 1)],
    "free_hru": [(1, lambda node: node.free.hdd_bytes >= 1)],
    "total_mru": [(GIB, lambda node: node.total.memory_bytes >= GIB)],
    "total_sru": [(GIB, lambda node: node.total.ssd_bytes >= GIB)],
    "total_hru": [(1, lambda node: node.total.hdd_bytes >= 1)],
    "total_cru": [(1, lambda node: node.total.millicores >= 1000)],
    "country": [("belgium", lambda node: country(node) == "Belgium"), ("Bel", nobody)],
    "country_contains": [("GYP", lambda node: "gyp" in country(node))],
    "city": [("CAIRO", lambda node: city(node) == "Cairo")],
    "city_contains": [("hen", lambda node: "hen" in city(node))],
    "farm_name": [("green valley", is_one_of(1, 2, 3)), ("Empty", nobody)],
    "farm_name_contains": [("LAKE", is_one_of(4)), ("e", is_one_of(1, 2, 3, 4))],
    "farm_ids": [
        (f"{GREEN},{DRY}", is_one_of(1, 2, 3, 4)), (farm_of("Dry Lake").hex(), is_one_of(4)),
        ([GREEN, DRY], is_one_of(1, 2, 3, 4)), (0, nobody),
    ],
    "free_ips": [(2, is_one_of(1, 2, 3)), (3, nobody), (0, everybody)],
    "ipv4": [("true", is_one_of(4)), ("false", lambda node: not is_one_of(4)(node))],
    "ipv6": [("1", is_one_of(1))],
    "has_ipv6": [("true", is_one_of(1)), ("0", lambda node: not is_one_of(1)(node))],
    "domain": [("true", is_one_of(3)), ("false", lambda node: not is_one_of(3)(node))],
    "dedicated": [("true", nobody), ("false", everybody)],
    "in_dedicated_farm": [("true", nobody), ("false", everybody)],
    "rentable": [("true", nobody), ("false", everybody)],
    "rented": [("true", nobody), ("false", everybody)],
    "rented_by": [(7, nobody)],
    "rentable_or_rented_by": [(7, nobody)],
    "available_for": [(7, everybody)],
    "owned_by": [(GREEN, is_one_of(1, 2, 3))],
    "node_id": [(numbers(2), is_one_of(2)), (node_of(2).hex().upper(), is_one_of(2)), (1, nobody)],
    "node_ids": [(numbers(2, 3), is_one_of(2, 3))],
    "twin_id": [(numbers(4), is_one_of(4))],
    "excluded": [(numbers(1, 2), lambda node: not is_one_of(1, 2)(node))],
    "certification_type": [("Diy", everybody), ("certified", nobody)],
    "has_gpu": [("true", is_one_of(2)), ("false", lambda node: not is_one_of(2)(node))],
    "num_gpu": [(2, is_one_of(2)), (3, nobody)],
    "gpu_device_id": [("731F", is_one_of(2)), ("73", nobody)],
    "gpu_device_name": [("31f", is_one_of(2)), ("odd", is_one_of(2)), ("1002", is_one_of(2))],
    "gpu_vendor_id": [("1002", is_one_of(2)), ("10", nobody)],
    "gpu_vendor_name": [("am", is_one_of(2)), ("nvidia", nobody)],
    "gpu_available": [("true", is_one_of(2))],
    "healthy": [("true", lambda node: bool(node.features)), ("false", is_one_of(5))],
    "price_min": [(0, everybody), (999_999, nobody)],
    "price_max": [(999_999, everybody), (0, nobody)],
    "features": [
        ("volume,container", is_one_of(2)), (["gateway-name-proxy"], is_one_of(3)),
        ("zmachine", nobody), ("mycelium", nobody),
        ("container", lambda node: Feature.CONTAINER in node.features),
    ],
}  # fmt: skip

WRONG: dict[str, list[object]] = {
    **{
        name: ["-1", "1.5", "many", "9" * 19, "9" * 40, "", "１"]
        for name in ("free_mru", "free_sru", "free_hru", "total_mru", "total_sru", "total_hru",
                     "total_cru", "free_ips", "num_gpu")
    },
    **{
        name: ["yes", "", "2", ["true", "true"]]
        for name in ("ipv4", "ipv6", "has_ipv6", "domain", "dedicated", "in_dedicated_farm",
                     "rentable", "rented", "has_gpu", "gpu_available", "healthy")
    },
    **{
        name: ["-1", "abc", "", "1,,2", ",".join("1" * (IDS_ASKED_MAX + 1))]
        for name in ("farm_ids", "node_ids", "excluded")
    },
    **{
        name: ["-1", "abc", "", "1,2", ["1", "2"]]
        for name in ("rented_by", "rentable_or_rented_by", "available_for", "owned_by", "node_id",
                     "twin_id")
    },
    **{
        name: ["", "\x1b[2J", "x" * 1000, ["a", "b"]]
        for name in ("country", "country_contains", "city", "city_contains", "farm_name",
                     "farm_name_contains", "gpu_device_id", "gpu_device_name", "gpu_vendor_id",
                     "gpu_vendor_name")
    },
    **{name: ["-1", "nan", "inf", "1e9", ""] for name in ("price_min", "price_max")},
    "status": ["sleepy", "", "up,"],
    "certification_type": ["Gold", ""],
    "features": ["flying", "volume,,"],
}  # fmt: skip


@pytest.fixture(scope="module")
def grid() -> World:
    return world()


def there(grid: World) -> list[NodeView]:
    found = (grid.view.node(node_of(number), now_ms=NOW) for number in NODES)
    return [node for node in found if node is not None]


def test_every_documented_field_is_answered_or_refused() -> None:
    assert set(DOCUMENTED) == {*NODE_FILTERS, *NODE_REFUSED, *PAGING_FIELDS}
    assert set(FOUND) == set(NODE_FILTERS) == set(WRONG)


@pytest.mark.parametrize("name", NODE_FILTERS)
def test_a_filter_finds_what_it_says(grid: World, name: str) -> None:
    for value, is_wanted in FOUND[name]:
        found = {row["id"] for row in grid.rows("/nodes", **{name: value})}
        assert found == {node.node.hex() for node in there(grid) if is_wanted(node)}, value


@pytest.mark.parametrize("name", NODE_FILTERS)
def test_a_wrong_value_is_refused_by_name(grid: World, name: str) -> None:
    for value in WRONG[name]:
        assert name in grid.refusal("/nodes", **{name: value}), value


@pytest.mark.parametrize("name", NODE_REFUSED)
def test_what_nobody_can_tell_is_refused_with_the_reason(grid: World, name: str) -> None:
    assert grid.refusal("/nodes", **{name: "1"}).startswith(f"{name}: ")


def test_prices_bound_what_is_found(grid: World) -> None:
    prices = {row["id"]: row["price_usd"] for row in grid.rows("/nodes")}
    limit = sorted(prices.values())[2]

    for name, is_such in (("price_min", limit.__le__), ("price_max", limit.__ge__)):
        found = {row["id"] for row in grid.rows("/nodes", **{name: limit})}
        assert found == {node for node, price in prices.items() if is_such(price)}
        assert 0 < len(found) < len(prices)


def test_filters_hold_together(grid: World) -> None:
    query: dict[str, Any] = {"country": "Egypt", "farm_ids": GREEN}
    assert [row["id"] for row in grid.rows("/nodes", **query)] == [node_of(2).hex()]


def test_who_claims_a_farm_that_does_not_list_it_is_shown_without(grid: World) -> None:
    (row,) = grid.rows("/nodes", node_id=numbers(STRANGER))
    assert (row["farmId"], row["farmName"], row["farm_free_ips"]) == (0, "", 0)


def test_an_unknown_field_is_refused_with_what_is_meant(grid: World) -> None:
    assert "did you mean country?" in grid.refusal("/nodes", contry="Egypt")
    assert "no 'colour'" in grid.refusal("/nodes", colour="red")
