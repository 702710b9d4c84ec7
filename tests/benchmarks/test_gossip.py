"""The gossip bench measures what it says, or says why not, and leaves nothing running."""

import math
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.benchmarks.gossip import (
    JS_NAME,
    LINKS,
    OURS,
    PEERS,
    SEED,
    Plan,
    Round,
    graph,
    install_js,
    quietest,
    rows,
    run_round,
)

OWN = Round(delivered=1.0, p50_ms=10.0, p99_ms=50.0, cpu_ms=4.0)


def test_the_graph_is_the_same_every_time_and_in_one_piece() -> None:
    edges = graph(PEERS, LINKS, Random(SEED))

    assert edges == graph(PEERS, LINKS, Random(SEED))
    assert len(set(edges)) == LINKS
    assert all(one < other for one, other in edges)
    reached = {0}
    for _ in range(PEERS):
        reached |= {peer for edge in edges if reached & {*edge} for peer in edge}
    assert reached == set(range(PEERS))


def test_rows_are_met_when_js_is_no_quicker_and_takes_no_less_than_half() -> None:
    js = Round(delivered=1.0, p50_ms=10.0, p99_ms=50.0, cpu_ms=2.0)
    slow = Round(delivered=0.9, p50_ms=10.0, p99_ms=51.0, cpu_ms=4.1)

    assert [one.met for one in rows(OWN, js, JS_NAME)] == [True] * 4
    assert [one.met for one in rows(slow, js, JS_NAME)] == [False, True, False, False]


def test_a_disturbed_round_does_not_hide_what_was_lost() -> None:
    disturbed = Round(delivered=1.0, p50_ms=11.0, p99_ms=900.0, cpu_ms=3.0)
    lossy = Round(delivered=0.98, p50_ms=10.0, p99_ms=50.0, cpu_ms=4.0)

    found = quietest([disturbed, lossy])

    assert found == Round(delivered=0.98, p50_ms=10.0, p99_ms=50.0, cpu_ms=3.0)


def test_without_js_nothing_is_met_but_delivery_and_the_rows_say_why() -> None:
    found = list(rows(OWN, None, "no js: because"))

    assert [one.met for one in found] == [True, False, False, False]
    assert [one.reference for one in found[1:]] == ["no js: because"] * 3


def test_a_reference_that_cannot_be_had_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install_js(tmp_path / "js") == ([], f"{JS_NAME} not measured: needs node and npm")

    for name in ("node", "npm"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    command, why = install_js(tmp_path / "js")
    assert not command
    assert "npm ci failed" in why


@pytest.mark.slow
def test_two_real_processes_hear_each_other() -> None:
    plan = Plan(
        peers=2, warm_up=15, messages=5, interval_ns=200_000_000, drain_ns=1_000_000_000
    )  # the warm-up is as long as a heartbeat or two of any router

    found = run_round(OURS, Path.cwd(), [(0, 1)], plan)

    assert 0 < found.delivered <= 1
    assert 0 < found.p50_ms <= found.p99_ms < math.inf
    assert found.cpu_ms > 0


def test_a_peer_that_says_nothing_ends_the_round() -> None:
    mute = (sys.executable, "-c", "import time; time.sleep(60)")
    started = time.monotonic()

    with pytest.raises(AssertionError, match="a peer ended"):
        run_round(mute, Path.cwd(), [], Plan(peers=2), seconds_max=0.5)

    assert time.monotonic() - started < 30
