"""The picture of a run: how soon records are everywhere, and when all nodes agree again."""

from pathlib import Path
from typing import TYPE_CHECKING

from p2pgrid.plots.figure import BLUE, GREEN, GREY, ORANGE, RED, new_figure, save_figure
from p2pgrid.simulation.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(result: Result, path: Path) -> None:
    """Draw `result` to a PNG or SVG file. Raises OSError."""
    save_figure(figure_of(result), path)


def figure_of(result: Result) -> "Figure":
    """The picture of `result`: how soon records are everywhere, and agreement if it had to come."""
    title = f"{result.scenario}: {result.nodes} nodes, seed {result.seed}"
    if result.violations:
        title += f" — violated: {result.violations[0].rule}"
    is_agreement_of_note = any(share < 1.0 for _, share in result.series)
    figure, parts = new_figure(title, columns=2 if is_agreement_of_note else 1)
    _draw_reach(parts[0], result)
    if is_agreement_of_note:
        _draw_agreement(parts[1], result)
    return figure


def _draw_reach(axes: "Axes", result: Result) -> None:
    axes.set_title("A changed record reaches the others")
    axes.set_xlabel("seconds after publication")
    axes.set_ylabel("deliveries made, %")
    axes.set_ylim(0, 103)
    if not result.curve:
        text = result.nothing_happened or "no delivery was made"
        axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=GREY, wrap=True)
        axes.set_axis_off()
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
    # Below, where no curve goes.
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), frameon=False)


def _draw_agreement(axes: "Axes", result: Result) -> None:
    axes.set_title("Honest nodes with the commonest root")
    axes.set_xlabel("seconds after the last change or fault")
    axes.set_ylabel("nodes, %")
    axes.set_ylim(0, 103)
    seconds, shares = zip(*result.series, strict=True)
    percents = [100 * share for share in shares]
    axes.set_xlim(0, 1.02 * max(1.0, *seconds))
    axes.plot(seconds, percents, color=BLUE, linewidth=2.2, marker="o", markersize=3)
    is_wrong = result.roots_equal_seconds is None and not result.attacks_go_on
    # Below, where no curve goes.
    axes.text(
        0.5, -0.19, result.agreement, transform=axes.transAxes, ha="center",
        color=RED if is_wrong else GREY,
    )  # fmt: skip
