"""Memory of a real node that hears 50 records a second: it does not grow with time.

A peer tells of 3,000 nodes, each once a minute. After the first two minutes, in which
announcements and first updates came, the node holds all of them, and every further
record takes the place of another. So the reference is the same process, early on.
It takes ten minutes, or what --minutes says.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.demo_grid import DemoGrid
from p2pgrid.units import MIB
from tests.benchmarks.explorer_feeder import NODES
from tests.benchmarks.measurement import Measurement, compare

MINUTES = 10.0
WARM_UP_MINUTES = 2.0
SAMPLE_SECONDS = 5.0
FLAT_TARGET = 0.95
"""RSS at the end at most 5 % above that after the warm-up."""

NEWS_AGE_MS_MAX = 10_000

HEARD_SHARE_MIN = 0.9
"""Of the nodes told of; what gossip loses comes with a later record."""


def measure(minutes: float = MINUTES) -> Iterator[Measurement]:
    """Feed a node for so long, and look at its memory all the time."""
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        samples = _feed(Path(name), max(minutes, WARM_UP_MINUTES + 1))
    early = _mean_around(samples, WARM_UP_MINUTES)
    late = _mean_around(samples, samples[-1][0])
    slope = slope_of([one for one in samples if one[0] >= WARM_UP_MINUTES])
    yield compare(
        f"explorer_memory.after_{samples[-1][0]:.0f}_minutes",
        round(late, 1),
        "MiB",
        reference=(
            f"itself after {WARM_UP_MINUTES:g} minutes, slope since {slope:+.2f} MiB/min",
            round(early, 1),
        ),
        target=FLAT_TARGET,
        is_less_better=True,
    )


def slope_of(samples: list[tuple[float, float]]) -> float:
    """The line of least squares through (x, y): how much y grows with each x.

    >>> slope_of([(0, 1.0), (1, 3.0), (2, 5.0)])
    2.0
    """
    mean_x = sum(x for x, _ in samples) / len(samples)
    mean_y = sum(y for _, y in samples) / len(samples)
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread


def _mean_around(samples: list[tuple[float, float]], minute: float) -> float:
    """The mean of half a minute up to there: single samples jump with what is under way."""
    near = [mib for at, mib in samples if minute - 0.5 <= at <= minute]
    return sum(near) / len(near)


def _feed(place: Path, minutes: float) -> list[tuple[float, float]]:
    """(minutes since the first record, RSS in MiB) of a node, sampled until the end."""
    grid = DemoGrid(place / "grid", nodes=1)
    node = grid.nodes[0]
    words = ["grid", "create", "bench", "--out", str(grid.genesis)]
    words += ["--witness", node.node_id, "--balance", f"{node.node_id}=1"]
    command = [sys.executable, "-m", "p2pgrid", "--data", str(grid.consumer.data), *words]
    subprocess.run(command, check=True, capture_output=True)
    grid.write_settings()
    try:
        grid.start()
        address = node.client.get("/status")["addresses"][0]
        feeder = [sys.executable, "-m", "tests.benchmarks.explorer_feeder"]
        with subprocess.Popen(
            [*feeder, str(grid.genesis), address], stdin=subprocess.PIPE
        ) as process:
            try:
                samples = _samples(node.client, minutes, process)
            finally:
                process.kill()
    finally:
        grid.stop()
    return samples


def _samples(
    client: NodeClient, minutes: float, feeder: "subprocess.Popen[bytes]"
) -> list[tuple[float, float]]:
    started = time.monotonic()
    samples: list[tuple[float, float]] = []
    while not samples or samples[-1][0] < minutes:
        time.sleep(SAMPLE_SECONDS)
        assert feeder.poll() is None, "the peer that tells the news ended"
        resident_bytes = client.get("/explorer")["resident_bytes"]
        samples.append(((time.monotonic() - started) / 60, resident_bytes / MIB))
    status = client.get("/explorer")
    heard = status["by_kind"].get("capacity_update", 0)
    assert heard >= HEARD_SHARE_MIN * NODES, f"only {heard} of {NODES} nodes were heard of"
    assert status["heard_age_ms"] < NEWS_AGE_MS_MAX, "news stopped coming"
    return samples
