"""What the design promises of large grids, beside what simulations and benchmarks show.

`python -m tests.benchmarks.scale` prints a table in Markdown, row by row, and ends with
status 1 when a promise is not kept. Times of a simulation are simulated ones, so a busy machine
changes none of them; only CPU is that of the machine.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from p2pgrid.simulation.result import Result
from p2pgrid.simulation.scenarios import simulate
from tests.benchmarks import explorer_reconcile
from tests.benchmarks.measurement import Measurement

HEAD = "| simulated | load | seed | seen | target | met |\n|---|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that must not be above another."""

    name: str
    value: float
    value_max: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it is not above."""
        return self.value <= self.value_max

    def seen(self) -> str:
        """For example `p99 1.72 s`."""
        return f"{self.name} {self.value:.3g}{self.unit}".strip()

    def target(self) -> str:
        """For example `≤ 5 s`."""
        return f"≤ {self.value_max:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Row:
    """One promise of the design."""

    what: str
    load: str
    seed: int | None
    figures: tuple[Figure, ...]
    violated: tuple[str, ...] = ()

    @property
    def is_met(self) -> bool:
        """Whether all of it holds."""
        return not self.violated and all(one.is_met for one in self.figures)

    def line(self) -> str:
        """In Markdown."""
        cells = (
            self.what,
            self.load,
            "" if self.seed is None else str(self.seed),
            "; ".join([*(one.seen() for one in self.figures), *self.violated]),
            "; ".join(one.target() for one in self.figures),
            "yes" if self.is_met else "**no**",
        )
        return f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Run:
    """A simulation that shows a promise."""

    what: str
    scenario: str
    nodes: int
    minutes: float
    changes_per_hour: float
    figures_of: Callable[[Result], tuple[Figure, ...]]

    def row(self, seed: int) -> Row:
        """Run it."""
        result = simulate(
            self.scenario,
            nodes=self.nodes,
            seed=seed,
            minutes=self.minutes,
            changes_per_hour=self.changes_per_hour,
        )
        model = "" if result.model == "cores" else f" ({result.model})"
        return Row(
            f"{self.what}{model}",
            f"{self.changes_per_hour:g} changes/h a node for {_duration(self.minutes)}, "
            f"{result.records} records",
            seed,
            self.figures_of(result),
            tuple(one.rule for one in result.violations),
        )


def spread_within(
    seconds: float, copies: float, mbit: float
) -> Callable[[Result], tuple[Figure, ...]]:
    """Targets of `converge`."""

    def figures(result: Result) -> tuple[Figure, ...]:
        sent = result.gossip_mbit + result.reconcile_mbit
        return (
            Figure("p99", result.reach_seconds[1], seconds, " s"),
            Figure("copies", result.copies, copies),
            Figure("a node sends", sent, mbit, " Mbit/s"),
        )

    return figures


def _nothing_lacks(result: Result) -> tuple[Figure, ...]:
    """That one round of pulls was enough is a rule of the scenario."""
    return (Figure("records lacking after one round", result.records_lost, 0),)


def _equal_within_a_minute(result: Result) -> tuple[Figure, ...]:
    equal = result.roots_equal_seconds
    after = float("inf") if equal is None else equal
    return (
        Figure("equal after", after, 60.0, " s"),
        Figure("records lost", result.records_lost, 0),
    )


# Nodes change as often as the design assumes. How long hardly matters: its figures are by record.
RUNS = (
    Run("1,000 nodes", "converge", 1000, 3.0, 4.0, spread_within(2.0, 6.0, 0.02)),
    Run("100,000 nodes", "converge", 100_000, 0.1, 4.0, spread_within(5.0, 2.0, 0.5)),
    Run("300 nodes, 33 % silent", "silent-third", 300, 5.0, 4.0, _nothing_lacks),
    Run("2 × 100 nodes apart for 1 h", "partition-heal", 200, 60.0, 4.0, _equal_within_a_minute),
)


def reconcile_row(found: dict[str, Measurement]) -> Row:
    """The promise of reconciling, out of what the benchmark measured."""
    counts = explorer_reconcile.ROUNDS
    sent = max(found[f"explorer_reconcile.bytes_{count}"].value for count in counts)
    cpu = max(found[f"explorer_reconcile.cpu_{count}"].value for count in counts)
    equal = found["explorer_reconcile.equal"].value
    return Row(
        "two sets of 100,000 records reconcile",
        f"{', '.join(map(str, counts))} differences; the worst of each",
        None,
        (
            Figure("", sent, explorer_reconcile.BYTES_PER_DIFFERENCE_MAX, " B/difference"),
            Figure("CPU of both", cpu, explorer_reconcile.CPU_MS_MAX, " ms"),
            Figure("equal sets", equal, explorer_reconcile.EQUAL_BYTES_MAX, " B"),
        ),
    )


def rows(seed: int) -> Iterator[Row]:
    """Every row as it is done; says on stderr what is under way."""
    for run in RUNS:
        click.echo(f"{run.what} …", err=True)
        yield run.row(seed)
    click.echo("reconcile …", err=True)
    yield reconcile_row({one.bench: one for one in explorer_reconcile.measure()})


def _duration(minutes: float) -> str:
    return f"{minutes:g} min" if minutes >= 1 else f"{60 * minutes:g} s"


@click.command()
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
def main(seed: int) -> None:
    """Print the table."""
    click.echo(HEAD)
    are_met = True
    for row in rows(seed):
        click.echo(row.line())
        are_met &= row.is_met
    if not are_met:
        sys.exit(1)


if __name__ == "__main__":
    main()
