"""The demo does the whole main job, its figures add up, and it leaves nothing."""

import json
import subprocess
import sys

import pytest

from p2pgrid.units import TFT
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
