"""The map holds the world, and every bubble in its proportion."""

import xml.dom.minidom
from itertools import pairwise
from pathlib import Path

import pytest

from p2pgrid.plots.census import places_of
from p2pgrid.plots.world import areas_of, draw_map, land, title_of
from tests.plots.grids import imagined, location, node


def test_land_lies_on_the_globe_and_no_coast_jumps_across_it() -> None:
    rings = list(land())

    assert len(rings) > 100
    for ring in rings:
        assert ring[0] == ring[-1]
        for (east, north), (east_next, _) in pairwise(ring):
            assert abs(east) < 380
            assert -60 < north < 84
            assert abs(east - east_next) < 30


@pytest.mark.parametrize(("longitude", "latitude", "is_land"), [
    (3.7, 51.05, True), (139.7, 35.8, True), (25.0, 0.0, True), (-30.0, 30.0, False),
    (178.0, 67.0, True), (-178.0, 67.0, True), (80.0, -20.0, False),
])  # fmt: skip
def test_land_is_where_it_is(longitude: float, latitude: float, is_land: bool) -> None:
    def crosses(ring: list[tuple[float, float]]) -> int:
        return sum(
            (a[1] > latitude) != (b[1] > latitude)
            and longitude < (b[0] - a[0]) * (latitude - a[1]) / (b[1] - a[1]) + a[0]
            for a, b in pairwise(ring)
        )

    assert sum(map(crosses, land())) % 2 == is_land


def test_bubbles_grow_with_their_cores_and_none_vanishes() -> None:
    places, _ = places_of(imagined(200), cell_degrees=3)
    areas = areas_of(places)

    assert areas == sorted(areas, reverse=True)
    assert min(areas) > 10
    half = next(i for i, one in enumerate(places) if one.cores < places[0].cores / 2)
    assert areas[half] == pytest.approx(areas[0] * places[half].cores / places[0].cores)


def test_the_title_counts_those_that_are_drawn() -> None:
    assert title_of(3, 3) == "Where 0 of 3 nodes stand"
    assert title_of(1200, 100) == "Where 1,100 of 1,200 nodes stand"
    assert title_of(3, 0) == "Where 3 nodes stand"


@pytest.mark.parametrize("count", [0, 1, 300])
def test_any_grid_can_be_drawn(tmp_path: Path, count: int) -> None:
    path = tmp_path / "map.svg"

    unknown = draw_map(path, imagined(count))

    assert unknown == places_of(imagined(count))[1]
    xml.dom.minidom.parse(str(path))


def test_hostile_names_and_nodes_without_cores_are_drawn(tmp_path: Path) -> None:
    nothing = dict.fromkeys(node(1)["total"], 0)
    rows = [
        node(1, location=location("$\\bad{", "\x1b[2J$$", 90, 180), total=nothing),
        node(2, location=location("", "", -90, -180), total=nothing, status="down"),
    ]

    assert draw_map(tmp_path / "map.png", rows) == 0
    assert (tmp_path / "map.png").stat().st_size > 1000
