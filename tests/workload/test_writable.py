"""A writable layer of exactly one size."""

import os
from pathlib import Path

import pytest

from p2pgrid.errors import CannotRun
from p2pgrid.mounting import mounts_under, unmount_all
from p2pgrid.workload.names import HOST_ID_FIRST
from p2pgrid.workload.namespaces import pin_namespaces
from p2pgrid.workload.writable import make_layer, mount_root

pytestmark = pytest.mark.root

MIB = 1 << 20


@pytest.mark.parametrize("size_bytes", [MIB, 40 * MIB, 2**34])
def test_a_layer_has_its_size_and_takes_no_room_before_it_is_used(
    tmp_path: Path, size_bytes: int
) -> None:
    layer = tmp_path / "web.ext4"
    make_layer(layer, size_bytes)
    made = layer.stat()
    make_layer(layer, size_bytes)

    assert made.st_size == size_bytes
    assert made.st_blocks * 512 < max(size_bytes // 10, MIB)
    assert layer.stat().st_ino == made.st_ino
    assert list(tmp_path.iterdir()) == [layer]


def test_a_layer_that_was_being_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "web.unfinished").write_text("half")
    make_layer(tmp_path / "web.ext4", MIB)

    assert [path.name for path in tmp_path.iterdir()] == ["web.ext4"]


def test_the_smallest_impossible_layer_says_so(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="mkfs"):
        make_layer(tmp_path / "web.ext4", 1024)


def test_what_is_written_stays_in_the_layer(tmp_path: Path) -> None:
    lower, directory = tmp_path / "lower", tmp_path / "run"
    for path in (lower, directory):
        path.mkdir()
    lower.chmod(0o751)
    (lower / "file").write_text("image")
    found: list[tuple[str, os.stat_result]] = []
    try:
        for written in ("first", "second"):
            pin_namespaces(directory / "user", directory / "net", HOST_ID_FIRST)
            make_layer(tmp_path / "web.ext4", 8 * MIB)
            root = mount_root(
                lower=lower,
                layer=tmp_path / "web.ext4",
                directory=directory,
                user_namespace=directory / "user",
                host_id_first=HOST_ID_FIRST,
            )
            found.append(((root / "file").read_text(), root.stat()))
            (root / "file").write_text(written)
            unmount_all(directory)
    finally:
        unmount_all(directory)

    (first, _), (second, top) = found
    assert (first, second) == ("image", "first")
    assert (top.st_uid, top.st_mode & 0o7777) == (HOST_ID_FIRST, 0o751)
    assert (lower / "file").read_text() == "image"
    assert mounts_under(tmp_path) == []
