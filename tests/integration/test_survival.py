"""Any node may be killed at any time: the others go on, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from p2pgrid.units import MIB, TFT
from tests.integration.conftest import (
    LiveGrid,
    eventually,
    holds,
    p2pgrid,
    page_of,
    sees_all,
    serves,
)

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

PULL_BEGINS_SECONDS = 4.0
"""From starting the command until the node has written down what is wanted."""


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


def test_what_is_to_be_seeded_goes_on_after_kill_9(grid: LiveGrid, tmp_path: Path) -> None:
    """The holder stands still meanwhile, so that nothing can have come before."""
    holder, seeder = grid.nodes[0], grid.nodes[1]
    (tmp_path / "seeded").mkdir()
    (tmp_path / "seeded" / "file").write_bytes(os.urandom(MIB))
    words = ("flist", "convert", f"dir:{tmp_path}/seeded", "--json")
    flist = json.loads(p2pgrid(holder.data, *words, check=True).stdout)["flist"]

    def holders() -> set[str]:
        return set(seeder.client.get(f"/flists/{flist}")["holders"])

    eventually("the flist is known", lambda: holder.node_id in holders())
    p2pgrid(seeder.data, "flist", "tree", flist, check=True)  # the tree is here, no chunk of it
    assert holder.process is not None
    holder.process.send_signal(signal.SIGSTOP)
    try:
        command = [sys.executable, "-m", "p2pgrid", "--data", str(seeder.data), "flist", "seed"]
        with subprocess.Popen([*command, flist], stderr=subprocess.DEVNULL) as waiting:
            time.sleep(PULL_BEGINS_SECONDS)
            grid.kill(seeder)
            assert waiting.wait() == 3
    finally:
        holder.process.send_signal(signal.SIGCONT)
    grid.restart(seeder)

    eventually("it seeds by itself", lambda: seeder.node_id in holders())
    told = json.loads(p2pgrid(seeder.data, "flist", "verify", flist, "--json", check=True).stdout)
    assert (told["missing"], told["damaged"]) == ([], [])
    p2pgrid(seeder.data, "flist", "seed", flist, "--stop", check=True)
