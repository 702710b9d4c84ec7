"""Figures that are readable at first sight: size, fonts, colours; written as PNG or SVG.

Drawing needs no screen. matplotlib takes half a second to import, so that is done only
when something is drawn. What strangers wrote goes through `label`.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from p2pgrid.errors import BadInput
from p2pgrid.limits.plots import LABEL_CHARACTERS_MAX

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
"""Of the palette of Okabe and Ito, which people who see few colours can tell apart."""

STATUS_COLOURS = {"up": GREEN, "standby": ORANGE, "down": RED}
"""Of nodes."""

FONT = "DejaVu Sans"
"""Comes with matplotlib, so pictures are alike everywhere. It has no letters of East Asia."""

_STYLE: Any = {
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.family": FONT,
    "svg.hashsalt": "p2pgrid",  # the same data, the same file
    "text.parse_math": False,  # a `$` in a name is a `$`
}

_WIDTH_INCHES, _HEIGHT_INCHES, _DOTS_PER_INCH = 9.0, 4.8, 130
_SUFFIXES = (".png", ".svg")


def check_picture(path: Path) -> None:
    """See that a picture can be drawn to `path`, before there is work to lose.

    Raises:
        BadInput: neither PNG nor SVG by its name, or matplotlib is not installed.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise BadInput(f"{path.name}: pictures are .png or .svg")
    try:
        import matplotlib  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise BadInput("pictures need matplotlib: pip install 'p2pgrid[plots]'") from error


def new_figure(title: str, *, columns: int = 1) -> "tuple[Figure, list[Axes]]":
    """An empty figure with so many parts beside each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), layout="constrained")
    figure.suptitle(title, fontsize=13, fontweight="bold", parse_math=False)
    parts = [figure.add_subplot(1, columns, number + 1) for number in range(columns)]
    for part in parts:
        part.spines[["top", "right"]].set_visible(False)
        part.grid(visible=True, color="#dddddd", linewidth=0.7)
        part.set_axisbelow(True)
    return figure, parts


def save_figure(figure: "Figure", path: Path) -> None:
    """Write it; the same figure gives the same file. Raises OSError."""
    kind = path.suffix.lower()[1:]
    metadata: Any = {"Date": None} if kind == "svg" else None
    figure.savefig(path, dpi=_DOTS_PER_INCH, format=kind, metadata=metadata)


@contextmanager
def drawing(path: Path, title: str, *, size_inches: tuple[float, float]) -> Iterator["Figure"]:
    """An empty figure for what strangers named; it is in the file after the block.

    Args:
        path: PNG or SVG by its name; what is there is replaced.
        title: above everything.
        size_inches: width and height.

    Raises:
        BadInput: as `check_picture`.
        OSError: the file cannot be written.
    """
    check_picture(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # boxes will do
        figure = Figure(figsize=size_inches, layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold")
        yield figure
        save_figure(figure, path)


def label(text: str) -> str:
    r"""What strangers wrote, short and on one line.

    >>> label("a\nb\x1b[2J"), len(label("x" * 1000)) <= LABEL_CHARACTERS_MAX, label("")
    ('a b [2J', True, '-')
    """
    shown = "".join(one if one.isprintable() else " " for one in text[:LABEL_CHARACTERS_MAX])
    if len(text) > LABEL_CHARACTERS_MAX:
        shown = shown[:-1] + "…"
    return shown.strip() or "-"


def horizontal_bars(axes: "Axes", title: str, rows: Sequence[tuple[str, float]]) -> None:
    """One bar a row, the first on top, with its figure beside it.

    Args:
        axes: where to draw.
        title: what the bars are.
        rows: names, harmless already, and values.
    """
    axes.set_title(title)
    places = range(len(rows))
    axes.barh(places, [value for _, value in rows], color=BLUE, height=0.7)
    axes.set_yticks(places, [name for name, _ in rows])
    axes.invert_yaxis()
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    most = max((value for _, value in rows), default=0)
    axes.set_xlim(0, most * 1.25 or 1)
    for place, (_, value) in enumerate(rows):
        axes.text(value + most * 0.02, place, f"{value:,.4g}", va="center", fontsize=9)
    if not rows:
        axes.text(0.5, 0, "nothing known", ha="center", color=GREY)
