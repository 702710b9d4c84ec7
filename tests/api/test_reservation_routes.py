"""Reservations over the control API: what is asked for is what is paid, and is found again."""

from dataclasses import replace
from typing import Any

import pytest
import trio

from p2pgrid.crdt.register import RegisterKey
from p2pgrid.errors import BadInput, NoFittingNode, NotFound, Refused
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.node import NodeAnnouncement
from p2pgrid.net.network import Topic
from p2pgrid.reservation.consumer import ConsumerService
from p2pgrid.units import MIB
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import sign
from tests.api.grid import BALANCE, GENESIS, ApiGrid, Member, in_thread

FEE = GENESIS.pricing.fee


def container(name: str = "web", **changes: Any) -> dict[str, Any]:
    plain = {"cores": 0.1, "memory": "64M", "disk": "16M"}
    return {"name": name, **plain, **changes}


@pytest.fixture
async def image(grid: ApiGrid) -> str:
    """An image that the node holds."""
    tree = grid.node.services.data / "tree"
    tree.mkdir()
    made = await grid.node.result("/flists", {"source": f"dir:{tree}", "name": "web:1"})
    return str(made["flist"])


def order(image: str, *names: str, **changes: Any) -> dict[str, Any]:
    containers = [container(name, image=image) for name in names or ("web",)]
    return {"document": {"duration": "1h", "container": containers}, **changes}


async def test_a_reservation_from_its_beginning_to_its_end(grid: ApiGrid, image: str) -> None:
    *progress, last = await grid.consumer.messages("/reservations", order(image))
    made = last["result"]

    assert progress[0]["progress"]["phase"] == "asking nodes"
    assert (made["phase"], made["workloads"], made["addresses"]) == (
        "running",
        ["web"],
        ["fd00::0"],
    )
    (running,) = grid.machine.running.values()
    assert running[0].needs.memory_bytes == 64 * MIB
    (listed,) = await grid.consumer.get("/reservations")
    assert listed["reservation"] == made["reservation"]
    (hosted,) = await grid.node.get("/reservations", hosted=1)
    assert (hosted["reservation"], hosted["consumer"]) == (
        made["reservation"], grid.consumer.identity,
    )  # fmt: skip
    assert await grid.node.get("/reservations") == []

    ended = await grid.consumer.post(f"/reservations/{made['reservation'][:8].upper()}/cancel")

    assert ended["phase"] == "ended"
    assert ended["paid"] + ended["refunded"] == made["deposit"]
    assert not grid.machine.running
    held = (await grid.consumer.get("/accounts/node"))["balance"]
    assert held == BALANCE - ended["paid"] - 2 * FEE


async def test_toml_and_names_mean_the_same(grid: ApiGrid, image: str) -> None:
    text = (
        'duration = "1h"\n[[container]]\nname = "web"\ncores = 0.1\nmemory = "64M"\n'
        f'disk = "16M"\nimage = "{grid.node.identity[:8]}/web:1"\n'
    )
    plain = await grid.consumer.post("/reservations/candidates", order(image))
    from_text = await grid.consumer.post("/reservations/candidates", {"toml": text})

    assert plain["fitting"] == from_text["fitting"]
    assert [one["node"] for one in plain["fitting"]] == [grid.node.identity]


async def test_a_publisher_is_a_stranger_until_something_of_him_ran(
    grid: ApiGrid, image: str
) -> None:
    named = order(f"{grid.node.identity[:8]}/web:1")

    found = await grid.consumer.post("/reservations/candidates", named)
    (stranger,) = found["unknown_publishers"]
    assert (stranger["publisher"], stranger["names"]) == (grid.node.identity, 1)
    by_id = await grid.consumer.post("/reservations/candidates", order(image))
    assert by_id["unknown_publishers"] == []

    *_, last = await grid.consumer.messages("/reservations", named)
    assert [one["publisher"] for one in last["result"]["unknown_publishers"]] == [
        grid.node.identity
    ]
    again = await grid.consumer.post("/reservations/candidates", named)
    assert again["unknown_publishers"] == []
    own = await grid.node.post("/reservations/candidates", named)
    assert own["unknown_publishers"] == []


