"""What the nodes of a grid are together: by place, country, version, price. Pure.

Rows are nodes as the control API lists them. What strangers write into them is
only counted here; whoever shows a name makes it harmless first.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from p2pgrid.limits.plots import BARS_MAX
from p2pgrid.model.node import (
    LATITUDE_SPAN_MICRODEGREES,
    LONGITUDE_SPAN_MICRODEGREES,
    Feature,
)
from p2pgrid.units import GIB

Node = Mapping[str, Any]

RESOURCES = (
    ("cores", "millicores", 1000), ("memory", "memory_bytes", GIB), ("ssd", "ssd_bytes", GIB),
    ("hdd", "hdd_bytes", GIB), ("gpus", "gpus", 1),
)  # fmt: skip
"""Name, field of a capacity, and how much of the field is one of what is shown."""

_FEATURES_MAX = len(Feature)

_MICRODEGREES = 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Nodes close together that have the same status."""

    name: str
    """Of the city, or else the country, of the largest node there; empty when it says neither."""
    country: str
    longitude: float
    """Degrees east of Greenwich: the middle of its nodes."""
    latitude: float
    """Degrees north of the equator."""
    status: str
    nodes: int
    cores: float


def places_of(nodes: Iterable[Node], *, cell_degrees: float = 0.1) -> tuple[list[Place], int]:
    """Where nodes stand, the largest first; and how many do not say.

    Args:
        nodes: rows of the control API.
        cell_degrees: those in one cell of a grid so wide are at one place.
    """
    found: dict[tuple[int, int, str], list[Node]] = {}
    unknown = 0
    for node in nodes:
        if node["location"] is None:
            unknown += 1
            continue
        east, north = (round(degrees / cell_degrees) for degrees in _stands_at(node))
        found.setdefault((east, north, node["status"]), []).append(node)
    places = [_place(status, there) for (_, _, status), there in found.items()]
    places.sort(key=lambda place: (-place.cores, place.longitude, place.latitude, place.status))
    return places, unknown


def _place(status: str, nodes: Sequence[Node]) -> Place:
    largest = max(nodes, key=lambda node: (node["total"]["millicores"], node["node"]))["location"]
    stands = [_stands_at(node) for node in nodes]
    return Place(
        name=largest["city"] or largest["country"],
        country=largest["country"],
        longitude=round(sum(east for east, _ in stands) / len(nodes), 2),
        latitude=round(sum(north for _, north in stands) / len(nodes), 2),
        status=status,
        nodes=len(nodes),
        cores=sum(node["total"]["millicores"] for node in nodes) / 1000,
    )


def _stands_at(node: Node) -> tuple[float, float]:
    """Longitude and latitude in degrees. Records count from the antimeridian and south pole."""
    location = node["location"]
    east = location["longitude_microdegrees"] - LONGITUDE_SPAN_MICRODEGREES // 2
    north = location["latitude_microdegrees"] - LATITUDE_SPAN_MICRODEGREES // 2
    return east / _MICRODEGREES, north / _MICRODEGREES


def capacity_of(nodes: Sequence[Node]) -> list[tuple[str, float, float]]:
    """Each resource with how much is free and how much there is, in cores, GiB and pieces.

    Free is what nodes say; it is never more than what there is.
    """
    rows = []
    for name, field, one in RESOURCES:
        total = sum(node["total"][field] for node in nodes)
        free = sum(min(node["free"][field], node["total"][field]) for node in nodes)
        rows.append((name, free / one, total / one))
    return rows


def counted(
    nodes: Iterable[Node], names: Callable[[Node], Iterable[str]], *, most: int = BARS_MAX
) -> list[tuple[str, int]]:
    """How many nodes have each name, the most first; the rest together as `others`.

    >>> counted([{"v": "b"}, {"v": "a"}, {"v": "b"}, {"v": "c"}], lambda one: [one["v"]], most=2)
    [('b', 2), ('others', 2)]
    """
    counts = Counter(name for node in nodes for name in names(node))
    ranked = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    if len(ranked) <= most:
        return ranked
    return [*ranked[: most - 1], ("others", sum(count for _, count in ranked[most - 1 :]))]


def country_of(node: Node) -> list[str]:
    """The country that a node says, as one name."""
    location = node["location"]
    return [location["country"] if location and location["country"] else "not said"]


def features_of(node: Node) -> list[str]:
    """What a node offers, as people say it."""
    return [feature.replace("_", " ") for feature in node["features"]]


def counts_of(nodes: Sequence[Node], *, most: int) -> dict[str, list[tuple[str, int]]]:
    """Nodes by status, country, feature and version, the most first."""
    return {
        "by status": counted(nodes, lambda one: [one["status"]], most=most),
        "by country": counted(nodes, country_of, most=most),
        "by feature": counted(nodes, features_of, most=most),
        "by version": counted(nodes, lambda one: [one["version"]], most=most),
    }


def summary_of(nodes: Sequence[Node]) -> dict[str, Any]:
    """All of it for programs, nothing left out; units are those of a capacity's fields."""
    counts = {
        name.replace(" ", "_"): dict(rows)
        for name, rows in counts_of(nodes, most=len(nodes) * _FEATURES_MAX + 1).items()
    }
    fields = [field for _, field, _ in RESOURCES]
    return {
        "nodes": len(nodes),
        **counts,
        "total": {field: sum(node["total"][field] for node in nodes) for field in fields},
        "free": {
            field: sum(min(node["free"][field], node["total"][field]) for node in nodes)
            for field in fields
        },
        "prices_permille": sorted(node["price_permille"] for node in nodes),
    }
