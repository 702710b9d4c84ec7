"""A mount point is taken and given back, whatever happens between."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput, Unsupported
from p2pgrid.fuse.device import mounted
from p2pgrid.mounting import MS_NODEV, mount, mounts_under, unmount_all

pytestmark = pytest.mark.root


def test_the_point_is_free_again_also_after_an_error(tmp_path: Path) -> None:
    descriptors = []

    def fail_inside() -> None:
        with mounted(tmp_path, "test") as device:
            descriptors.append(device)
            assert mounts_under(tmp_path) == [tmp_path]
            assert not os.get_blocking(device)
            raise RuntimeError("within")

    with pytest.raises(RuntimeError, match="within"):
        fail_inside()
    (device,) = descriptors
    assert mounts_under(tmp_path) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(device)


def test_who_waits_inside_is_let_go(tmp_path: Path) -> None:
    with mounted(tmp_path, "test"):
        waiting = subprocess.Popen(["ls", tmp_path], stderr=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.2)
    assert waiting.wait(10) != 0


def test_a_place_that_is_missing_or_taken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make it first"), mounted(tmp_path / "no", "test"):
        pytest.fail("mounted nowhere")
    mount("none", tmp_path, "tmpfs", MS_NODEV, "size=1m")
    try:
        with pytest.raises(BadInput, match="mounted at"), mounted(tmp_path, "test"):
            pytest.fail("mounted twice")
    finally:
        unmount_all(tmp_path)


def test_without_root_it_says_that_root_is_needed() -> None:
    program = (
        "import os, sys; from pathlib import Path; from p2pgrid.fuse.device import mounted\n"
        "os.setresuid(65534, 65534, 65534)\n"
        "with mounted(Path('/mnt'), 'test'): pass"
    )
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", program],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert Unsupported.__name__ in done.stderr
    assert done.returncode == 1
