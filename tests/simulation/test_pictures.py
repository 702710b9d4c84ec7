"""Runs are drawn as PNG or SVG by the name of the file, and a wrong name is told before the run."""

from dataclasses import replace
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput
from p2pgrid.plots.figure import check_picture
from p2pgrid.simulation.pictures import draw
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
        violations=(Violation("a $rule$ of x_1", 1, 2.0),),
        roots_equal_seconds=None,
    )

    draw(broken, tmp_path / "run.svg")

    assert "never all equal" in (tmp_path / "run.svg").read_text()


def test_other_formats_are_refused() -> None:
    with pytest.raises(BadInput, match=r"\.png or \.svg"):
        check_picture(Path("run.jpg"))
