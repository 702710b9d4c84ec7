"""Mounting and what is left of it: nothing."""

import os
from pathlib import Path

import pytest

from p2pgrid.mounting import MS_NODEV, unmount_all
from p2pgrid.workload.mounts import bind_idmapped, mount_image
from p2pgrid.workload.names import HOST_ID_FIRST
from p2pgrid.workload.namespaces import pin_namespaces
from p2pgrid.workload.writable import make_layer
from tests.workload.conftest import loops_of

pytestmark = pytest.mark.root

MIB = 1 << 20


def test_a_loop_device_frees_itself(tmp_path: Path) -> None:
    image, point = tmp_path / "disk.ext4", tmp_path / "point"
    make_layer(image, 2 * MIB)
    point.mkdir()
    try:
        mount_image(image, point, "ext4", MS_NODEV)
        while_mounted = loops_of(tmp_path)
    finally:
        unmount_all(tmp_path)
    (tmp_path / "garbage").write_bytes(bytes(MIB))
    with pytest.raises(OSError, match="mounting"):
        mount_image(tmp_path / "garbage", point, "ext4", MS_NODEV)

    assert while_mounted == [str(image)]
    assert loops_of(tmp_path) == []


def test_owners_are_shifted_and_nothing_is_changed(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_text("text")
    os.chown(source / "file", 33, 34)
    try:
        pin_namespaces(tmp_path / "user", tmp_path / "net", HOST_ID_FIRST)
        bind_idmapped(source, target, tmp_path / "user")
        shifted = (target / "file").stat()
    finally:
        unmount_all(tmp_path)
    original = (source / "file").stat()

    assert (shifted.st_uid, shifted.st_gid) == (HOST_ID_FIRST + 33, HOST_ID_FIRST + 34)
    assert (original.st_uid, original.st_gid) == (33, 34)


def test_what_can_not_be_shifted_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="opening"):
        bind_idmapped(tmp_path / "absent", tmp_path, tmp_path / "file")
