"""Charts of what the nodes of a grid have, cost and run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from p2pgrid.limits.plots import PRICE_BINS
from p2pgrid.plots.census import Node, capacity_of, counted, country_of, features_of
from p2pgrid.plots.figure import BLUE, GREY, STATUS_COLOURS, drawing, horizontal_bars, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES = (13.0, 7.6)


def draw_stats(path: Path, nodes: Sequence[Node]) -> None:
    """Six charts: countries, capacity, prices, status, features, versions.

    Raises:
        BadInput, Unsupported, OSError: as `drawing`.
    """
    with drawing(path, f"The grid: {len(nodes):,} nodes", size_inches=_SIZE_INCHES) as figure:
        (countries, capacity, prices), (status, features, versions) = figure.subplots(2, 3)
        _bars(countries, "Nodes by country", counted(nodes, country_of))
        _draw_capacity(capacity, nodes)
        _draw_prices(prices, [node["price_permille"] / 10 for node in nodes])
        _draw_status(status, nodes)
        _bars(features, "Nodes by feature", counted(nodes, features_of))
        _bars(versions, "Nodes by version", counted(nodes, lambda one: [one["version"]]))


def _bars(axes: "Axes", title: str, rows: Sequence[tuple[str, int]]) -> None:
    horizontal_bars(axes, title, [(label(name), float(count)) for name, count in rows])


def _draw_capacity(axes: "Axes", nodes: Sequence[Node]) -> None:
    """Parts of a whole each: cores and bytes have no common measure."""
    rows = [row for row in capacity_of(nodes) if row[2]]
    axes.set_title("Capacity")
    for place, (name, free, total) in enumerate(rows):
        used_percent = 100 * (total - free) / total
        axes.barh(place, used_percent, color=BLUE, height=0.6, label="" if place else "used")
        axes.barh(
            place, 100 - used_percent, left=used_percent, color="#CFE3EF", height=0.6,
            label="" if place else "free",
        )  # fmt: skip
        unit = "" if name in ("cores", "gpus") else " GiB"
        axes.text(
            2, place, f"{total - free:,.0f} of {total:,.0f}{unit}", va="center", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of what there is")
    if rows:
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, frameon=False)


def _draw_prices(axes: "Axes", percents: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Prices")
    axes.set_xlabel("% of the grid's prices")
    axes.set_ylabel("nodes")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    if not percents:
        return
    low, high = min(percents), max(percents)
    span = (low - 5, high + 5) if high - low < 10 else (low, high)
    axes.hist(percents, bins=PRICE_BINS, range=span, color=BLUE, edgecolor="white")
    median = sorted(percents)[len(percents) // 2]
    axes.axvline(median, color=GREY, linestyle="--", linewidth=1.2)
    axes.text(
        median, 1.0, f" median {median:g} %", transform=axes.get_xaxis_transform(),
        fontsize=9, va="top",
    )  # fmt: skip


def _draw_status(axes: "Axes", nodes: Sequence[Node]) -> None:
    counts = dict(counted(nodes, lambda one: [one["status"]]))
    rows = [(status, float(counts.get(status, 0))) for status in STATUS_COLOURS]
    horizontal_bars(axes, "Nodes by status", rows)
    for bar, (status, _) in zip(axes.patches, rows, strict=True):
        bar.set_facecolor(STATUS_COLOURS[status])
