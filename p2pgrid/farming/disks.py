"""Reads this machine's disks: how large they are, and by trying, whether they have heads to move.

The kernel's rotational flag is true for many virtual disks on flash, so disks
are probed: random reads that bypass the cache. Each disk is probed once; the
times are kept in the data directory. Blocks.
"""

import json
import logging
import mmap
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from p2pgrid.errors import Unsupported, Unusable
from p2pgrid.farming.capacity import DataDisk
from p2pgrid.farming.devices import Disk, parse_lsblk
from p2pgrid.limits.farming import (
    HARDWARE_TOOL_SECONDS_MAX,
    PROBE_FILE_BYTES,
    SEEK_MICROSECONDS_SSD_MAX,
    SEEK_PROBE_SECONDS_MAX,
    SEEK_PROBES,
    SEEK_ROUNDS,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.units import MIB

log = logging.getLogger(__name__)

SEEK_FILE = "seek-times.json"
"""In the data directory: microseconds by path and size of the disk."""

_SEEK_FILE_BYTES_MAX = 1 * MIB
_BLOCK_BYTES = 4096
_LSBLK = (
    "lsblk", "--json", "--bytes", "--nodeps", "--path", "--exclude", "1,2,7,11",
    "--output", "PATH,SIZE,TYPE,SUBSYSTEMS,ROTA,RM,TRAN",
)  # fmt: skip

Probe = Callable[[Path], int | None]
"""The lower quartile of random reads in microseconds; None when the disk cannot be probed."""


def read_disks(data_directory: Path) -> tuple[Capacity, DataDisk]:
    """The disks of this machine by kind, and the one that the data directory is on.

    Raises:
        Unsupported: lsblk is missing.
        Unusable: lsblk fails, or the data directory's file system cannot be read.
    """
    return judge_disks(_list_disks(), data_directory, probe=seek_microseconds)


def judge_disks(
    disks: Sequence[Disk], data_directory: Path, *, probe: Probe
) -> tuple[Capacity, DataDisk]:
    """Which disks are SSD and which HDD, by probing where no earlier probe is remembered."""
    place = existing_parent(data_directory)
    times = _SeekTimes(data_directory, probe)
    below = disk_below(place)
    is_ssd = {
        disk.path: times.is_ssd(disk, place if disk.path == below else None) for disk in disks
    }
    times.save()
    sizes = os.statvfs(place)
    data_disk = DataDisk(
        size_bytes=sizes.f_frsize * sizes.f_blocks,
        available_bytes=sizes.f_frsize * sizes.f_bavail,
        # A file system on no disk that we see: in a container, on a network.
        is_ssd=is_ssd.get(below or "", True),
    )
    total = Capacity(
        ssd_bytes=sum(disk.size_bytes for disk in disks if is_ssd[disk.path]),
        hdd_bytes=sum(disk.size_bytes for disk in disks if not is_ssd[disk.path]),
    )
    if below not in is_ssd:
        total += Capacity(ssd_bytes=data_disk.size_bytes)
    return total, data_disk


def seek_microseconds(path: Path) -> int | None:
    """The lower quartile of random reads that bypass the cache; None when impossible here."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        times_ns = _time_reads(descriptor)
    except OSError as error:
        log.info("%s cannot be probed: %s", path, error)
        return None
    finally:
        os.close(descriptor)
    return sorted(times_ns)[len(times_ns) // 4] // 1000 if times_ns else None


def disk_below(path: Path) -> str | None:
    """The disk under the file system that `path` is on, as lsblk names it; None if unknown."""
    device = path.stat().st_dev
    if os.major(device) == 0:  # btrfs and others show a number of their own
        source = _mount_source(path)
        if source is None:
            return None
        device = source
    entry = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if not entry.exists():
        return None
    entry = entry.resolve()
    while True:
        slaves = sorted((entry / "slaves").glob("*"))
        if (entry / "partition").exists():
            entry = entry.parent
        elif slaves:  # LVM, dm-crypt, RAID: the first disk stands for all
            entry = slaves[0].resolve()
        else:
            return f"/dev/{entry.name.replace('!', '/')}"


def directory_bytes(path: Path) -> int:
    """Disk space that a directory occupies, other file systems below it left out; O(files)."""
    try:
        device = path.stat().st_dev
    except OSError:
        return 0
    total, seen, waiting = 0, set[int](), [os.fspath(path)]
    while waiting:
        try:
            entries = list(os.scandir(waiting.pop()))
        except OSError:
            continue  # it went away meanwhile
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if status.st_dev != device or status.st_ino in seen:
                continue
            if status.st_nlink > 1:
                seen.add(status.st_ino)
            total += status.st_blocks * 512
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
    return total


def existing_parent(path: Path) -> Path:
    """The nearest directory that exists: where `path` would be made."""
    path = path.absolute()
    return next((one for one in (path, *path.parents) if one.is_dir()), Path("/"))


class _SeekTimes:
    """What earlier probes found. The file is ours, but what is in it may be anything."""

    def __init__(self, directory: Path, probe: Probe) -> None:
        self._file = directory / SEEK_FILE
        self._probe = probe
        self._times = _load_times(self._file)
        self._is_changed = False

    def is_ssd(self, disk: Disk, place: Path | None) -> bool:
        """Whether a disk has no heads; `place`: a directory on it, when there is one."""
        name = f"{disk.path} {disk.size_bytes}"
        if name not in self._times:
            time_us = self._measure(disk, place)
            if time_us is None:
                return not disk.is_rotational
            self._times[name] = time_us
            self._is_changed = True
        return self._times[name] <= SEEK_MICROSECONDS_SSD_MAX

    def _measure(self, disk: Disk, place: Path | None) -> int | None:
        """The best of a few rounds: a busy machine makes a disk look slow, none makes it fast."""
        times = []
        for _ in range(SEEK_ROUNDS):
            time_us = self._probe(Path(disk.path))
            if time_us is None and place is not None:
                time_us = _probe_file(place, self._probe)
            if time_us is None:
                break
            times.append(time_us)
            if time_us <= SEEK_MICROSECONDS_SSD_MAX:
                break
        return min(times, default=None)

    def save(self) -> None:
        """Remember what is new, if the data directory exists yet."""
        if not self._is_changed or not self._file.parent.is_dir():
            return
        try:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(self._times, indent=1) + "\n")
            fresh.replace(self._file)
        except OSError as error:
            log.info("seek times cannot be kept: %s", error)


def _load_times(path: Path) -> dict[str, int]:
    try:
        if path.stat().st_size > _SEEK_FILE_BYTES_MAX:
            return {}
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: time_us for name, time_us in found.items() if type(time_us) is int}


def _probe_file(place: Path, probe: Probe) -> int | None:
    """Probe a disk through a file on it, for lack of the right to read the disk itself."""
    try:
        with tempfile.NamedTemporaryFile(dir=place, prefix=".seek-") as file:
            block = os.urandom(MIB)
            for _ in range(PROBE_FILE_BYTES // MIB):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
            return probe(Path(file.name))
    except OSError:
        return None


def _time_reads(descriptor: int) -> list[int]:
    """How long each of SEEK_PROBES random reads took, in nanoseconds."""
    blocks = os.lseek(descriptor, 0, os.SEEK_END) // _BLOCK_BYTES
    give_up_ns = time.perf_counter_ns() + int(SEEK_PROBE_SECONDS_MAX * 1e9)
    times_ns: list[int] = []
    with mmap.mmap(-1, _BLOCK_BYTES) as buffer:  # O_DIRECT wants aligned memory
        while blocks and len(times_ns) < SEEK_PROBES:
            start_ns = time.perf_counter_ns()
            if start_ns > give_up_ns:
                break
            os.preadv(descriptor, [buffer], secrets.randbelow(blocks) * _BLOCK_BYTES)
            times_ns.append(time.perf_counter_ns() - start_ns)
    return times_ns


def _list_disks() -> tuple[Disk, ...]:
    program = shutil.which(_LSBLK[0])
    if program is None:
        raise Unsupported("lsblk is missing; install it: apt-get install util-linux")
    try:
        done = subprocess.run(
            [program, *_LSBLK[1:]],
            capture_output=True,
            text=True,
            timeout=HARDWARE_TOOL_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unusable(f"lsblk does not work here: {error}") from error
    if done.returncode != 0:
        log.warning("lsblk found no disks: %s", done.stderr.strip())
        return ()
    return parse_lsblk(done.stdout)


def _mount_source(path: Path) -> int | None:
    """The device that is mounted where `path` is, by /proc/self/mountinfo."""
    best, source = "", ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount_point = left.split()[4]
        inside = os.fspath(path.resolve()).startswith(mount_point.rstrip("/") + "/")
        if (inside or os.fspath(path.resolve()) == mount_point) and len(mount_point) >= len(best):
            best, source = mount_point, right.split()[1]
    try:
        return Path(source).stat().st_rdev or None
    except OSError:
        return None
