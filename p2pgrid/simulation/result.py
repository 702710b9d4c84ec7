"""What a run has shown: figures, the curve of convergence, and which rule did not hold."""

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """A rule of a scenario that did not hold."""

    rule: str
    seed: int
    seconds: float
    """Since the start of the run."""


@dataclass(slots=True, kw_only=True)
class Result:
    """One run of one scenario. Seconds are simulated ones, except wall and CPU."""

    scenario: str
    nodes: int
    seed: int
    minutes: float
    """For how long records changed."""
    changes_per_hour: float
    """Of each node, on average, during that time."""
    model: str
    """`cores`: the program's own; `arrays`: many nodes at once by the same rules."""
    records: int
    """Published while measured."""
    reach_seconds: tuple[float, float, float]
    """Until a record was at a node: of half, of 99 %, of all deliveries."""
    reached_permille: int
    """Deliveries, of all that there should be."""
    copies: float
    """How often a node is sent each record by gossip, on average."""
    gossip_mbit: float
    """Sent by a node on average, for each second of changes, all overhead included."""
    reconcile_mbit: float
    records_lost: int
    roots_equal_seconds: float | None
    """After the last change or the healing; None: not within the time watched."""
    attacks_go_on: bool = False
    """Whether attackers publish to the end: what honest nodes hold then never rests."""
    digest: str
    """Of every event; the same for the same seed."""
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    """Of the process, at its highest."""
    violations: tuple[Violation, ...] = ()
    curve: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """(seconds after publication, share of deliveries made), ascending."""
    series: tuple[tuple[float, float], ...] = field(default=(), repr=False)
    """(seconds, share of nodes with the commonest root), where a scenario watches it."""

    @property
    def agreement(self) -> str:
        """When all honest nodes held the same, for people."""
        if self.roots_equal_seconds is not None:
            return f"all equal after {self.roots_equal_seconds:.0f} s"
        if self.attacks_go_on:
            return "never all equal, as attackers publish to the end"
        return "never all equal"

    @property
    def nothing_happened(self) -> str:
        """What to say of a run without records; empty when there were some."""
        if self.records:
            return ""
        return f"no record was made in {self.minutes:g} min: take more nodes, minutes or changes"

    def to_json(self) -> dict[str, Any]:
        """Everything but the points of the curves."""
        told = asdict(self)
        del told["curve"], told["series"]
        p50, p99, worst = told.pop("reach_seconds")
        return {
            **told,
            "reach_p50_seconds": p50,
            "reach_p99_seconds": p99,
            "reach_max_seconds": worst,
        }


def verdict_of(violations: Sequence[Violation]) -> str:
    """Whether all rules held, for people.

    >>> verdict_of([]), verdict_of([Violation("lost", 1, 0.0)])
    ('every rule held', '1 violated')
    """
    return f"{len(violations)} violated" if violations else "every rule held"


def percentiles(delays: Sequence[float]) -> tuple[float, float, float]:
    """Of half, of 99 % and of all; zeros for none.

    >>> percentiles([3.0, 1.0, 2.0])
    (2.0, 3.0, 3.0)
    """
    if not delays:
        return 0.0, 0.0, 0.0
    ordered = sorted(delays)
    return ordered[len(ordered) // 2], ordered[int(0.99 * len(ordered))], ordered[-1]


def curve_of(
    delays: "array[float]", wanted: int, points: int = 200
) -> tuple[tuple[float, float], ...]:
    """The share of `wanted` deliveries made within each of so many times.

    >>> curve_of(array("d", [2.0, 1.0]), 4, points=2)
    ((1.0, 0.25), (2.0, 0.5))
    """
    ordered = sorted(delays)
    steps = [max(1, round(len(ordered) * (number + 1) / points)) for number in range(points)]
    return tuple((ordered[step - 1], step / wanted) for step in steps if ordered)
