"""Farms and their address ranges are filtered as gridproxy documents it."""

import pytest

from p2pgrid.gridproxy.farms import FARM_FILTERS, FARM_REFUSED, NODE_FIELDS
from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.gridproxy.paging import PAGING_FIELDS
from p2pgrid.model.address import format_account
from tests.explorer.grid import node_of
from tests.gridproxy.world import RANGES, World, farm_of, world

DOCUMENTED = (
    "free_ips", "total_ips", "stellar_address", "pricing_policy_id", "farm_id", "twin_id", "name",
    "name_contains", "certification_type", "dedicated", "node_free_mru", "node_free_hru",
    "node_free_sru", "node_total_cru", "node_status", "node_rented_by", "node_available_for",
    "node_has_gpu", "node_has_ipv6", "node_certified", "node_features", "country", "region",
    "size", "page", "ret_count", "randomize", "sort_by", "sort_order", "balance",
)  # fmt: skip
PAYOUT = format_account(node_of(100))
ALL = ("Green Valley", "Dry Lake", "Empty")
GREEN, DRY, EMPTY = (number_of(farm_of(title)) for title in ALL)

FOUND: list[tuple[str, object, tuple[str, ...]]] = [
    ("farm_id", GREEN, ("Green Valley",)),
    ("farm_id", farm_of("Dry Lake").hex(), ("Dry Lake",)),
    ("farm_id", 5, ()),
    ("twin_id", EMPTY, ("Empty",)),
    ("name", "dry lake", ("Dry Lake",)),
    ("name", "dry", ()),
    ("name_contains", "E", ALL),
    ("name_contains", "vall", ("Green Valley",)),
    ("free_ips", 2, ("Green Valley",)),
    ("total_ips", 0, ALL),
    ("total_ips", 3, ()),
    ("stellar_address", PAYOUT, ALL),
    ("stellar_address", format_account(node_of(1)), ()),
    ("pricing_policy_id", 1, ALL),
    ("pricing_policy_id", 2, ()),
    ("certification_type", "NotCertified", ALL),
    ("certification_type", "gold", ()),
    ("dedicated", "false", ALL),
    ("dedicated", "true", ()),
    ("node_free_mru", 1, ("Green Valley",)),
    ("node_free_hru", 1, ("Green Valley",)),
    ("node_free_sru", 0, ("Green Valley", "Dry Lake")),
    ("node_total_cru", 8, ("Green Valley", "Dry Lake")),
    ("node_status", "up", ("Green Valley", "Dry Lake")),
    ("node_status", "down", ()),
    ("node_rented_by", 1, ()),
    ("node_available_for", 1, ("Green Valley", "Dry Lake")),
    ("node_has_gpu", "true", ("Green Valley",)),
    ("node_has_ipv6", "true", ("Green Valley",)),
    ("node_certified", "true", ()),
    ("node_certified", "false", ("Green Valley", "Dry Lake")),
    ("node_features", "volume", ("Green Valley",)),
    ("country", "Egypt", ("Green Valley", "Dry Lake")),
    ("country", "Belgium", ("Green Valley",)),
]
WRONG: list[tuple[str, object]] = [
    *((name, value) for name in ("farm_id", "twin_id") for value in ("-1", "x", "", "1,2")),
    *((name, "-1") for name in ("free_ips", "total_ips", "pricing_policy_id")),
    *((name, "") for name in ("name", "name_contains", "stellar_address", "certification_type")),
    ("stellar_address", "GABC"),
    ("certification_type", "Diy"),
    *((name, "maybe") for name in ("dedicated", "node_certified", "node_has_gpu")),
    ("node_has_ipv6", "perhaps"),
    *((name, "-1") for name in ("node_free_mru", "node_free_hru", "node_free_sru")),
    *((name, "x") for name in ("node_total_cru", "node_rented_by", "node_available_for")),
    ("node_status", "sleepy"),
    ("node_features", "flying"),
    ("country", ""),
]


@pytest.fixture(scope="module")
def grid() -> World:
    return world()


