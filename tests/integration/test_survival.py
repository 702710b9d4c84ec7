"""Any node may be killed at any time: the others go on, and nothing is lost."""

import pytest

from p2pgrid.units import TFT
from tests.integration.conftest import LiveGrid, eventually, holds, page_of, sees_all, serves

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_a_killed_node_loses_nothing_and_stops_nobody(grid: LiveGrid, victim: int) -> None:
    killed = grid.nodes[victim]
    others = [node for node in grid.nodes if node is not killed]
    rented = grid.reserve(killed)
    address = rented["addresses"][0]
    eventually("the page is there", lambda: serves(address))
    status, held = killed.client.get("/status"), killed.client.get("/accounts/node")
    paid_before = others[0].client.get(f"/accounts/{others[0].node_id}")["balance"]

    grid.kill(killed)

    # What runs on the machine goes on, and so do payments, announcements and reservations.
    assert "It runs" in page_of(address)
    grid.consumer.post(
        "/payments", {"account": others[0].node_id, "amount": TFT, "wallet": "node", "memo": "m"}
    )
    for other in others:
        eventually(
            "the payment is everywhere",
            lambda client: holds(client, others[0].node_id, paid_before + TFT),
            other.client,
        )
    beside = grid.reserve(others[1])
    eventually("another page is there", lambda: serves(beside["addresses"][0]))
    grid.consumer.post(f"/reservations/{beside['reservation']}/cancel")

    grid.restart(killed)

    assert killed.client.get("/status")["node"] == status["node"]
    assert killed.client.get("/status")["farm"] == status["farm"]
    eventually(
        "the killed node has what it missed",
        lambda: killed.client.get(f"/accounts/{others[0].node_id}")["balance"] == paid_before + TFT,
    )
    assert killed.client.get("/accounts/node")["head"] == held["head"]
    eventually("it sees all nodes", lambda: sees_all(killed.client, grid.nodes))
    hosted = killed.client.get("/reservations", hosted="1")
    assert rented["reservation"] in {o["reservation"] for o in hosted if o["phase"] == "running"}
    assert "It runs" in page_of(address)
    done = grid.consumer.post(f"/reservations/{rented['reservation']}/cancel")
    assert done["paid"] + done["refunded"] == rented["deposit"]
    eventually("the container is gone", lambda: not serves(address))


def test_a_killed_consumer_still_knows_what_it_pays_for(grid: LiveGrid) -> None:
    rented = grid.reserve(grid.nodes[1])
    consumer = grid.processes.consumer

    grid.kill(consumer)
    grid.restart(consumer)

    eventually(
        "it runs for the consumer again",
        lambda: grid.consumer.get(f"/reservations/{rented['reservation']}")["phase"] == "running",
    )
    done = grid.consumer.post(f"/reservations/{rented['reservation']}/cancel")
    assert done["paid"] + done["refunded"] == rented["deposit"]
