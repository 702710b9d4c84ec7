"""Arrays tell of a grid what the program's own cores tell, and the same seed the same."""

from functools import partial
from statistics import mean
from typing import ClassVar

import numpy as np
import pytest

from p2pgrid.errors import BadInput
from p2pgrid.simulation import array_grid, array_spreading, array_wires
from p2pgrid.simulation.array_links import Links
from p2pgrid.simulation.array_run import converge
from p2pgrid.simulation.result import Result
from p2pgrid.simulation.scenarios import simulate
from p2pgrid.simulation.world import World

TOLERANCES = {"p50": 0.12, "p99": 0.35, "copies": 0.05, "gossip": 0.1, "reconcile": 0.8}
"""Shares by which arrays may be off on the graph of the cores. p99 lies where what has to be
asked for begins, and pulls are few. At 1,000 nodes all but reconciling is within 3 %."""
NODES, MINUTES, CHANGES = 120, 1.0, 40.0


class Watched(World):
    """Shows the grid of the run to the test."""

    made: ClassVar[list[World]] = []

    def start_settled(self) -> None:
        super().start_settled()
        self.made.append(self)


def run(model: str, seed: int, *, nodes: int = NODES, minutes: float = MINUTES) -> Result:
    return simulate(
        "converge",
        nodes=nodes,
        seed=seed,
        minutes=minutes,
        changes_per_hour=CHANGES,
        model=model,
        grid=Watched,
    )


def links_of(world: World) -> Links:
    """Who is linked with whom in a grid of the cores, in the order in which they connected."""
    pairs = [
        (node.number, peer) for node in world.nodes for peer in node.peers() if node.number < peer
    ]
    both = [*pairs, *((peer, node) for node, peer in pairs)]
    turns = [*range(len(pairs))] * 2
    order = sorted(range(len(both)), key=lambda one: (both[one][0], turns[one]))
    place = {both[one]: number for number, one in enumerate(order)}
    edges = list(place)
    degree = np.bincount([source for source, _ in edges])
    return Links(
        first=np.cumsum(degree) - degree,
        degree=degree,
        source=np.array([source for source, _ in edges], np.int32),
        target=np.array([target for _, target in edges], np.int32),
        back=np.array([place[target, source] for source, target in edges], np.int32),
        latency=np.array([world.wires.wire(*edge).latency for edge in edges], np.float32),
    )


def figures(result: Result) -> dict[str, float]:
    return {
        "p50": result.reach_seconds[0],
        "p99": result.reach_seconds[1],
        "copies": result.copies,
        "gossip": result.gossip_mbit / result.records,
        "reconcile": result.reconcile_mbit / result.records,
    }


def too_far(arrays: list[Result], cores: Result) -> dict[str, float]:
    """By how much the mean of arrays is off, where that is more than tolerated."""
    told = [figures(one) for one in arrays]
    off = {
        name: mean(one[name] for one in told) / figure - 1
        for name, figure in figures(cores).items()
    }
    return {name: share for name, share in off.items() if abs(share) > TOLERANCES[name]}


@pytest.mark.timeout(240)  # 8 s of CPU, on a machine that may be busy
def test_arrays_and_cores_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = run("cores", 1)
    arrays_of = partial(
        converge, nodes=NODES, minutes=MINUTES, changes_per_hour=CHANGES,
        links=links_of(Watched.made.pop()),
    )  # fmt: skip
    arrays = [arrays_of(seed=seed) for seed in (1, 2, 3)]

    assert (cores.model, arrays[0].model) == ("cores", "arrays")
    assert too_far(arrays, cores) == {}
    assert [one.reached_permille for one in arrays] == [1000, 1000, 1000]

    monkeypatch.setattr(array_grid, "GOSSIP_PROVIDERS_WANTED", 3)

    assert "copies" in too_far([arrays_of(seed=1)], cores)


def test_the_same_seed_is_the_same_run() -> None:
    first, again, other = (run("arrays", seed, nodes=60, minutes=0.2) for seed in (5, 5, 6))

    assert first.digest == again.digest
    assert first.curve == again.curve
    assert first.digest != other.digest


def test_of_many_nodes_there_are_arrays_only() -> None:
    result = simulate("converge", nodes=5001, seed=1, minutes=0.1)

    assert (result.model, result.nodes) == ("arrays", 5001)
    assert result.records > 0
    assert result.violations == ()
    with pytest.raises(BadInput, match="200000 nodes"):
        simulate("converge", nodes=200_001, seed=1)
    with pytest.raises(BadInput, match="cores only"):
        simulate("churn", nodes=10, seed=1, model="arrays")


def test_records_that_do_not_arrive_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_spreading.ArraySpreading, "_hear", lambda *_events: None)
    monkeypatch.setattr(array_wires, "LOSS", 0.3)
    monkeypatch.setattr("p2pgrid.simulation.array_pulls.ArrayPulls.step", lambda *_window: None)
    result = run("arrays", 1, nodes=60, minutes=0.5)

    assert result.records_lost > 0
    assert result.reached_permille < 1000
    assert [one.rule for one in result.violations] == ["roots are not equal in the end"]
