"""The map of the world with a grid's capacity on it, drawn without any network.

The land is that of Natural Earth at 1:110 million (public domain), in `land.json`.
"""

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from p2pgrid.limits.plots import PLACES_DRAWN_MAX, PLACES_NAMED_MAX
from p2pgrid.plots.census import Node, Place, places_of
from p2pgrid.plots.figure import FONT, GREY, STATUS_COLOURS, drawing, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TENTHS = 10
_SIZE_INCHES = (11.0, 5.5)
_CELL_DEGREES = 3.0
"""Nodes so close together are one bubble: many small ones would cover each other."""

_ANTIMERIDIAN = 180
_SOUTH, _NORTH = -57, 84
"""Nobody lives beyond."""

_AREA_MAX, _AREA_MIN = 650.0, 18.0
"""Of the largest and the smallest bubble, in square points."""

Point = tuple[float, float]


def draw_map(path: Path, nodes: Sequence[Node]) -> int:
    """Draw where the capacity is; give how many nodes do not say where they stand.

    Raises:
        BadInput, Unsupported, OSError: as `drawing`.
    """
    places, unknown = places_of(nodes, cell_degrees=_CELL_DEGREES)
    with drawing(path, title_of(len(nodes), unknown), size_inches=_SIZE_INCHES) as figure:
        axes = figure.add_subplot()
        _draw_land(axes)
        _draw_places(axes, places[:PLACES_DRAWN_MAX])
        if not places:
            axes.text(0, 20, "no node says where it stands", ha="center", fontsize=14, color=GREY)
    return unknown


def title_of(count: int, unknown: int) -> str:
    """What the map of so many nodes shows, when some of them do not say where they stand."""
    known = f"{count - unknown:,} of " if unknown else ""
    return f"Where {known}{count:,} nodes stand"


def land() -> Iterator[list[Point]]:
    """The rings of land and of lakes in it: points (longitude, latitude) in degrees."""
    for steps in json.loads((files(__package__) / "land.json").read_text())["rings"]:
        x = y = 0
        ring = []
        for east, north in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + east, y + north
            ring.append((x / _TENTHS, y / _TENTHS))
        yield ring
        if max(x for x, _ in ring) > _ANTIMERIDIAN:  # what is beyond it shows on the other side
            yield [(x - 2 * _ANTIMERIDIAN, y) for x, y in ring]


def areas_of(places: Sequence[Place]) -> list[float]:
    """The area of each bubble, in square points: in proportion to cores, and never invisible."""
    most = max((place.cores for place in places), default=0) or 1
    return [max(_AREA_MIN, _AREA_MAX * place.cores / most) for place in places]


def _draw_land(axes: "Axes") -> None:
    from matplotlib.collections import PolyCollection

    rings = PolyCollection(
        list(land()), facecolors="#E9E6DF", edgecolors="#BDB8AC", linewidths=0.5, zorder=1
    )
    axes.add_collection(rings)
    axes.set(xlim=(-180, 180), ylim=(_SOUTH, _NORTH), aspect="equal")
    axes.set_facecolor("#F4F8FB")
    axes.set_xticks(range(-150, 180, 30))
    axes.set_yticks(range(-60, 90, 30))
    axes.grid(color="#D9E3EA", linewidth=0.6, zorder=0)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _draw_places(axes: "Axes", places: Sequence[Place]) -> None:
    areas = areas_of(places)
    for status, colour in STATUS_COLOURS.items():
        shown = [(one, area) for one, area in zip(places, areas, strict=True)
                 if one.status == status]  # fmt: skip
        if not shown:
            continue
        nodes = sum(one.nodes for one, _ in shown)
        axes.scatter(
            [one.longitude for one, _ in shown],
            [one.latitude for one, _ in shown],
            s=[area for _, area in shown],
            c=colour, alpha=0.65, edgecolors="white", linewidths=0.6, zorder=3,
            label=f"{status} ({nodes:,})",
        )  # fmt: skip
    _name_largest(axes, places)
    if places:
        kinds = axes.legend(
            loc="upper left", bbox_to_anchor=(0, -0.02), ncols=len(STATUS_COLOURS), frameon=False,
        )  # fmt: skip
        for handle in kinds.legend_handles:
            handle.set_sizes([60])  # type: ignore[union-attr] # scatters have it
        axes.add_artist(kinds)
        _explain_sizes(axes, places[0].cores)


def _name_largest(axes: "Axes", places: Sequence[Place]) -> None:
    """Names of the largest places, each once and none over another."""
    named: list[Place] = []
    for place in places:
        is_free = all(
            abs(place.latitude - other.latitude) > 9 or abs(place.longitude - other.longitude) > 30
            for other in named
        )
        if is_free and len(named) < PLACES_NAMED_MAX:
            named.append(place)
            offset = (0, 4 + (_AREA_MAX**0.5) / 2 * (place.cores / (places[0].cores or 1)) ** 0.5)
            axes.annotate(
                label(_drawable(place)),
                (place.longitude, place.latitude),
                xytext=offset, textcoords="offset points",
                ha="center", va="bottom", fontsize=8.5, zorder=4,
            )  # fmt: skip


def _drawable(place: Place) -> str:
    """The name of a place, or its country where the font lacks the letters of the name."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(FONT))
    is_complete = all(font.get_char_index(ord(one)) for one in place.name)
    return place.name if is_complete else place.country


def _explain_sizes(axes: "Axes", most: float) -> None:
    steps = sorted({_round(most * share) for share in (1, 0.3, 0.05)} - {0}, reverse=True)
    handles = [
        axes.scatter([], [], s=max(_AREA_MIN, _AREA_MAX * step / most), c=GREY, alpha=0.65)
        for step in steps
        if most
    ]
    axes.legend(
        handles, [f"{step:,g} cores" for step in steps], loc="upper right",
        bbox_to_anchor=(1, -0.02), ncols=len(steps), frameon=False, handletextpad=1.2,
        columnspacing=2.5, borderpad=0.8,
    )  # fmt: skip


def _round(value: float) -> float:
    """To one digit, as people read sizes.

    >>> _round(347), _round(0.27)
    (300.0, 0.3)
    """
    return float(f"{value:.1g}")
