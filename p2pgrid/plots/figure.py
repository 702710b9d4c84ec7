"""Figures that are readable at first sight: size, fonts, colours; written as PNG or SVG."""

from pathlib import Path
from typing import TYPE_CHECKING

from p2pgrid.errors import BadInput

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#666666"
"""Of the palette of Okabe and Ito, which people who see few colours can tell apart."""

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
    """Write it. Raises OSError."""
    figure.savefig(path, dpi=_DOTS_PER_INCH, format=path.suffix.lower()[1:])
