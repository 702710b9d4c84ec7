"""A machine says what it is made of; this one as well."""

from pathlib import Path

import pytest

from p2pgrid.farming.hardware import read_hardware, read_machine
from p2pgrid.model.capacity import Capacity

SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


def write(root: Path, name: str, content: bytes) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_bare_server_with_secure_boot_and_two_gpus(tmp_path: Path) -> None:
    write(tmp_path, "proc/cpuinfo", b"model name\t: AMD EPYC 7402P\nflags\t: fpu\n")
    write(tmp_path, "proc/stat", b"btime 1700000000\n")
    write(tmp_path, "sys/class/dmi/id/board_vendor", b"Supermicro\n")
    write(tmp_path, "sys/class/dmi/id/board_name", b"H11SSL\x1b[31m-i\n")
    write(tmp_path, SECURE_BOOT, b"\x06\0\0\0\1")
    for slot, vendor in (("0000:01:00.0", b"0x10de"), ("0000:02:00.0", b"0x1002")):
        for name, value in (("class", b"0x030000"), ("vendor", vendor), ("device", b"0x1234")):
            write(tmp_path, f"sys/bus/pci/devices/{slot}/{name}", value + b"\n")
    hardware, boot_ms = read_hardware(tmp_path)
    assert hardware.board == "Supermicro H11SSL [31m-i"
    assert hardware.cpu_model == "AMD EPYC 7402P"
    assert hardware.secure_boot is True
    assert hardware.virtualized is None
    assert hardware.gpus == ("NVIDIA 10de:1234 at 0000:01:00.0", "AMD 1002:1234 at 0000:02:00.0")
    assert boot_ms == 1700000000000


def test_a_machine_that_says_nothing_is_still_described(tmp_path: Path) -> None:
    hardware, boot_ms = read_hardware(tmp_path)
    assert (hardware.board, hardware.cpu_model, hardware.gpus, boot_ms) == ("", "", (), 0)
    assert hardware.secure_boot is None


def test_a_board_by_its_device_tree(tmp_path: Path) -> None:
    write(tmp_path, "proc/device-tree/model", b"Raspberry Pi 4 Model B\0")
    assert read_hardware(tmp_path)[0].board == "Raspberry Pi 4 Model B"


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_this_machine_offers_less_than_it_has(tmp_path: Path, share: float) -> None:
    machine = read_machine(tmp_path, share=share)
    assert machine.total.millicores >= 1000 * share
    assert machine.total.memory_bytes > 0
    assert machine.total.ssd_bytes + machine.total.hdd_bytes > 0
    assert machine.system.fits_in(machine.total)
    assert machine.boot_ms > 1_600_000_000_000
    offered = machine.total.less(machine.system)
    assert Capacity(millicores=500, memory_bytes=1).fits_in(offered)
