"""The picture of a run: how soon records are everywhere, and when all nodes agree again."""

from pathlib import Path
from typing import TYPE_CHECKING

from p2pgrid.plots.figure import BLUE, GREEN, GREY, ORANGE, RED, new_figure, save_figure
from p2pgrid.simulation.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: Result, path: Path) -> None:
    """Draw `result` to a PNG or SVG file. Raises OSError."""
    title = f"{result.scenario}: {result.nodes} nodes, seed {result.seed}"
    if result.violations:
        title += f" — violated: {result.violations[0].rule}"
    figure, (reach, agreement) = new_figure(title, columns=2)
    _draw_reach(reach, result)
    _draw_agreement(agreement, result)
    save_figure(figure, path)


def _draw_reach(axes: "Axes", result: Result) -> None:
    axes.set_title("A changed record reaches the others")
    axes.set_xlabel("seconds after publication")
    axes.set_ylabel("deliveries made, %")
    axes.set_ylim(0, 103)
    if not result.curve:
        return
    seconds, shares = zip(*result.curve, strict=True)
    axes.plot(seconds, [100 * share for share in shares], color=BLUE, linewidth=2.2)
    p50, p99, worst = result.reach_seconds
    if worst > 20 * max(p50, 1e-9):
        axes.set_xscale("log")
    marks = (
        (p50, f"half of those made: {p50:.2f} s", GREEN),
        (p99, f"99 % of those made: {p99:.2f} s", ORANGE),
    )
    for second, label, colour in marks:
        axes.axvline(second, color=colour, linestyle="--", linewidth=1.5, label=label)
    axes.legend(loc="lower right", frameon=True)


def _draw_agreement(axes: "Axes", result: Result) -> None:
    axes.set_title("Nodes with the commonest root")
    axes.set_xlabel("seconds after the last change or fault")
    axes.set_ylabel("nodes, %")
    axes.set_ylim(0, 103)
    seconds, shares = zip(*result.series, strict=True)
    percents = [100 * share for share in shares]
    axes.set_xlim(0, 1.02 * max(1.0, *seconds))
    axes.plot(seconds, percents, color=BLUE, linewidth=2.2, marker="o", markersize=3)
    equal = result.roots_equal_seconds
    text = "never all equal" if equal is None else f"all equal after {equal:.0f} s"
    colour = RED if equal is None else GREY
    axes.annotate(text, (0.97, 0.08), xycoords="axes fraction", ha="right", color=colour)
