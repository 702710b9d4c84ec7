"""`p2pgrid simulate`: whole grids in one process, with every fault, from a seed."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    json_option,
    plain,
    print_fields,
    print_json,
)
from p2pgrid.cli.parameters import Number
from p2pgrid.cli.simulate_ledger import fields_of_ledger
from p2pgrid.limits import simulation as limits
from p2pgrid.limits.simulated_ledger import WITNESSES_MAX
from p2pgrid.plots.figure import check_picture
from p2pgrid.simulation.ledger_run import LEDGER, TITLE, LedgerResult, simulate_ledger
from p2pgrid.simulation.pictures import draw
from p2pgrid.simulation.result import Result, verdict_of
from p2pgrid.simulation.scenarios import MODELS, SCENARIOS
from p2pgrid.simulation.scenarios import simulate as run_scenario
from p2pgrid.units import format_bytes

_NODES = 100


@click.command(
    "simulate",
    epilog="\b\nScenarios, and for how many minutes records change in each:\n"
    + "\n".join(f"  {name:15}{one.minutes:3g}  {one.title}" for name, one in SCENARIOS.items())
    + f"\n  {LEDGER:15}  -  {TITLE}\n"
    + EXIT_STATUS,
)
@click.argument("scenario")
@click.option(
    "--nodes", type=click.IntRange(1),
    help=f"Default: {_NODES}; {limits.NODES_MIN} to {limits.REAL_NODES_MAX}, of converge to "
    f"{limits.ARRAY_NODES_MAX}. Of ledger: witnesses, 1 to {WITNESSES_MAX}; default: by the seed.",
)  # fmt: skip
@click.option(
    "--seed", type=click.IntRange(0), default=1, show_default=True,
    help="What decides every chance of the run.",
)  # fmt: skip
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True,
    help="Of ledger: so many runs, of this seed and those after it.",
)  # fmt: skip
@click.option(
    "--hours", type=Number(limits.MINUTES_MIN, limits.MINUTES_MAX / 60),
    help="For how long records change.",
)  # fmt: skip
@click.option(
    "--minutes", type=Number(limits.MINUTES_MIN, limits.MINUTES_MAX),
    help=f"The same in minutes. Default: see below; {limits.ARRAY_MINUTES:g} with --model arrays.",
)  # fmt: skip
@click.option(
    "--changes-per-hour",
    type=Number(limits.CHANGES_PER_HOUR_MIN, limits.CHANGES_PER_HOUR_MAX),
    help=f"Of each node, on average. Default: {limits.CHANGES_PER_HOUR:g}.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the run to this file, .png or .svg.",
)
@click.option(
    "--model", type=click.Choice(MODELS),
    help=f"Of converge; above {limits.REAL_NODES_MAX} nodes it is arrays, by the same rules.",
)  # fmt: skip
@json_option
def simulate(  # noqa: PLR0913, PLR0917 - one for each option
    scenario: str,
    nodes: int | None,
    seed: int,
    seeds: int,
    hours: float | None,
    minutes: float | None,
    changes_per_hour: float | None,
    plot: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Show how grids of many nodes behave, with faults.

    No node needs to run. The program's own view, pace and reconciliation run for
    every node, under one seeded scheduler. The same seed gives the same run, which
    its digest shows.

    \b
    Examples:
      p2pgrid simulate converge --nodes 1000
      p2pgrid simulate converge --nodes 100000
      p2pgrid simulate partition-heal --nodes 200 --seed 7 --json
      p2pgrid simulate silent-third --plot silent.png
      p2pgrid simulate ledger --seed 7
      p2pgrid simulate ledger --seeds 10000
    """
    if hours is not None and minutes is not None:
        raise click.UsageError("--hours or --minutes, not both")
    wanted = minutes if hours is None else 60 * hours
    if scenario == LEDGER:
        if (wanted, changes_per_hour, plot, model) != (None,) * 4:
            raise click.UsageError(
                "a ledger takes as long as it takes, and has no changes of nodes, no picture and "
                "no --model"
            )
        _play_ledger(seed, seeds, nodes, as_json=as_json)
        return
    if scenario not in SCENARIOS:
        known = ", ".join([*SCENARIOS, LEDGER])
        raise click.UsageError(f"no scenario {plain(scenario)}; there are: {known}")
    if seeds != 1:
        raise click.UsageError(f"--seeds is for {LEDGER}")
    nodes = _NODES if nodes is None else nodes
    with errors_shown():
        if plot is not None:
            check_picture(plot)
        with _progress(f"{scenario}, {nodes} nodes", is_shown=not as_json) as tell:
            result = run_scenario(
                scenario,
                nodes=nodes,
                seed=seed,
                minutes=wanted,
                changes_per_hour=changes_per_hour or limits.CHANGES_PER_HOUR,
                tell=tell,
                model=model,
            )
        if plot is not None:
            draw(result, plot)
    gc.freeze()  # the program ends: nobody needs to look for what could be freed of a large grid
    _show(result, fields_of(result), as_json=as_json)


