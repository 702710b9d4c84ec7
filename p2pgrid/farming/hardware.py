"""Reads this machine: what it has, what it is made of, and how much of it is kept back.

Blocks, for seconds when disks are slow: run it in a thread, or before anything else.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from p2pgrid.farming.capacity import share_of, system_capacity
from p2pgrid.farming.devices import (
    gpu_name,
    hypervisor_name,
    parse_boot_ms,
    parse_cpu_model,
    parse_memory_bytes,
    secure_boot_state,
)
from p2pgrid.farming.disks import directory_bytes, read_disks
from p2pgrid.limits.farming import HARDWARE_TOOL_SECONDS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import one_line
from p2pgrid.model.node import Hardware
from p2pgrid.units import TimestampMs

_GPUS_MAX = 64
_TEXT_BYTES_MAX = 128
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine, or the share of it that one node offers."""

    total: Capacity
    system: Capacity
    """What is not offered."""
    hardware: Hardware
    boot_ms: TimestampMs


def read_machine(data_directory: Path, *, share: float = 1.0) -> Machine:
    """What this machine has, and how much of it is kept back. Blocks.

    Args:
        data_directory: where a node keeps its data; need not exist yet.
        share: the part of the machine that this node offers, more than 0, at most 1.

    Raises:
        Unsupported: lsblk is missing.
        Unusable: /proc or lsblk say nothing that makes sense.
    """
    hardware, boot_ms = read_hardware(Path("/"))
    disks, data_disk = read_disks(data_directory)
    total = disks + Capacity(
        millicores=1000 * len(os.sched_getaffinity(0)),
        memory_bytes=parse_memory_bytes(_text(Path("/proc/meminfo"))),
        gpus=len(hardware.gpus),
    )
    system = system_capacity(total, data_disk, own_bytes=directory_bytes(data_directory))
    return Machine(
        total=share_of(total, share),
        system=share_of(system, share),
        hardware=hardware,
        boot_ms=boot_ms,
    )


def read_hardware(root: Path) -> tuple[Hardware, TimestampMs]:
    """What the machine is made of, and when it started, by the /proc and /sys below `root`."""
    cpuinfo = _text(root / "proc/cpuinfo")
    hardware = Hardware(
        board=one_line(_board(root), bytes_max=_TEXT_BYTES_MAX),
        cpu_model=one_line(parse_cpu_model(cpuinfo), bytes_max=_TEXT_BYTES_MAX),
        gpus=_gpus(root / "sys/bus/pci/devices"),
        secure_boot=secure_boot_state(_bytes(root / _SECURE_BOOT)),
        virtualized=_hypervisor(root, cpuinfo),
    )
    return hardware, TimestampMs(parse_boot_ms(_text(root / "proc/stat")))


def _board(root: Path) -> str:
    firmware = root / "sys/class/dmi/id"
    names = (_text(firmware / "board_vendor"), _text(firmware / "board_name"))
    return " ".join(names).strip() or _text(root / "proc/device-tree/model")


def _gpus(devices: Path) -> tuple[str, ...]:
    names = (
        gpu_name(
            device.name,
            _text(device / "class"),
            _text(device / "vendor"),
            _text(device / "device"),
        )
        for device in sorted(devices.glob("*"))
    )
    return tuple(name for name in names if name is not None)[:_GPUS_MAX]


def _hypervisor(root: Path, cpuinfo: str) -> str | None:
    firmware = root / "sys/class/dmi/id"
    name = hypervisor_name(
        detected=_detect_virt() if root == Path("/") else "",
        xen_type=_text(root / "sys/hypervisor/type"),
        firmware=f"{_text(firmware / 'sys_vendor')} {_text(firmware / 'product_name')}",
        cpuinfo=cpuinfo,
    )
    return None if name is None else one_line(name, bytes_max=_TEXT_BYTES_MAX)


def _detect_virt() -> str:
    """What systemd's detector prints; empty where it is not installed or does not answer."""
    program = shutil.which("systemd-detect-virt")
    if program is None:
        return ""
    try:
        # It exits with 1 and prints "none" on bare metal.
        done = subprocess.run(
            [program, "--vm"],
            capture_output=True,
            text=True,
            timeout=HARDWARE_TOOL_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _text(path: Path) -> str:
    """What a file of the kernel says; empty when it is not there or not for us."""
    return (_bytes(path) or b"").decode(errors="replace").rstrip("\0\n")
