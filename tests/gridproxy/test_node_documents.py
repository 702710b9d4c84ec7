"""A node is shown with the names and units of gridproxy, and nothing is invented."""

from dataclasses import replace
from typing import Any

from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.limits.gridproxy import GPUS_OF_A_ROW_MAX, HTTP_BODY_BYTES_MAX, PAGE_ROWS_MAX
from p2pgrid.model.node import Feature, Hardware, Location
from p2pgrid.units import GIB
from tests.explorer.grid import NOW, TOTAL, announced, node_of
from tests.gridproxy.world import World, farm_of, view_of, world

FIELDS = (
    "id", "nodeId", "farmId", "farmName", "twinId", "country", "gridVersion", "city", "uptime",
    "created", "farmingPolicyId", "updatedAt", "total_resources", "used_resources", "location",
    "publicConfig", "status", "certificationType", "dedicated", "inDedicatedFarm",
    "rentContractId", "rented", "rentable", "rentedByTwinId", "serialNumber", "power", "num_gpu",
    "extraFee", "healthy", "dmi", "speed", "gpus", "price_usd", "farm_free_ips", "features",
)  # fmt: skip


def row(grid: World, number: int) -> dict[str, Any]:
    (found,) = grid.rows("/nodes", node_id=node_of(number).hex())
    return found


def test_every_documented_field_is_there() -> None:
    grid = world()
    assert set(row(grid, 1)) == set(FIELDS)
    nested = grid.ask(f"/nodes/{node_of(1).hex()}").document
    assert set(nested) == {*FIELDS, "capacity"} - {"total_resources", "used_resources"}
    assert nested["capacity"]["total_resources"] == row(grid, 1)["total_resources"]


def test_a_node_says_what_it_has_and_where() -> None:
    shown = row(world(), 2)
    assert shown["nodeId"] == shown["twinId"] == number_of(node_of(2))
    assert (shown["farmId"], shown["farmName"]) == (
        number_of(farm_of("Green Valley")), "Green Valley",
    )  # fmt: skip
    assert shown["location"] == {
        "country": "Egypt", "city": "Cairo", "longitude": 31.0, "latitude": 30.0,
    }  # fmt: skip
    assert shown["total_resources"] == {
        "cru": 8, "sru": 500 * GIB, "hru": GIB, "mru": 32 * GIB,
    }  # fmt: skip
    assert shown["used_resources"] == {"cru": 7, "sru": 0, "hru": 0, "mru": 0}, "6.5 cores are 7"
    assert shown["updatedAt"] == NOW // 1000
    assert shown["num_gpu"] == 2
    assert shown["gpus"] == [
        {"id": "0000:28:00.0/1002/731f", "vendor": "AMD", "device": "1002:731f", "contract": 0,
         "updated_at": NOW // 1000},
        {"id": "Odd card", "vendor": "", "device": "Odd card", "contract": 0,
         "updated_at": NOW // 1000},
    ]  # fmt: skip
    assert shown["features"] == ["container", "volume"]
    assert shown["farm_free_ips"] == 2
    assert shown["dmi"] == {
        "bios": {"vendor": "", "version": ""},
        "baseboard": {"manufacturer": "", "product_name": "Z1"},
        "processor": [{"version": "Chip", "thread_count": "8"}],
        "memory": [],
    }


def test_what_nobody_knows_is_null_or_empty() -> None:
    shown = row(world(), 5)
    assert (shown["created"], shown["serialNumber"]) == (None, "")
    assert shown["speed"] == {"upload": None, "download": None}
    assert shown["location"] == {"country": "", "city": "", "longitude": None, "latitude": None}
    assert shown["power"] == {"state": "Down", "target": "Down"}
    assert (shown["status"], shown["healthy"]) == ("standby", False)


def test_who_was_caught_lying_is_not_healthy() -> None:
    grid = world()
    assert row(grid, 1)["healthy"] is True
    other = announced(1, farm=farm_of("Green Valley"), price_permille=999)
    assert grid.view.accept(other, NOW).contradicted is not None
    assert row(grid, 1)["healthy"] is False
    assert node_of(1).hex() not in {one["id"] for one in grid.rows("/nodes", healthy="true")}


def test_public_addresses_are_those_that_everybody_reaches() -> None:
    grid = world()
    assert row(grid, 1)["publicConfig"] == {
        "domain": "", "gw4": "", "gw6": "", "ipv4": "", "ipv6": "2001:4860::1",
    }  # fmt: skip
    assert row(grid, 4)["publicConfig"] == {
        "domain": "", "gw4": "", "gw6": "", "ipv4": "8.8.8.8", "ipv6": "",
    }  # fmt: skip
    assert set(row(grid, 2)["publicConfig"].values()) == {""}


def test_parts_of_a_node_have_paths_of_their_own() -> None:
    grid, node = world(), node_of(2).hex()
    assert grid.ask(f"/nodes/{node}/gpu").document == row(grid, 2)["gpus"]
    told = grid.ask(f"/nodes/{node}/statistics").document
    assert told["users"] == {
        "deployments": 3, "workloads": 3, "last_deployment_timestamp": None,
    }  # fmt: skip
    assert told["total"] == {**grid.ask(f"/nodes/{node}").document["capacity"]["total_resources"],
                             "ipv4u": 0}  # fmt: skip
    assert told["system"]["mru"] == 4 * GIB
    assert grid.ask(f"/nodes/{node_of(6).hex()}/status").document == {"status": "down"}


def test_a_page_of_the_longest_texts_may_be_sent() -> None:
    """Anybody may invent nodes, and 64 GPUs for each of them."""
    longest = "é" * 64
    hardware = Hardware(
        board=longest, cpu_model=longest, gpus=(longest,) * 64, secure_boot=None, virtualized=None
    )
    place = Location(
        country=longest, city=longest, latitude_microdegrees=1, longitude_microdegrees=1
    )
    said = announced(
        1, hardware=hardware, total=replace(TOTAL, gpus=64), location=place, features=tuple(Feature)
    )
    grid = World(view_of([said]))
    shown = row(grid, 1)
    assert (shown["num_gpu"], len(shown["gpus"])) == (64, GPUS_OF_A_ROW_MAX)
    assert len(grid.ask("/nodes").body()) * PAGE_ROWS_MAX < HTTP_BODY_BYTES_MAX
    own = f"/nodes/{node_of(1).hex()}"
    assert len(grid.ask(own).document["gpus"]) == len(grid.ask(f"{own}/gpu").document) == 64