async def test_candidates_cost_nothing_and_say_why_not(grid: ApiGrid, image: str) -> None:
    large = order(image)
    large["document"]["container"][0]["cores"] = 900
    found = await grid.consumer.post("/reservations/candidates", large)

    assert found["fitting"] == []
    assert found["others"][0]["node"] == grid.node.identity
    assert "only 4 cores left" in found["others"][0]["reason"]
    with pytest.raises(NoFittingNode, match="only 4 cores left"):
        await grid.consumer.messages("/reservations", large)
    assert (await grid.consumer.get("/accounts/node"))["balance"] == BALANCE
    assert await grid.consumer.get("/reservations") == []


async def test_the_price_that_is_given_beside_a_document_wins(grid: ApiGrid, image: str) -> None:
    asked = order(image)
    asked["document"]["price_max"] = "1000"
    (fit,) = (await grid.consumer.post("/reservations/candidates", asked))["fitting"]
    price = fit["price_per_hour"]

    for price_max, fits in ((price, 1), (price - 1, 0)):
        body = {**asked, "price_max": price_max}
        found = await grid.consumer.post("/reservations/candidates", body)
        assert len(found["fitting"]) == fits


async def test_a_node_and_a_farm_can_be_chosen_and_left_out(grid: ApiGrid, image: str) -> None:
    await grid.node.post("/farms", {"name": "Acme"})
    await grid.announce()

    chosen = order(image, node=grid.node.identity[:6])
    assert (await grid.consumer.post("/reservations/candidates", chosen))["fitting"]
    avoided = order(image, except_farms=["acme"])
    found = await grid.consumer.post("/reservations/candidates", avoided)
    assert (found["fitting"], found["others"]) == ([], [])
    with pytest.raises(NoFittingNode):
        await grid.consumer.messages("/reservations", avoided)
    with pytest.raises(NotFound, match="there is no node 'ffff' that is up"):
        await grid.consumer.post("/reservations/candidates", order(image, node="ffff"))
    with pytest.raises(NotFound, match="there is no farm"):
        await grid.consumer.post("/reservations/candidates", order(image, except_farms=["x"]))


async def test_who_is_proved_to_lie_is_taken_only_by_its_name(grid: ApiGrid, image: str) -> None:
    await grid.announce()
    said = grid.explorer.view.get(
        RegisterKey(RecordKind.NODE_ANNOUNCEMENT, grid.node.services.node, b"")
    )
    assert said is not None
    assert isinstance(said.record, NodeAnnouncement)
    lie = sign(replace(said.record, version="another"), grid.node.services.key, GENESIS.network)
    grid.explorer.judge(Topic.CAPACITY, NodeId(bytes(32)), lie.envelope)

    found = await grid.consumer.post("/reservations/candidates", order(image))
    assert found["fitting"] == []
    assert [one["reason"][:15] for one in found["others"]] == ["told different "]
    chosen = order(image, node=grid.node.identity[:6])
    assert (await grid.consumer.post("/reservations/candidates", chosen))["fitting"]
    (shown,) = (await grid.consumer.get("/nodes", contradicted=1))["nodes"]
    assert shown["is_contradicted"]
    assert (await grid.consumer.get("/nodes", contradicted=0))["nodes"] == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "needs a document"),
        ({"document": {}, "toml": ""}, "needs a document"),
        ({"document": []}, "document is a JSON object"),
        ({"toml": 5}, "toml is a text"),
        ({"toml": "duration = "}, "not TOML"),
        ({"document": {"duration": "1h", "container": [{"memry": 1}]}}, "did you mean 'memory'"),
        ({"document": {"duration": None}}, "'duration' is missing"),
        ({"price_max": -1}, "price_max is a whole number"),
        ({"price_max": "1.5"}, "price_max is a whole number"),
        ({"except_farms": "acme"}, "except_farms is a list"),
        ({"node": 5}, "node is a text"),
        ({"node": "\x1b"}, "control"),
        ({"nodes": "ab"}, "did you mean 'node'"),
    ],
)
async def test_orders_that_make_no_sense_are_refused(
    grid: ApiGrid, image: str, body: dict[str, Any], message: str
) -> None:
    if not body.keys() & {"document", "toml"} and body:
        body = order(image, **body)
    with pytest.raises(BadInput, match=message):
        await grid.consumer.post("/reservations/candidates", body)
    with pytest.raises(BadInput, match=message):
        await grid.consumer.messages("/reservations", body)


