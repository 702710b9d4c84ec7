"""Eight nodes in namespaces of their own, started once for the tests that cut and kill them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from p2pgrid.cli.demo_grid import Member
from tests.integration.changes import Changes, seconds_until_equal
from tests.integration.conftest import p2pgrid
from tests.integration.namespaces import NamespacedGrid

START_EQUAL_SECONDS_MAX = 60.0


@dataclass
class EightNodes:
    """They are up, connected, and each has an flist to give names to."""

    grid: NamespacedGrid
    flists: dict[str, str]

    @property
    def nodes(self) -> list[Member]:
        return self.grid.nodes

    def changes(self, seed: int) -> Changes:
        """Nothing changed yet."""
        return Changes(Random(seed), self.flists)


def found(grid: NamespacedGrid) -> None:
    """Write the genesis: all nodes are witnesses."""
    words = ["grid", "create", "test", "--out", str(grid.genesis)]
    for node in grid.nodes:
        words += ["--witness", node.node_id]
    words += ["--balance", f"{grid.nodes[0].node_id}=1"]
    p2pgrid(grid.nodes[0].data, *words, check=True)
    grid.write_settings()


@contextmanager
def open_eight(place: Path) -> Iterator[EightNodes]:
    """Such a grid during the block; nothing is left of it."""
    grid = NamespacedGrid(place / "grid", nodes=8)
    found(grid)
    with grid.cabled():
        try:
            grid.start()
            yield EightNodes(grid, {node.node_id: _convert(node, place) for node in grid.nodes})
        finally:
            grid.stop()


def _convert(node: Member, place: Path) -> str:
    source = place / "image"
    source.mkdir(exist_ok=True)
    (source / "hello").write_text("hello")
    words = ("flist", "convert", f"dir:{source}", "--name", "first:1", "--json")
    made = json.loads(p2pgrid(node.data, *words, check=True).stdout)
    return str(made["flist"])


def require_whole(eight: EightNodes, changes: Changes, *, seconds_max: float) -> float:
    """All show one root within this time, and know every change. Gives how long it took."""
    took = seconds_until_equal(eight.nodes, seconds_max=seconds_max)
    for node in eight.nodes:
        assert changes.missing_at(node) == [], node.name
    return took
