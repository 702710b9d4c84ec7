"""Workloads stay within what a node can take, and their names are safe in commands and paths."""

from typing import Any

import pytest
from hypothesis import given

from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId
from p2pgrid.model.workload import Container, Port, Volume
from p2pgrid.units import MIB
from tests.model.refusals import expect_refused
from tests.strategies import values

CONTAINER = Container(
    name="web",
    flist=FlistId(b"f" * 32),
    millicores=500,
    memory_bytes=64 * MIB,
    root_bytes=32 * MIB,
)
VOLUME = Volume(name="data", size_bytes=MIB)
BAD_NAMES = ["", "-", "-v", "Web", "a_b", "a/b", "..", "a" * 37, "a\n", "ä"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_none(name: str) -> None:
    expect_refused(CONTAINER, name=name)
    expect_refused(VOLUME, name=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"flist": b""},
        {"millicores": 9},
        {"millicores": 1024_001},
        {"memory_bytes": 8 * MIB - 1},
        {"root_bytes": MIB - 1},
        {"command": ("x",) * 129},
        {"command": ("a\0b",)},
        {"command": ("x" * 4097,)},
        {"env": (("A", "x"),) * 129},
        {"env": (("", "x"),)},
        {"env": (("A=B", "x"),)},
        {"env": (("A\n", "x"),)},
        {"env": (("A", "\0"),)},
        {"env": (("A", "x" * 4097),)},
        {"ports": (Port(number=1),) * 129},
        {"user": "\0"},
    ],
    ids=", ".join,
)
def test_containers_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(CONTAINER, **changes)


@pytest.mark.parametrize("number", [0, 65536, INTEGER_MAX])
def test_ports_that_are_none(number: int) -> None:
    expect_refused(Port(number=1), number=number)


def test_volumes_out_of_bounds() -> None:
    expect_refused(VOLUME, size_bytes=MIB - 1)


@given(values(Container), values(Volume))
def test_what_a_workload_needs_is_what_it_says(container: Container, volume: Volume) -> None:
    assert container.needs == Capacity(
        millicores=container.millicores,
        memory_bytes=container.memory_bytes,
        ssd_bytes=container.root_bytes,
    )
    assert (volume.needs.hdd_bytes if volume.is_hdd else volume.needs.ssd_bytes) == (
        volume.size_bytes
    )
