"""Nodes are filtered as was asked, and a farm changes only in what its farmer says."""

from typing import Any

import pytest

from p2pgrid import keys
from p2pgrid.errors import BadInput, NotFound
from tests.api.grid import CONSUMER, ApiGrid, account


async def test_status_says_what_this_is(grid: ApiGrid) -> None:
    node, light = await grid.node.get("/status"), await grid.consumer.get("/status")

    assert (node["role"], light["role"]) == ("node", "light peer")
    assert node["peers"] == [light["node"]]
    assert (node["known_nodes"], light["known_nodes"]) == (1, None)
    assert node["network"] == light["network"]


async def test_peers_are_those_that_are_connected(grid: ApiGrid) -> None:
    (ours,), (theirs,) = await grid.node.get("/peers"), await grid.consumer.get("/peers")

    assert (ours["peer"], theirs["peer"]) == (grid.consumer.identity, grid.node.identity)
    assert {ours["direction"], theirs["direction"]} == {"inbound", "outbound"}
    assert (ours["role"], ours["faults"]) == ("chosen", 0)
    assert ours["prefix"]
    assert ours["age_ms"] >= 0


async def test_nodes_are_those_that_match(grid: ApiGrid) -> None:
    fitting: list[dict[str, Any]] = [
        {}, {"cores": "3.5"}, {"memory": 2**32}, {"feature": ["container"]}, {"status": "up"},
        {"sort": "hdd"}, {"farm": grid.node.identity[:6]},
        {"node": grid.node.identity[:8], "reverse": 1, "sort": "uptime"}, {"price_max": 100},
        {"confirmed": 0}, {"gpus": 0, "page": 1, "limit": 1},
    ]  # fmt: skip
    others: list[dict[str, Any]] = [
        {"cores": 4.5}, {"hdd": 1}, {"status": "down"}, {"country": "Narnia"}, {"limit": 0},
        {"confirmed": 1}, {"gpus": 9999}, {"city": "Nowhere"}, {"gpu": "no such"}, {"page": 2},
        {"price_max": 1}, {"price_min": 900},
    ]  # fmt: skip
    for query in fitting:
        found = await grid.consumer.get("/nodes", **query)
        assert [one["node"] for one in found["nodes"]] == [grid.node.identity], query
    for query in others:
        assert (await grid.consumer.get("/nodes", **query))["nodes"] == [], query
    asked = await grid.consumer.get("/nodes")
    assert asked["asked"] == asked["agreed"] == 1
    assert asked["youngest_age_ms"] >= 0
    assert (await grid.node.get("/nodes", limit=0))["total"] == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"cores": "nan"}, "cores is a number"),
        ({"cores": "inf"}, "cores is a number"),
        ({"cores": "9" * 19}, "cores is a number"),
        ({"memory": "1G"}, "memory is a whole number"),
        ({"memory": "9" * 19}, "memory is a whole number"),
        ({"ipv6": "perhaps"}, "ipv6 is true or false"),
        ({"price_max": "-1"}, "price_max is a number"),
        ({"colour": "red"}, "unknown field"),
        ({"sort": "beauty"}, "no sort; there are price"),
        ({"status": "sleepy"}, "no status; there are up, standby, down"),
        ({"feature": ["flying"]}, "no feature; there are container"),
        ({"feature": ["container"] * 100}, "names a feature or status once"),
        ({"farm": "a" * 1000}, "longer than"),
        ({"country": "\x1b[2J"}, "control"),
    ],
)
async def test_filters_that_make_no_sense_are_refused(
    grid: ApiGrid, query: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        await grid.node.get("/nodes", **query)


async def test_a_node_and_a_farm_are_shown(grid: ApiGrid) -> None:
    assert (await grid.consumer.get(f"/nodes/{grid.node.identity[:8]}"))["status"] == "up"
    with pytest.raises(NotFound):
        await grid.consumer.get("/nodes/ffffffff")
    with pytest.raises(NotFound):
        await grid.consumer.get("/farms/nowhere")


async def test_a_new_farm_gets_what_it_needs(grid: ApiGrid) -> None:
    made = await grid.node.post("/farms", {"name": "Green Valley"})

    key = keys.open_wallet(grid.node.services.data, "farm")
    assert made["farm"] == made["payout"] == bytes(key.verify_key).hex()
    assert (made["price_permille"], made["nodes"]) == (1000, [grid.node.identity])
    assert grid.node.services.farm_text() == made["farm"]
    shown = await grid.consumer.get("/farms/green%20valley")
    assert (shown["title"], shown["nodes"]) == ("Green Valley", [grid.node.identity])
    await grid.announce()
    node = await grid.node.get(f"/nodes/{grid.node.identity}")
    assert (node["farm_name"], node["is_confirmed"]) == ("Green Valley", True)


async def test_what_is_not_said_stays_as_it_was(grid: ApiGrid) -> None:
    """Above all where the money goes."""
    payout, member = account(CONSUMER), account("alice")
    first = {"name": "A", "payout": payout, "price_percent": 82.5, "members": [member]}
    made = await grid.node.post("/farms", first)
    assert (made["payout"], made["price_permille"]) == (payout, 825)

    changed = await grid.node.post("/farms", {"name": "B"})

    assert (changed["title"], changed["farm"]) == ("B", made["farm"])
    assert (changed["payout"], changed["price_permille"]) == (payout, 825)
    assert changed["nodes"] == sorted([grid.node.identity, member])
    assert [one["title"] for one in await grid.consumer.get("/farms")] == ["B"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "needs a name"),
        ({"name": "a" * 65}, "longer than"),
        ({"name": "a\x1b[2J"}, "control"),
        ({"price_percent": 9}, "10 % to 1000 %"),
        ({"price_percent": 1001}, "price_percent is a number"),
        ({"price_percent": "100"}, "price_percent is a number"),
        ({"payout": "abc"}, "64 hex digits"),
        ({"payout": "00" * 32}, "nobody can have"),
        ({"members": "abc"}, "members is a list"),
        ({"members": ["abc"]}, "64 hex digits"),
        ({"members": [f"{number:064x}" for number in range(1001)]}, "more than 1000 nodes"),
    ],
)
async def test_a_farm_that_cannot_be_is_refused_before_anything_is_said(
    grid: ApiGrid, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        await grid.node.post("/farms", {"name": "Acme", **changes})

    assert await grid.node.get("/farms") == []
    assert grid.node.services.farm_text() == grid.node.identity


async def test_a_light_peer_has_no_farm(grid: ApiGrid) -> None:
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.post("/farms", {"name": "Acme"})

    assert "farm" not in keys.wallet_names(grid.consumer.services.data)
