"""Plays simulated ledgers, one for each seed, and adds up what was seen."""

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.simulation.ledger_grid import LedgerGrid
from p2pgrid.simulation.ledger_node import LedgerNode
from p2pgrid.simulation.result import Violation

LEDGER = "ledger"
"""The scenario's name."""
TITLE = "Payments through faults at the bound: no slot twice, nothing lost, sums exact."


@dataclass(slots=True, kw_only=True)
class LedgerResult:
    """What runs of simulated ledgers have shown, added up."""

    scenario: str = LEDGER
    seed: int
    """The first."""
    seeds: int
    """How many, one after the other."""
    witnesses: dict[int, int] = field(default_factory=dict)
    """Number of witnesses to the runs with so many."""
    certified: int = 0
    """Operations that every replica held in the end."""
    told: int = 0
    """Operations that a client was told to be certified."""
    epochs: int = 0
    """That ended; in half of the runs, two or more."""
    hidden: int = 0
    """Certificates that were kept from everybody until the end."""
    convicted: int = 0
    """Accounts that signed twice and were caught."""
    crashes: int = 0
    """Nodes that lost power."""
    events: int = 0
    seconds: float = 0.0
    """Simulated."""
    digest: str = ""
    """Of every event of every run; the same for the same seeds."""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    """Of the process, at its highest."""
    violations: tuple[Violation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def take(self, grid: LedgerGrid, witness_count: int) -> None:
        """Add one run."""
        self.witnesses[witness_count] = self.witnesses.get(witness_count, 0) + 1
        self.certified += grid.certified
        self.told += len(grid.told)
        self.epochs += grid.court.epochs
        self.hidden += len(grid.hidden)
        self.convicted += grid.caught
        self.crashes += grid.crashes
        self.events += grid.scheduler.events
        self.seconds += grid.scheduler.now
        self.violations += tuple(grid.violations)
        parts = (self.digest + grid.scheduler.digest()).encode()
        self.digest = blake2b(parts, digest_size=16).hexdigest()


def witness_count_of(seed: int) -> int:
    """How many witnesses the run of a seed has, when nobody says.

    >>> [witness_count_of(seed) for seed in range(10)]
    [4, 7, 4, 1, 10, 4, 7, 4, 7, 31]
    """
    return limits.WITNESS_COUNTS[seed % len(limits.WITNESS_COUNTS)]


def simulate_ledger(
    seed: int,
    *,
    seeds: int = 1,
    witness_count: int | None = None,
    tell: Callable[[float], None] = lambda _share: None,
    honest: type[LedgerNode] = LedgerNode,
) -> LedgerResult:
    """Play the runs of some seeds, each to its end.

    Args:
        seed: the first.
        seeds: how many.
        witness_count: of every run, or what each seed gives.
        tell: called with the share that is done.
        honest: what honest nodes are; tests break one.
    """
    result = LedgerResult(seed=seed, seeds=seeds)
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(seeds):
        count = witness_count or witness_count_of(seed + number)
        grid = LedgerGrid(seed + number, count, honest)
        try:
            grid.run()
        except Exception as error:
            error.add_note(f"in the run of seed {seed + number} with {count} witnesses")
            raise
        result.take(grid, count)
        tell((number + 1) / seeds)
    result.wall_seconds = time.perf_counter() - wall
    result.cpu_seconds = time.process_time() - cpu
    result.memory_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result
