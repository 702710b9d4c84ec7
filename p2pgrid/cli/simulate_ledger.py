"""What people read of simulated ledgers."""

from p2pgrid.simulation.ledger_run import LedgerResult
from p2pgrid.simulation.result import verdict_of
from p2pgrid.units import format_bytes


def fields_of_ledger(result: LedgerResult) -> dict[str, str]:
    """What people read of a result."""
    last = result.seed + result.seeds - 1
    seeds = f"seed {result.seed}" if result.seeds == 1 else f"seeds {result.seed} to {last}"
    counts = ", ".join(f"{runs} of {count}" for count, runs in sorted(result.witnesses.items()))
    return {
        "scenario": f"{result.scenario}, {seeds}",
        "runs": f"{counts} witnesses; (N-1)/3 of them faulty",
        "operations": f"{result.certified} certified, clients were told of {result.told}",
        "epochs": f"{result.epochs} ended",
        "faults": f"{result.crashes} power cuts, {result.hidden} certificates hidden to the end, "
        f"{result.convicted} double spenders caught",
        "rules": verdict_of(result.violations),
        "simulated": f"{result.seconds:.1f} s, {result.events} events",
        "cost": f"{result.wall_seconds:.1f} s, {result.cpu_seconds:.1f} s of CPU, "
        f"{format_bytes(result.memory_bytes)}",
        "digest": result.digest,
    }