async def test_an_unknown_image_is_refused_before_anybody_is_asked(grid: ApiGrid) -> None:
    with pytest.raises(NotFound, match="there is no image nobody/nothing:1"):
        await grid.consumer.messages("/reservations", order("nobody/nothing:1"))

    assert await grid.consumer.get("/reservations") == []


async def test_logs_are_read_piece_by_piece(grid: ApiGrid, image: str) -> None:
    grid.machine.log = b"first\nsecond\n"
    made = await grid.consumer.result("/reservations", order(image))
    path = f"/reservations/{made['reservation']}/logs"

    text, after = await read(grid.consumer, path)
    assert (text, after) == (b"first\nsecond\n", 13)
    assert await read(grid.consumer, path, offset=6) == (b"second\n", 13)
    assert await read(grid.consumer, path, offset=13, name="web") == (b"", 13)
    with pytest.raises(NotFound, match="no workload 'db'; there are web"):
        await read(grid.consumer, path, name="db")
    for offset in ("-1", "abc", "1.5", "9" * 30):
        with pytest.raises(BadInput, match="offset is a whole number"):
            await read(grid.consumer, path, offset=offset)


async def test_with_several_workloads_the_name_is_asked_for(grid: ApiGrid, image: str) -> None:
    made = await grid.consumer.result("/reservations", order(image, "web", "db"))
    path = f"/reservations/{made['reservation']}/logs"

    with pytest.raises(BadInput, match="--name one of web, db"):
        await read(grid.consumer, path)
    assert (await read(grid.consumer, path, name="db"))[0] == grid.machine.log


async def test_digits_mean_one_reservation_or_none(
    grid: ApiGrid, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await grid.consumer.result("/reservations", order(image))

    shown = await grid.consumer.get(f"/reservations/{made['reservation'][:12]}")
    assert shown["reservation"] == made["reservation"]
    with pytest.raises(NotFound, match="there is no reservation 'zz' of yours"):
        await grid.consumer.get("/reservations/zz")
    with pytest.raises(BadInput, match="which reservation"):
        await grid.consumer.post("/reservations//cancel")
    (rental,) = grid.consumer.services.consumer.rentals()
    similar = replace(rental, id=RecordId(rental.id[:4] + bytes(28)))
    monkeypatch.setattr(ConsumerService, "rentals", lambda _: (rental, similar))
    with pytest.raises(BadInput, match="could be 2 reservations"):
        await grid.consumer.post(f"/reservations/{made['reservation'][:8]}/cancel")
    assert len(grid.machine.running) == 1


async def test_reclaiming_too_early_says_when(grid: ApiGrid, image: str) -> None:
    made = await grid.consumer.result("/reservations", order(image))

    with pytest.raises(Refused, match=r"reclaim in \d+ seconds"):
        await grid.consumer.post(f"/reservations/{made['reservation']}/reclaim")


async def test_a_machine_that_cannot_start_it_returns_the_deposit(
    grid: ApiGrid, image: str
) -> None:
    grid.machine.fails = True
    with pytest.raises(Refused, match="no such command"):
        await grid.consumer.messages("/reservations", order(image))

    assert (await grid.consumer.get("/accounts/node"))["balance"] >= BALANCE - 2 * FEE


async def test_a_light_peer_hosts_nothing(grid: ApiGrid) -> None:
    with pytest.raises(BadInput, match="hosts nothing"):
        await grid.consumer.get("/reservations", hosted=1)
    assert await grid.consumer.get("/reservations", hosted=0) == []
    with pytest.raises(BadInput, match="hosted is true or false"):
        await grid.consumer.get("/reservations", hosted="perhaps")


async def read(member: Member, path: str, **query: object) -> tuple[bytes, int]:
    await trio.lowlevel.checkpoint()
    return await in_thread(lambda: member.client.read(path, **query))
