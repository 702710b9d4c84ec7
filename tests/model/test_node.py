"""Announcements stay within bounds, and each record names its author and its register."""

from typing import Any

import pytest
from hypothesis import given

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId, NodeId
from p2pgrid.model.node import (
    CapacityUpdate,
    Feature,
    Hardware,
    Location,
    NodeAnnouncement,
    NodeStatus,
    Reachability,
)
from p2pgrid.units import TimestampMs
from tests.model.refusals import expect_refused
from tests.strategies import values

LOCATION = Location(
    country="Belgium", city="Gent", latitude_microdegrees=1, longitude_microdegrees=2
)
HARDWARE = Hardware(board="", cpu_model="", gpus=(), secure_boot=None, virtualized=None)
ANNOUNCEMENT = NodeAnnouncement(
    node=NodeId(b"n" * 32),
    farm=FarmId(b"f" * 32),
    incarnation=1,
    sequence=0,
    time_ms=TimestampMs(5),
    status=NodeStatus.UP,
    total=Capacity(millicores=4000),
    system=Capacity(),
    location=None,
    addresses=("/ip4/192.0.2.1/tcp/4001",),
    reachability=Reachability.PUBLIC,
    overlay_address="",
    features=(Feature.CONTAINER,),
    hardware=HARDWARE,
    price_permille=1000,
    version="0.1.0",
    boot_ms=TimestampMs(1),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"node": b"n" * 31},
        {"farm": b""},
        {"addresses": ("/ip4",) * 17},
        {"addresses": ("/" * 257,)},
        {"addresses": ("/ip4\x1b[2J",)},
        {"features": (Feature.CONTAINER,) * 9},
        {"price_permille": 99},
        {"price_permille": 10_001},
        {"version": "1\n2"},
        {"overlay_address": "\u202e"},
    ],
    ids=", ".join,
)
def test_announcements_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(ANNOUNCEMENT, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"country": "x" * 129},
        {"city": "\n"},
        {"latitude_microdegrees": 180_000_001},
        {"longitude_microdegrees": 360_000_001},
    ],
    ids=", ".join,
)
def test_places_that_are_not_on_earth(changes: dict[str, Any]) -> None:
    expect_refused(LOCATION, **changes)


@pytest.mark.parametrize("changes", [{"gpus": ("g",) * 65}, {"board": "\x00"}, {"gpus": ("\r",)}])
def test_hardware_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(HARDWARE, **changes)


@given(values(NodeAnnouncement), values(CapacityUpdate))
def test_a_node_speaks_for_itself(said: NodeAnnouncement, update: CapacityUpdate) -> None:
    assert said.author == said.node
    assert update.author == update.node
    assert said.name == update.name == b""


def test_an_update_names_a_node() -> None:
    with pytest.raises(InvalidRecord):
        CapacityUpdate(
            node=NodeId(b""),
            incarnation=0,
            sequence=0,
            time_ms=TimestampMs(0),
            free=Capacity(),
            reservations=0,
        )
