"""Nodes are counted as they are, and nobody's word makes more free than there is."""

from p2pgrid.plots.census import capacity_of, counted, country_of, places_of, summary_of
from p2pgrid.units import GIB
from tests.plots.grids import CITIES, capacity, imagined, location, node


def test_places_say_where_and_how_much() -> None:
    tokyo = location(*CITIES[6])
    rows = [node(1), node(2), node(3, location=tokyo, total=capacity(96)), node(4, location=None)]

    (first, second), unknown = places_of(rows)

    assert unknown == 1
    assert (first.name, first.country, first.nodes, first.cores) == ("東京", "Japan", 1, 96)
    assert (second.name, second.nodes, second.cores) == ("Ghent", 2, 16)
    assert (second.longitude, second.latitude) == (3.7, 51.05)


def test_what_is_down_is_a_place_of_its_own() -> None:
    places, _ = places_of([node(1), node(2, status="down")])

    assert [(place.status, place.nodes) for place in places] == [("down", 1), ("up", 1)]


def test_a_wider_cell_holds_more_and_loses_none() -> None:
    rows = imagined(300)
    fine, unknown = places_of(rows)
    coarse, _ = places_of(rows, cell_degrees=10)

    assert len(coarse) < len(fine)
    for places in (fine, coarse):
        assert sum(place.nodes for place in places) == len(rows) - unknown


def test_free_capacity_is_never_more_than_there_is() -> None:
    liar = node(1, free=capacity(1000))

    assert capacity_of([liar, node(2)])[0] == ("cores", 12.0, 16.0)
    assert summary_of([liar])["free"]["millicores"] == 8000


def test_what_is_less_is_added_up() -> None:
    rows = [node(number, version=f"{number % 30}") for number in range(60)]

    shown = counted(rows, lambda one: [one["version"]], most=10)

    assert len(shown) == 10
    assert shown[-1] == ("others", 42)


def test_programs_get_every_name() -> None:
    rows = [node(number, version=f"{number}", location=None) for number in range(60)]

    summary = summary_of(rows)

    assert len(summary["by_version"]) == 60
    assert summary["by_country"] == {"not said": 60}
    assert summary["total"]["memory_bytes"] == 60 * 32 * GIB
    assert country_of(node(1)) == ["Belgium"]
