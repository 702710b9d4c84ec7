"""A file is replaced as a whole, and its name is durable as well."""

import os
import stat
from pathlib import Path

import pytest

from p2pgrid.durable import replace_file, sync_directory


def test_a_file_is_replaced_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    for data in (b"first", b""):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def test_file_and_name_are_synchronised_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool]] = []
    path, really = tmp_path / "kept", os.fsync

    def fsync(descriptor: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), path.exists()))
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    replace_file(path, b"data")
    assert synced == [(False, False), (True, True)]


def test_what_the_disk_refuses_is_an_error_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(5, "refused")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="refused"):
        replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    with pytest.raises(OSError, match="refused"):
        sync_directory(tmp_path)
