"""Runs are drawn as PNG or SVG by the name of the file, and a wrong name is told before the run."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput
from p2pgrid.plots.figure import check_picture
from p2pgrid.simulation.pictures import draw, figure_of
from p2pgrid.simulation.result import Violation
from p2pgrid.simulation.scenarios import simulate


@pytest.mark.parametrize(("name", "start"), [("run.png", b"\x89PNG"), ("run.SVG", b"<?xml")])
def test_a_run_is_drawn(tmp_path: Path, name: str, start: bytes) -> None:
    result = simulate("partition-heal", nodes=16, seed=1, minutes=10.0, changes_per_hour=4.0)

    draw(result, tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(start)
    assert len((tmp_path / name).read_bytes()) > 10_000


def test_a_run_of_nothing_and_a_violation_are_drawn(tmp_path: Path) -> None:
    result = simulate("converge", nodes=16, seed=1, minutes=1.0, changes_per_hour=4.0)
    broken = replace(
        result,
        curve=(),
        series=((0.0, 0.5), (1.0, 0.9)),
        violations=(Violation("a $rule$ of x_1", 1, 2.0),),
        roots_equal_seconds=None,
    )

    draw(broken, tmp_path / "run.svg")

    drawn = (tmp_path / "run.svg").read_text()
    assert "never all equal" in drawn
    assert "no delivery was made" in drawn


@pytest.mark.parametrize(("series", "panels"), [(((0.0, 1.0),), 1), (((0.0, 0.5), (1.0, 1.0)), 2)])
def test_agreement_is_drawn_only_where_it_had_to_come(
    tmp_path: Path, series: tuple[tuple[float, float], ...], panels: int
) -> None:
    result = simulate("converge", nodes=16, seed=1, minutes=3.0, changes_per_hour=4.0)

    draw(replace(result, series=series), tmp_path / "run.svg")

    assert (tmp_path / "run.svg").read_text().count('<g id="axes_') == panels


def test_a_run_without_records_is_drawn_as_such(tmp_path: Path) -> None:
    result = simulate("converge", nodes=8, seed=1, model="arrays")

    draw(result, tmp_path / "run.svg")

    assert "no record was made in 0.5 min" in (tmp_path / "run.svg").read_text()


@pytest.mark.parametrize("columns", [1, 2])
def test_words_are_below_the_curves(columns: int) -> None:
    result = simulate("flood", nodes=40, seed=1, minutes=1.5, changes_per_hour=4.0)
    result = replace(result, series=result.series[: 130 * (columns - 1)])

    figure = figure_of(result)
    figure.draw_without_rendering()

    assert len(figure.axes) == columns
    for axes in figure.axes:
        legend = axes.get_legend()
        words = [*axes.texts, *([legend] if legend else [])]
        assert words
        assert all(one.get_window_extent().y1 < axes.bbox.y0 for one in words)


def test_other_formats_are_refused() -> None:
    with pytest.raises(BadInput, match=r"\.png or \.svg"):
        check_picture(Path("run.jpg"))
