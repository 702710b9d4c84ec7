"""Charts can be drawn of any grid, whatever its nodes say."""

import xml.dom.minidom
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.plots.charts import draw_stats
from tests.plots.grids import imagined, location, node

LIAR = node(
    1, location=location("$x^{", "\x1b", 0, 0), version="<b>$$\\frac" * 20, price_permille=10_000,
    total=dict.fromkeys(node(1)["total"], 2**63), free=dict.fromkeys(node(1)["total"], 2**63),
)  # fmt: skip


@pytest.mark.parametrize("rows", [[], [node(1)], [LIAR, node(2)], imagined(300)])
def test_any_grid_can_be_drawn(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = tmp_path / "stats.svg"

    draw_stats(path, rows)

    text = path.read_text()
    xml.dom.minidom.parseString(text)
    assert "<!-- The grid: " in text