def test_every_documented_field_is_answered_or_refused(grid: World) -> None:
    filters = {*FARM_FILTERS, *NODE_FIELDS, "node_certified"}
    assert set(DOCUMENTED) == {*filters, *FARM_REFUSED, *PAGING_FIELDS}
    assert {name for name, _, _ in FOUND} == {name for name, _ in WRONG} == filters
    for name in FARM_REFUSED:
        assert grid.refusal("/farms", **{name: "1"}).startswith(f"{name}: ")


@pytest.mark.parametrize(("name", "value", "titles"), FOUND)
def test_a_filter_finds_what_it_says(
    grid: World, name: str, value: object, titles: tuple[str, ...]
) -> None:
    assert {row["name"] for row in grid.rows("/farms", **{name: value})} == set(titles)


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused(grid: World, name: str, value: object) -> None:
    assert grid.refusal("/farms", **{name: value})


def test_one_node_has_to_be_all_that_is_asked_for(grid: World) -> None:
    """Green Valley has a node in Belgium and one with a GPU, which is another."""
    assert grid.rows("/farms", country="Belgium", node_has_gpu="true") == []
    assert len(grid.rows("/farms", country="Egypt", node_has_gpu="true")) == 1
    assert grid.rows("/farms", name="Empty", node_free_sru=0) == []


def test_who_claims_a_farm_that_does_not_list_it_is_none_of_its_nodes(grid: World) -> None:
    assert len(grid.rows("/nodes", country="Atlantis")) == 1
    assert grid.rows("/farms", country="Atlantis") == []


def test_a_farm_is_shown_with_its_ranges(grid: World) -> None:
    (row,) = grid.rows("/farms", farm_id=GREEN)
    assert {**row, "publicIps": [one["ip"] for one in row["publicIps"]]} == {
        "name": "Green Valley", "farmId": GREEN, "twinId": GREEN, "pricingPolicyId": 1,
        "certificationType": "NotCertified", "stellarAddress": PAYOUT, "dedicated": False,
        "publicIps": list(RANGES),
    }  # fmt: skip


@pytest.mark.parametrize("sort_by", ["name", "farm_id", "twin_id", "public_ips", "dedicated"])
def test_pages_together_are_the_whole_list_in_order(grid: World, sort_by: str) -> None:
    for order in ("ASC", "DESC"):
        query = {"sort_by": sort_by, "sort_order": order}
        whole = grid.rows("/farms", **query)
        pages = [grid.rows("/farms", **query, size=2, page=page) for page in (1, 2, 3)]
        assert [row for page in pages for row in page] == whole
        if sort_by in ("name", "farm_id"):
            keys = [row["name" if sort_by == "name" else "farmId"] for row in whole]
            assert keys == sorted(keys, reverse=order == "DESC")
    assert grid.ask("/farms", ret_count="true", size=2).headers["pages"] == "2"


def test_ranges_have_a_list_of_their_own(grid: World) -> None:
    found = grid.rows("/public_ips")
    assert [row["ip"] for row in found] == list(RANGES)
    assert found[0] == {
        "id": f"{farm_of('Green Valley').hex()}-0", "ip": RANGES[0], "gateway": "",
        "contract_id": 0, "farm_id": GREEN,
    }  # fmt: skip
    assert [row["ip"] for row in grid.rows("/public_ips", size=1, page=2)] == [RANGES[1]]
    assert len(grid.rows("/public_ips", farm_ids=f"{GREEN},{DRY}")) == 2
    assert grid.rows("/public_ips", farm_ids=DRY) == []
    assert len(grid.rows("/public_ips", free="true")) == 2
    assert grid.rows("/public_ips", free="false") == []
    assert [row["ip"] for row in grid.rows("/public_ips", ip=RANGES[1])] == [RANGES[1]]
    assert grid.rows("/public_ips", ip="192.0.2.0") == []
    assert grid.rows("/public_ips", gateway="192.0.2.1") == []
    for name, value in (("farm_ids", "x"), ("free", "x"), ("ip", ""), ("gateway", "")):
        assert name in grid.refusal("/public_ips", **{name: value})
    assert grid.ask("/public_ips", ret_count="1").headers["count"] == "2"
