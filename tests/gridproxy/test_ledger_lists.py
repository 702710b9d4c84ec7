"""Contracts are escrows, twins are keys; both are filtered as gridproxy documents it."""

from typing import Any

import pytest

from p2pgrid.gridproxy.ledger_lists import (
    CONTRACT_FILTERS,
    TWIN_FILTERS,
    ContractTable,
    all_twins,
)
from p2pgrid.gridproxy.numbers import id_column, number_of
from p2pgrid.gridproxy.paging import PAGING_FIELDS
from p2pgrid.model.address import format_account
from p2pgrid.units import HOUR_MS, TimestampMs
from tests.explorer.grid import NOW, node_of
from tests.gridproxy.world import ESCROWS, NODES, World, escrow, farm_of, world

CONTRACT_FIELDS = (
    "contract_id", "twin_id", "node_id", "type", "state", "name", "number_of_public_ips",
    "deployment_data", "deployment_hash", "farm_name", "farm_id", "size", "page", "ret_count",
    "randomize", "sort_by", "sort_order",
)  # fmt: skip
TWIN_FIELDS = (
    "twin_id", "account_id", "relay", "public_key", "size", "page", "ret_count", "randomize",
    "sort_by", "sort_order",
)  # fmt: skip
ALL = {1, 2, 3, 4, 5}

FOUND: list[tuple[str, object, set[int]]] = [
    ("contract_id", number_of(ESCROWS[1].id), {2}),
    ("contract_id", ESCROWS[0].id.hex(), {1}),
    ("twin_id", number_of(node_of(51)), {1, 3, 5}),
    ("node_id", number_of(node_of(1)), {1, 3, 4}),
    ("type", "node", ALL),
    ("type", "rent", set()),
    ("state", "created", {1, 2}),
    ("state", "GracePeriod,Deleted", {3, 4, 5}),
    ("name", "example", set()),
    ("number_of_public_ips", 0, ALL),
    ("number_of_public_ips", 1, set()),
    ("deployment_data", "{}", set()),
    ("deployment_hash", "04" * 32, {4}),
    ("farm_name", "GREEN valley", {1, 3, 4}),
    ("farm_name", "nowhere", set()),
    ("farm_id", number_of(farm_of("Dry Lake")), {2}),
]
WRONG: list[tuple[str, object]] = [
    *((name, "x") for name in ("contract_id", "twin_id", "node_id", "farm_id", "type", "state")),
    *((name, "") for name in ("name", "deployment_data", "farm_name")),
    ("number_of_public_ips", "-1"),
    ("deployment_hash", "04"),
]


@pytest.fixture(scope="module")
def grid() -> World:
    return world()


def shown(found: list[dict[str, Any]]) -> set[int]:
    return {int(row["details"]["deployment_hash"][:2], 16) for row in found}


def test_every_documented_field_is_answered_or_refused() -> None:
    assert set(CONTRACT_FIELDS) == {*CONTRACT_FILTERS, *PAGING_FIELDS}
    assert {name for name, _, _ in FOUND} == {name for name, _ in WRONG} == set(CONTRACT_FILTERS)
    assert set(TWIN_FIELDS) == {*TWIN_FILTERS, *PAGING_FIELDS}


@pytest.mark.parametrize(("name", "value", "wanted"), FOUND)
def test_a_filter_finds_what_it_says(
    grid: World, name: str, value: object, wanted: set[int]
) -> None:
    assert shown(grid.rows("/contracts", **{name: value})) == wanted


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_is_refused(grid: World, name: str, value: object) -> None:
    assert grid.refusal("/contracts", **{name: value})


def test_a_contract_is_shown_as_far_as_everybody_may_know_it(grid: World) -> None:
    expected = {
        "contract_id": number_of(ESCROWS[0].id),
        "twin_id": number_of(ESCROWS[0].consumer),
        "state": "Created",
        "created_at": (NOW - HOUR_MS) // 1000 - 1,
        "type": "node",
        "details": {
            "nodeId": number_of(node_of(1)),
            "deployment_data": "",
            "deployment_hash": "01" * 32,
            "number_of_public_ips": 0,
            "farm_name": "Green Valley",
            "farm_id": number_of(farm_of("Green Valley")),
        },
    }
    for wanted in (number_of(ESCROWS[0].id), ESCROWS[0].id.hex()):
        assert grid.ask(f"/contracts/{wanted}").document == expected
    assert grid.ask("/contracts/1").status == 404
    assert "the id of a contract" in grid.refusal("/contracts/x")
    stranger = grid.ask(f"/contracts/{ESCROWS[4].id.hex()}").document["details"]
    assert (stranger["farm_name"], stranger["farm_id"]) == ("", 0), "its farm does not list it"


