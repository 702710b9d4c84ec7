"""Disks are told apart by trying, once, and also where little can be read."""

import os
from pathlib import Path

import pytest

from p2pgrid.farming import disks
from p2pgrid.farming.devices import Disk, parse_lsblk
from p2pgrid.farming.disks import (
    SEEK_FILE,
    directory_bytes,
    disk_below,
    existing_parent,
    judge_disks,
    read_disks,
    seek_microseconds,
)
from p2pgrid.limits.farming import SEEK_ROUNDS
from p2pgrid.model.capacity import Capacity
from p2pgrid.units import MIB
from tests.farming import lsblk

SERVER = parse_lsblk(lsblk.SERVER)
NVME, HDD, _ = SERVER


class Bench:
    """Says how long each disk takes, and which were probed."""

    def __init__(self, **times_us: int) -> None:
        self.times_us = times_us
        self.probed: list[str] = []

    def __call__(self, path: Path) -> int | None:
        self.probed.append(path.name)
        return self.times_us.get(path.name)


def test_disks_count_by_their_seek_times_not_by_their_flags(tmp_path: Path) -> None:
    total, _ = judge_disks(SERVER, tmp_path, probe=Bench(nvme0n1=80, sda=8000, sdb=300))
    data_bytes = total.ssd_bytes - NVME.size_bytes - HDD.size_bytes
    assert total.hdd_bytes == HDD.size_bytes
    assert data_bytes == os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize


def test_flags_count_where_a_disk_cannot_be_probed(tmp_path: Path) -> None:
    total, _ = judge_disks(SERVER, tmp_path, probe=Bench())
    assert total.hdd_bytes == 2 * HDD.size_bytes


def test_a_busy_machine_does_not_turn_a_disk_into_a_slow_one(tmp_path: Path) -> None:
    times_us = iter([2451, 2600, 90])
    total, _ = judge_disks([HDD], tmp_path, probe=lambda _: next(times_us))
    assert total.hdd_bytes == 0


def test_a_disk_is_judged_once(tmp_path: Path) -> None:
    first, second = Bench(nvme0n1=80, sda=8000, sdb=9000), Bench()
    before = judge_disks(SERVER, tmp_path, probe=first)[0]
    after = judge_disks(SERVER, tmp_path, probe=second)[0]
    assert sorted(set(first.probed)) == ["nvme0n1", "sda", "sdb"]
    assert first.probed.count("nvme0n1") == 1
    assert first.probed.count("sda") == SEEK_ROUNDS
    assert second.probed == []
    assert before.hdd_bytes == after.hdd_bytes
    changed = Bench(sda=100)
    judge_disks([Disk(HDD.path, HDD.size_bytes + 1, True)], tmp_path, probe=changed)
    assert changed.probed == ["sda"]


@pytest.mark.parametrize("rotten", ["", "[]", '{"/dev/sda 1": "fast"}', "\0" * 100])
def test_a_rotten_file_of_seek_times_is_not_believed(tmp_path: Path, rotten: str) -> None:
    (tmp_path / SEEK_FILE).write_text(rotten)
    probe = Bench(nvme0n1=80, sda=8000, sdb=9000)
    judge_disks(SERVER, tmp_path, probe=probe)
    assert set(probe.probed) == {"nvme0n1", "sda", "sdb"}


def test_the_disk_of_the_data_is_probed_through_a_file_if_need_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "disk_below", lambda path: HDD.path)
    probed: list[Path] = []

    def probe(path: Path) -> int | None:
        probed.append(path)
        return 200 if path.parent == tmp_path else None

    total, data_disk = judge_disks([HDD], tmp_path, probe=probe)
    assert data_disk.is_ssd
    assert total == Capacity(ssd_bytes=HDD.size_bytes)
    assert probed[0] == Path(HDD.path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [SEEK_FILE]


def test_a_directory_that_does_not_exist_yet_stays_so(tmp_path: Path) -> None:
    later = tmp_path / "a" / "b"
    judge_disks(SERVER, later, probe=Bench(sda=1))
    assert existing_parent(later) == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_directories_are_measured_with_links_counted_once(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    before = directory_bytes(tmp_path)
    file = tmp_path / "deep" / "er" / "file"
    file.write_bytes(os.urandom(MIB))
    os.sync()
    (tmp_path / "again").hardlink_to(file)
    (tmp_path / "loop").symlink_to(tmp_path)
    assert MIB <= directory_bytes(tmp_path) - before <= MIB + 64 * 1024
    assert directory_bytes(tmp_path / "nowhere") == 0


def test_a_file_on_this_machine_can_be_probed_or_says_that_it_cannot(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(os.urandom(MIB))
    time_us = seek_microseconds(file)
    assert time_us is None or 0 <= time_us < 1_000_000
    empty = tmp_path / "empty"
    empty.touch()
    assert seek_microseconds(empty) is None
    assert seek_microseconds(tmp_path / "missing") is None


def test_this_machine_has_the_disk_that_its_files_are_on(tmp_path: Path) -> None:
    total, data_disk = read_disks(tmp_path)
    below = disk_below(tmp_path)
    assert below is None or below.startswith("/dev/")
    assert 0 < data_disk.available_bytes <= data_disk.size_bytes
    assert total.ssd_bytes + total.hdd_bytes >= data_disk.size_bytes
