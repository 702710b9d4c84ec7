"""Gossip among 12 processes on loopback, beside js-libp2p's gossipsub in the same graph.

Every process publishes one message of 600 bytes a second, signed by its author and checked by
everybody who passes it on. The reference needs node and npm; a row says so where they are missing.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any

import numpy as np

from tests.benchmarks.measurement import Measurement, compare

PEERS = 12
LINKS = 30
"""Five for each peer, on the average."""
SEED = 3
PAIRS = 2
"""Rounds of ours and of the reference in turn, since the machine is shared."""
OURS = (sys.executable, "-m", "tests.benchmarks.gossip_peer")
JS = Path(__file__).parent / "js"
JS_NAME = "js-libp2p gossipsub"
INSTALL_SECONDS_MAX = 120
ROUND_SECONDS_MAX = 240
"""Of which 12 interpreters that import libp2p on two busy cores take the most."""
LEAD_NS = 1_000_000_000
"""So long after the plan is told it begins, for all at once."""

DELIVERED_TARGET = 0.999
P50_TARGET = 0.5
"""Our peers wait a moment for more to send with it, which is meant to cost the median."""
P99_TARGET = 1.0
CPU_TARGET = 0.5
"""At most twice what js takes."""

Edge = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What each peer does once all are linked."""

    peers: int = PEERS
    warm_up: int = 10
    """Messages of each that are not counted; meshes and trees grow meanwhile."""
    messages: int = 20
    """Messages of each that are."""
    interval_ns: int = 1_000_000_000
    drain_ns: int = 3_000_000_000
    """After the last, for those under way."""
    message_bytes: int = 600


@dataclass(frozen=True, slots=True)
class Round:
    """What all peers together heard, and what it took."""

    delivered: float
    """Of all messages and all who should hear them; 1.0 is all."""
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """User and system time of all processes for each delivery."""


def measure() -> Iterator[Measurement]:
    """Delivery, delays and CPU of ours, beside those of js."""
    plan, edges = Plan(), graph(PEERS, LINKS, Random(SEED))
    ours, js = [], []
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        folder = Path(name) / "js"
        js_command, js_name = install_js(folder)
        for _ in range(PAIRS):
            ours.append(run_round(OURS, Path.cwd(), edges, plan))
            if js_command:
                js.append(run_round(js_command, folder, edges, plan))
    yield from rows(quietest(ours), quietest(js) if js else None, js_name)


def quietest(rounds: Sequence[Round]) -> Round:
    """The least of every figure: the least delivered, and delays that others disturbed least."""
    least = {name: min(getattr(one, name) for one in rounds) for name in Round.__slots__}
    return Round(**least)


def rows(ours: Round, js: Round | None, js_name: str) -> Iterator[Measurement]:
    """Ours beside js; without it nothing is met, and `js_name` says why."""

    def row(name: str, unit: str, target: float, *, is_less_better: bool = True) -> Measurement:
        return compare(
            f"gossip.{name}",
            round(getattr(ours, name), 4),
            unit,
            reference=(js_name, round(getattr(js, name), 4) if js else 0.0),
            target=target,
            is_less_better=is_less_better,
        )

    everything = ("everything published", 1.0)
    yield compare(
        "gossip.delivered",
        round(ours.delivered, 4),
        "of all",
        reference=everything,
        target=DELIVERED_TARGET,
    )
    yield row("p50_ms", "ms", P50_TARGET)
    yield row("p99_ms", "ms", P99_TARGET)
    yield row("cpu_ms", "CPU-ms/delivery", CPU_TARGET)


def graph(peers: int, links: int, random: Random) -> list[Edge]:
    """A random graph in one piece: a ring of all in random order, and random links across.

    >>> len(graph(12, 30, Random(3)))
    30
    """
    order = random.sample(range(peers), peers)
    ring = {_edge(one, other) for one, other in zip(order, order[1:] + order[:1], strict=True)}
    others = sorted({(one, other) for other in range(peers) for one in range(other)} - ring)
    return sorted([*ring, *random.sample(others, links - len(ring))])


def _edge(one: int, other: int) -> Edge:
    return min(one, other), max(one, other)


def run_round(
    command: Sequence[str],
    folder: Path,
    edges: Sequence[Edge],
    plan: Plan,
    *,
    seconds_max: float = ROUND_SECONDS_MAX,
) -> Round:
    """Start the peers, link them, let them gossip, and end them."""
    with _processes(command, folder, plan.peers, seconds_max) as peers:
        addresses = [_heard(peer)["address"] for peer in peers]
        for number, peer in enumerate(peers):
            _tell(peer, {"dial": [addresses[to] for at, to in edges if at == number]})
        for peer in peers:
            _heard(peer)
        begin_ns = time.monotonic_ns() + LEAD_NS
        for peer in peers:
            _tell(peer, asdict(plan) | {"begin_ns": begin_ns})
        return _together([_heard(peer) for peer in peers], plan)


def _together(found: Sequence[dict[str, Any]], plan: Plan) -> Round:
    delays = [delay for one in found for delay in one["delays_ms"]]
    assert delays, "nothing was delivered at all"
    expected = plan.peers * (plan.peers - 1) * plan.messages
    cpu_seconds = sum(one["cpu_seconds"] for one in found)
    return Round(
        delivered=len(delays) / expected,
        p50_ms=float(np.percentile(delays, 50)),
        p99_ms=float(np.percentile(delays, 99)),
        cpu_ms=1000 * cpu_seconds / len(delays),
    )


@contextmanager
def _processes(
    command: Sequence[str], folder: Path, count: int, seconds_max: float
) -> Iterator[list["subprocess.Popen[str]"]]:
    """So many peers, killed at the end or when they take too long; then reading from them ends."""
    peers: list[subprocess.Popen[str]] = []

    def kill() -> None:
        for peer in peers:
            peer.kill()

    watchdog = Timer(seconds_max, kill)
    try:
        peers += [_start([*command, str(number)], folder) for number in range(count)]
        watchdog.start()
        yield peers
    finally:
        watchdog.cancel()
        kill()
        for peer in peers:
            peer.communicate()


def _start(command: list[str], folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(peer: "subprocess.Popen[str]", what: object) -> None:
    assert peer.stdin is not None
    peer.stdin.write(json.dumps(what) + "\n")
    peer.stdin.flush()


def _heard(peer: "subprocess.Popen[str]") -> dict[str, Any]:
    assert peer.stdout is not None
    line = peer.stdout.readline()
    assert line, "a peer ended by itself, or was killed for taking too long"
    found: dict[str, Any] = json.loads(line)
    return found


def install_js(folder: Path) -> tuple[list[str], str]:
    """Make a folder with js-libp2p: how to start a peer in it, and the name of the reference.

    Without node, npm or its packages there is no command, and the name says why.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return [], f"{JS_NAME} not measured: needs node and npm"
    shutil.copytree(JS, folder)
    install = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        subprocess.run(  # what goes wrong it says itself, on stderr
            install, cwd=folder, check=True, stdout=sys.stderr, timeout=INSTALL_SECONDS_MAX
        )
    except subprocess.SubprocessError as error:
        return [], f"{JS_NAME} not measured: npm ci failed ({type(error).__name__})"
    return [node, "gossip_peer.js"], JS_NAME