def test_a_contract_is_billed_once_when_it_is_settled(grid: World) -> None:
    settled = ESCROWS[4].id
    for wanted in (number_of(settled), settled.hex()):
        assert grid.ask(f"/contracts/{wanted}/bills").document == [
            {"amountBilled": 4, "discountReceived": "None", "timestamp": NOW // 1000,
             "contract_id": number_of(settled)}
        ]  # fmt: skip
    assert grid.ask(f"/contracts/{ESCROWS[0].id.hex()}/bills").document == []
    assert grid.ask("/contracts/1/bills").status == 404


@pytest.mark.parametrize(
    ("sort_by", "key"),
    [
        ("contract_id", "contract_id"), ("twin_id", "twin_id"), ("created_at", "created_at"),
        ("type", "type"),
    ],
)  # fmt: skip
def test_pages_together_are_the_whole_list_in_order(grid: World, sort_by: str, key: str) -> None:
    for order in ("ASC", "DESC"):
        query = {"sort_by": sort_by, "sort_order": order}
        whole = grid.rows("/contracts", **query)
        pages = [grid.rows("/contracts", **query, size=2, page=page) for page in (1, 2, 3)]
        assert [row for page in pages for row in page] == whole
        keys = [row[key] for row in whole]
        assert keys == sorted(keys, reverse=order == "DESC")
    states = [row["state"] for row in grid.rows("/contracts", sort_by="state")]
    assert states == ["Created"] * 2 + ["GracePeriod"] * 2 + ["Deleted"]


def test_a_table_is_the_same_in_one_piece_and_in_several() -> None:
    whole = ContractTable(ESCROWS)
    parts = ContractTable.joined(
        [ContractTable(), ContractTable(ESCROWS[:2]), ContractTable(ESCROWS[2:])]
    )
    later = TimestampMs(NOW + 2 * HOUR_MS)
    assert parts.escrows == whole.escrows
    assert list(parts.states(later)) == list(whole.states(later)) == [1, 1, 1, 1, 2]
    assert list(parts.ids) == list(whole.ids)
    assert len(ContractTable.joined([ContractTable()])) == 0


def test_a_reservation_ends_when_its_time_is_over() -> None:
    table = ContractTable([escrow(1, ends_at_ms=NOW)])
    assert [int(*table.states(TimestampMs(NOW + late))) for late in (0, 1)] == [0, 1]


def test_twins_are_nodes_farms_and_accounts_each_once(grid: World) -> None:
    keys = [
        *(node_of(number) for number in (*NODES, 50, 51)),
        *map(farm_of, ("Green Valley", "Dry Lake", "Empty")),
    ]
    found = grid.rows("/twins")
    assert {row["publicKey"] for row in found} == {key.hex() for key in keys}
    assert len(found) == len(keys)
    assert found == sorted(found, key=lambda row: row["twinId"])
    assert grid.ask("/twins", ret_count="true", size=5).headers["pages"] == "3"
    pages = [grid.rows("/twins", size=5, page=page) for page in (1, 2, 3)]
    assert [row for page in pages for row in page] == found


def test_a_twin_is_found_by_all_that_it_has(grid: World) -> None:
    key = node_of(50)
    row = {
        "twinId": number_of(key), "accountId": format_account(key), "relay": "",
        "publicKey": key.hex(),
    }  # fmt: skip
    for query in (
        {"twin_id": number_of(key)}, {"twin_id": key.hex()}, {"account_id": format_account(key)},
        {"account_id": key.hex()}, {"public_key": key.hex()},
    ):  # fmt: skip
        assert grid.rows("/twins", **query) == [row]
    assert grid.rows("/twins", relay="relay.example") == []
    for name, value in (
        ("twin_id", "x"), ("account_id", "tft1x"), ("public_key", "05"), ("relay", ""),
    ):  # fmt: skip
        assert grid.refusal("/twins", **{name: value})


def test_an_id_may_end_with_zeros() -> None:
    key = b"\x01" + bytes(31)
    assert list(all_twins(id_column([key, b"", key]))) == [b"\x01"]
