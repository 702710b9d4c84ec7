"""`converge` of grids too large for objects: arrays that follow the same rules as the cores."""

import resource
import time
from collections.abc import Callable
from hashlib import blake2b

import numpy as np

from p2pgrid.limits import simulation as limits
from p2pgrid.limits.explorer import ANNOUNCE_INTERVAL_MS
from p2pgrid.simulation.array_grid import ArrayGrid
from p2pgrid.simulation.array_links import Links, random_links
from p2pgrid.simulation.array_pulls import ArrayPulls
from p2pgrid.simulation.array_reach import Reach
from p2pgrid.simulation.array_sizes import measured_sizes
from p2pgrid.simulation.array_spreading import ArraySpreading
from p2pgrid.simulation.result import Result, Violation
from p2pgrid.units import HOUR_MS

_CLOSING_WINDOWS = 50
"""How often slots are looked for that are free again."""


class ArrayRun:
    """One run: records are published at random, until all have all of them."""

    def __init__(self, nodes: int, seed: int, links: Links | None = None) -> None:
        self.seed = seed
        self.random = np.random.default_rng(seed)
        self.grid = ArrayGrid(links or random_links(nodes, self.random))
        self.sizes = sizes = measured_sizes()
        self.reach = Reach(self.grid)
        self.spreading = ArraySpreading(self.grid, sizes, self.reach, self.random)
        self.pulls = ArrayPulls(self.grid, sizes, self.reach, self.random)
        self.records = 0
        self.window = 0
        self.series: list[tuple[float, float]] = []

    @property
    def now(self) -> float:
        """Seconds since the start of the run."""
        return self.window * limits.HOP_SECONDS

    def change(
        self, seconds: float, changes_per_hour: float, tell: Callable[[float], None]
    ) -> None:
        """Let nodes change for so long, each so often on average; they announce themselves too."""
        self._run(limits.SETTLE_SECONDS)
        nodes, sizes = self.grid.nodes, self.sizes
        per_hour = (changes_per_hour, HOUR_MS / ANNOUNCE_INTERVAL_MS)
        updates, others = self.random.poisson(nodes * seconds / 3600 * np.array(per_hour)).tolist()
        count = updates + others
        lengths = self.random.permutation([sizes.record] * updates + [sizes.announcement] * others)
        times = np.sort(self.random.random(count)) * seconds + self.now
        authors = self.random.integers(0, nodes, count)
        end = self.now + seconds
        said = zip(times.tolist(), authors.tolist(), lengths.tolist(), strict=True)
        for number, (at, author, size) in enumerate(said):
            if self.now + limits.HOP_SECONDS <= at:
                self._run(at)
                tell(0.8 * number / count)
            self.spreading.publish(self.grid.records.open(at, size), author, at)
        self.records = count
        self._run(end)

    def settle(self) -> float | None:
        """Change nothing until everybody has everything; seconds that this took, if it came."""
        begun_at = self.now
        while self.now < begun_at + limits.QUIET_SECONDS:
            share = float(np.mean(self.grid.arrived == self.records))
            self.series.append((self.now - begun_at, share))
            if share == 1.0:
                return self.now - begun_at
            self._run(self.now + limits.ROOTS_CHECK_SECONDS)
        return None

    @property
    def missing(self) -> int:
        """Records that are not where they should be."""
        return int(self.records * self.grid.nodes - self.grid.arrived.sum())

    def _run(self, until: float) -> None:
        while self.now + limits.HOP_SECONDS <= until:
            self.pulls.step(self.window)
            self.spreading.step(self.window)
            self.window += 1
            if self.window % _CLOSING_WINDOWS == 0:
                self.grid.records.close(self.now - limits.ARRAY_LINGER_SECONDS)

    def digest(self) -> str:
        """A hash of all that was counted; the same for the same seed."""
        told = blake2b(self.reach.bins.tobytes(), digest_size=16)
        for column in (self.grid.arrived, self.grid.providers):
            told.update(np.ascontiguousarray(column).tobytes())
        told.update(f"{self.spreading.copies} {self.spreading.wires.sent_bytes:.0f}".encode())
        return told.hexdigest()


def converge(
    *,
    nodes: int,
    seed: int,
    minutes: float,
    changes_per_hour: float,
    tell: Callable[[float], None] = lambda _share: None,
    links: Links | None = None,
) -> Result:
    """Run `converge` with arrays; see `scenarios.simulate`. Nodes may be linked as some others."""
    wall, cpu = time.perf_counter(), time.process_time()
    run = ArrayRun(nodes, seed, links)
    run.change(60 * minutes, changes_per_hour, tell)
    agreed = run.settle()
    tell(1.0)
    wanted = max(1, run.records * (nodes - 1))
    mbit = 8e-6 / (60 * minutes) / nodes
    gossip_bytes, pulled_bytes = float(run.spreading.wires.sent_bytes), float(run.pulls.sent_bytes)
    violations = () if agreed is not None else (_unequal(run),)
    return Result(
        scenario="converge",
        nodes=nodes,
        seed=seed,
        minutes=minutes,
        changes_per_hour=changes_per_hour,
        model="arrays",
        records=run.records,
        reach_seconds=run.reach.percentiles(),
        reached_permille=1000 * run.reach.deliveries // wanted,
        copies=run.spreading.copies / wanted,
        gossip_mbit=gossip_bytes * mbit,
        reconcile_mbit=pulled_bytes * mbit,
        records_lost=run.missing,
        roots_equal_seconds=agreed,
        digest=run.digest(),
        wall_seconds=time.perf_counter() - wall,
        cpu_seconds=time.process_time() - cpu,
        memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        violations=violations,
        curve=run.reach.curve(wanted),
        series=tuple(run.series),
    )


def _unequal(run: ArrayRun) -> Violation:
    return Violation("roots are not equal in the end", run.seed, round(run.now, 3))
