"""What is missing is said with the way to get it."""

from pathlib import Path

import pytest

from p2pgrid.mounting import mounts_under
from p2pgrid.workload import prerequisites
from p2pgrid.workload.prerequisites import missing
from p2pgrid.workload.sandbox import containers_found
from tests.workload.conftest import Machine

pytestmark = pytest.mark.root


def test_nothing_is_missing_here_and_nothing_is_left(machine: Machine) -> None:
    machine.directory.mkdir()

    assert missing(machine.names, machine.directory) is None
    assert containers_found(machine.names) == set()
    assert mounts_under(machine.names.directory) == []


def test_tools_are_named_with_their_packages(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prerequisites, "PATHS", {"PATH": str(tmp_path)})
    said = missing(machine.names, machine.directory)

    assert said is not None
    assert "runc, nft, mkfs.ext4" in said
    assert "apt-get install e2fsprogs nftables runc util-linux" in said


def test_root_is_asked_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    said = missing(machine.names, machine.directory)

    assert said is not None
    assert "run the node as root" in said
    assert "still stores, gossips and votes" in said
    assert "takes no reservations" in said


def test_a_file_system_that_can_not_shift_owners_is_named(machine: Machine) -> None:
    said = missing(machine.names, Path("/proc"))

    assert said is not None
    assert "/proc can not be shifted" in said
    assert mounts_under(machine.names.directory) == []
