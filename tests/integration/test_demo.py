"""The demo does the whole main job, its figures add up, and it leaves nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from p2pgrid.cli.client import NodeClient
from p2pgrid.store.directory import holder_of
from p2pgrid.units import TFT
from tests.integration.conftest import answers, eventually, p2pgrid
from tests.leftovers import leftovers, wait_until_gone

STEPS = [
    "grid", "start", "announce", "publish", "reserve", "page", "logs", "cancel", "balance",
    "teardown",
]  # fmt: skip


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_demo_shows_the_whole_main_job_and_cleans_up() -> None:
    before = leftovers()

    done = subprocess.run(
        [sys.executable, "-m", "p2pgrid", "demo", "--once", "--json"],
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    *steps, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["step"] for one in steps] == STEPS
    assert last["ok"] is True
    assert set(last["seconds"]) == set(STEPS)
    by_name = {one["step"]: one for one in steps}
    assert "It runs" in by_name["page"]["page"]
    reserved = by_name["reserve"]
    assert reserved["node"] != by_name["start"]["nodes"]["node-1"]
    cancelled = by_name["cancel"]
    assert cancelled["paid"] > 0
    assert cancelled["paid"] + cancelled["refunded"] == reserved["deposit"]
    balances = last["balances"].values()
    assert sum(one["before"] for one in balances) == 1000 * TFT
    assert sum(one["after"] for one in balances) + last["burnt"] == 1000 * TFT
    assert not wait_until_gone(before)


@pytest.mark.root
def test_a_directory_that_holds_something_is_not_used() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "p2pgrid", "demo", "--once", "--keep", "/etc"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 2
    assert "/etc is not empty" in done.stderr


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ctrl_c_ends_what_was_started_by_hand_too(tmp_path: Path) -> None:
    """A terminal sends the signal to every process of the foreground at once."""
    before = leftovers()
    kept = tmp_path / "kept"
    demo = subprocess.Popen(
        [sys.executable, "-m", "p2pgrid", "demo", "--nodes", "2", "--keep", str(kept)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert demo.stdout is not None
    for line in demo.stdout:
        if "stays up until Ctrl-C" in line:
            break
    consumer = NodeClient(kept / "grid" / "consumer")
    name = consumer.get("/flists")[0]["name"]
    words = ["run", name, "--cores", "0.1", "--memory", "64M", "--disk", "16M", "--json"]
    p2pgrid(consumer.data, *words, check=True)
    node = kept / "grid" / "node-1"
    holder = holder_of(node)
    assert holder is not None
    os.kill(holder, signal.SIGKILL)
    by_hand = subprocess.Popen(
        [sys.executable, "-m", "p2pgrid", "--data", str(node), "node", "run"],
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    eventually("it is up again", answers, NodeClient(node))

    os.killpg(demo.pid, signal.SIGINT)
    told, complaints = demo.communicate(timeout=60)

    assert demo.returncode == 0, complaints
    assert "nothing was left behind" in told
    assert by_hand.wait() == 0
    assert not wait_until_gone(before)