def _play_ledger(seed: int, seeds: int, witnesses: int | None, *, as_json: bool) -> None:
    if witnesses is not None and witnesses > WITNESSES_MAX:
        raise click.UsageError(f"{LEDGER} takes 1 to {WITNESSES_MAX} nodes: its witnesses")
    title = f"{LEDGER}, {seeds} seeds from {seed}"
    with errors_shown(), _progress(title, is_shown=not as_json) as tell:
        result = simulate_ledger(seed, seeds=seeds, witness_count=witnesses, tell=tell)
    _show(result, fields_of_ledger(result), as_json=as_json)


def _show(result: Result | LedgerResult, fields: dict[str, str], *, as_json: bool) -> None:
    """Tell what was seen; ends with status 1 when a rule did not hold."""
    if as_json:
        print_json(result.to_json())
    else:
        print_fields(fields)
    for one in result.violations:
        click.echo(f"violated: {one.rule} (seed {one.seed}, at {one.seconds:.1f} s)", err=True)
    if result.violations:
        raise click.exceptions.Exit(1)


def fields_of(result: Result) -> dict[str, str]:
    """What people read of a result."""
    p50, p99, worst = result.reach_seconds
    changes = result.changes_per_hour
    measured = {
        "converge": f"p50 {p50:.2f} s, p99 {p99:.2f} s, max {worst:.2f} s",
        "copies": f"{result.copies:.2f} of each record at each node",
    }
    return {
        "scenario": f"{result.scenario}, {result.nodes} nodes, {result.minutes:g} min of changes, "
        f"seed {result.seed}",
        "model": _MODELS[result.model],
        "load": f"{changes:g} change{'s' * (changes != 1)} an hour of each node, "
        "announced every 6 h",
        "records": result.nothing_happened or f"{result.records}; {_deliveries(result)}",
        **({} if result.nothing_happened else measured),
        "bandwidth": f"{1000 * result.gossip_mbit:.3g} kbit/s a node by gossip, "
        f"{1000 * result.reconcile_mbit:.3g} by reconciliation",
        "lost": f"{result.records_lost} records",
        "roots": result.agreement,
        "rules": verdict_of(result.violations),
        "cost": f"{result.wall_seconds:.1f} s, {result.cpu_seconds:.1f} s of CPU, "
        f"{format_bytes(result.memory_bytes)}",
        "digest": result.digest,
    }


def _deliveries(result: Result) -> str:
    """How many there were, and why not all: most that are missing are no loss."""
    share = f"{result.reached_permille / 10:.1f} % of deliveries made"
    if result.reached_permille == 1000:
        return share
    lost = ", or it is lost" if result.records_lost else ""
    return f"{share}; else a newer record came first, or the node was off{lost}"


_MODELS = {
    "cores": "cores, the program's own",
    "arrays": "arrays, which follow the rules of the cores",
}


@contextmanager
def _progress(title: str, *, is_shown: bool) -> Iterator[Callable[[float], None]]:
    if not (is_shown and sys.stderr.isatty()):
        yield lambda _share: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(title, total=1.0)
        yield lambda share: progress.update(task, completed=share)
