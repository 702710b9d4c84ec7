"""Half of the grid is cut off for a minute while both halves go on: nothing is lost."""

import time
from random import SystemRandom

import click
import pytest

from p2pgrid.cli.demo_grid import Member
from tests.integration.changes import Changes, roots, seconds_until_equal
from tests.integration.eight_nodes import START_EQUAL_SECONDS_MAX, EightNodes, require_whole

pytestmark = [pytest.mark.root, pytest.mark.long, pytest.mark.timeout(420)]

CUT_SECONDS = 60.0
HEALED_SECONDS_MAX = 60.0
PAUSE_SECONDS = 0.25


def test_halves_that_were_cut_apart_come_to_the_same_and_lose_nothing(
    eight: EightNodes, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = SystemRandom().randrange(10**6)
    click.echo(f"seed {seed}")
    changes = eight.changes(seed)
    seconds_until_equal(eight.nodes, seconds_max=START_EQUAL_SECONDS_MAX)

    eight.grid.cut()
    try:
        change_for(CUT_SECONDS, changes, eight.nodes)
        left, right = eight.grid.halves
        shown = roots(left), roots(right)
    finally:
        eight.grid.heal()

    assert not set(shown[0]) & set(shown[1]), "the cut held nothing back"
    assert len(changes.names) > len(eight.nodes)
    assert len(changes.farms) == len(eight.nodes)
    took = require_whole(eight, changes, seconds_max=HEALED_SECONDS_MAX)
    with capsys.disabled():
        click.echo(f"\nhealed {took:.1f} s after the cut, {changes.count} changes (seed {seed})")


def change_for(seconds: float, changes: Changes, nodes: list[Member]) -> None:
    """Let nodes of both halves change what they say, in turns."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        changes.make(nodes[changes.count % len(nodes)])
        time.sleep(PAUSE_SECONDS)
