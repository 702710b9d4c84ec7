"""Nodes are killed at random for three minutes while records change: nothing is lost."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from random import Random, SystemRandom

import click
import pytest

from p2pgrid.cli.demo_grid import Member, wait_until
from p2pgrid.units import SECOND_MS
from tests.integration.changes import Changes
from tests.integration.conftest import START_SECONDS_MAX, answers
from tests.integration.eight_nodes import EightNodes, require_whole

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(600)]

LOOP_SECONDS = 180.0
EQUAL_SECONDS_MAX = 60.0
CHANGE_PAUSE_SECONDS = 0.35
KILLS_MIN = 5
"""A machine that others use as well takes half a minute for one."""

DOWN_SECONDS_MAX = 4.0
UP_SECONDS = 2.0
"""Between kills; with a start of 3 to 5 CPU seconds that is one kill in ten seconds or so."""

SLACK_MS = 2 * SECOND_MS


def test_what_killed_nodes_acknowledged_is_everywhere(
    eight: EightNodes, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = SystemRandom().randrange(10**6)
    click.echo(f"seed {seed}")
    changes, random = eight.changes(seed), Random(seed)
    started: dict[str, float] = {}
    enough = threading.Event()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(_change_until, enough, changes, eight.nodes)
        try:
            kills = _kill_for(LOOP_SECONDS, eight, random, started)
        finally:
            enough.set()
        changing.result()

    assert kills >= KILLS_MIN
    assert len(changes.names) > 50
    took = require_whole(eight, changes, seconds_max=EQUAL_SECONDS_MAX)
    _require_announced(eight, started)
    with capsys.disabled():
        click.echo(
            f"\n{kills} kills, {changes.count} changes, equal after {took:.1f} s (seed {seed})"
        )


def _kill_for(seconds: float, eight: EightNodes, random: Random, started: dict[str, float]) -> int:
    """Kill one node after the other and start it again; give how many kills that were."""
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        victim = random.choice(eight.nodes)
        assert victim.process is not None
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
        kills += 1
        time.sleep(random.uniform(0, DOWN_SECONDS_MAX))
        started[victim.node_id] = time.monotonic()
        eight.grid.launch(victim)
        wait_until(
            f"{victim.name} answers again",
            partial(answers, victim.client),
            seconds_max=START_SECONDS_MAX,
        )
        time.sleep(UP_SECONDS)
    return kills


def _change_until(enough: threading.Event, changes: Changes, nodes: list[Member]) -> None:
    while not enough.wait(CHANGE_PAUSE_SECONDS):
        changes.make(changes.random.choice(nodes))


def _require_announced(eight: EightNodes, started: dict[str, float]) -> None:
    """Everybody has heard of every killed node since its last start."""
    for node in eight.nodes:
        shown = {
            one["node"]: one["age_ms"] for one in node.client.get("/nodes", limit=100)["nodes"]
        }
        for victim, at in started.items():
            since_ms = (time.monotonic() - at) * SECOND_MS
            assert shown[victim] <= since_ms + SLACK_MS, f"{node.name} heard of it before"
