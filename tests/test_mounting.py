"""What was mounted goes again, whoever is inside."""

from pathlib import Path

import pytest

from p2pgrid.mounting import MS_NODEV, mount, mounts_under, unmount_all
from p2pgrid.workload.mounts import bind

pytestmark = pytest.mark.root


def test_all_is_unmounted_also_what_is_in_use(tmp_path: Path) -> None:
    inner = tmp_path / "a b\\c"
    inner.mkdir()
    mount("none", inner, "tmpfs", MS_NODEV, "size=1m")
    (inner / "deeper").mkdir()
    bind(str(tmp_path), inner / "deeper")
    found = mounts_under(tmp_path)
    with (inner / "open").open("w"):
        unmount_all(tmp_path)
        unmount_all(tmp_path)

    assert found == [inner / "deeper", inner]
    assert mounts_under(tmp_path) == []
