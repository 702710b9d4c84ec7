"""What kernels and tools print is read right, and nothing else counts as part of the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import Unusable
from p2pgrid.farming.devices import (
    Disk,
    gpu_name,
    hypervisor_name,
    parse_boot_ms,
    parse_cpu_model,
    parse_lsblk,
    parse_memory_bytes,
    secure_boot_state,
)
from tests.farming import lsblk


def test_a_virtual_machine_has_its_one_disk() -> None:
    assert parse_lsblk(lsblk.VIRTUAL_MACHINE) == (Disk("/dev/vda", 274877906944, True),)


def test_removable_usb_optical_loop_and_network_disks_do_not_count() -> None:
    assert parse_lsblk(lsblk.SERVER) == (
        Disk("/dev/nvme0n1", 1000204886016, False),
        Disk("/dev/sda", 4000787030016, True),
        Disk("/dev/sdb", 4000787030016, True),
    )


def test_old_versions_write_text() -> None:
    assert parse_lsblk(lsblk.OLD_VERSION) == (Disk("/dev/sda", 500107862016, True),)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"blockdevices": [{}]}', '{"blockdevices": 3}', "lsblk: no disks"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        parse_lsblk(text)


def test_cpu_models_of_several_kinds_of_machine() -> None:
    assert parse_cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\nflags\t: fpu\n") == "AMD EPYC"
    assert parse_cpu_model("processor : 0\nHardware\t: BCM2835\nModel : Pi 4\n") == "Pi 4"
    assert parse_cpu_model("") == ""


def test_boot_time_and_memory() -> None:
    assert parse_boot_ms("cpu  1 2\nbtime 1795349247\nprocesses 9\n") == 1795349247000
    assert parse_boot_ms("cpu 1\nbtime soon\n") == 0
    assert parse_memory_bytes("MemTotal:       24684096 kB\nMemFree: 1 kB\n") == 24684096 * 1024
    with pytest.raises(Unusable):
        parse_memory_bytes("")


def test_only_display_devices_of_gpu_vendors_are_gpus() -> None:
    assert gpu_name("s", "0x030200\n", "0x10de\n", "0x2204\n") == "NVIDIA 10de:2204 at s"
    assert gpu_name("s", "0x020000", "0x10de", "0x2204") is None
    assert gpu_name("s", "0x030000", "0x1af4", "0x1050") is None


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, None),
        (b"", None),
        (b"\x06\0\0\0\1", True),
        (b"\x06\0\0\0\0", False),
        (b"\x06\0\0\0\2", False),
        (b"\x06\0\0\0\1\1", None),
    ],
)
def test_secure_boot_is_the_byte_after_the_attributes(
    variable: bytes | None, *, expected: bool | None
) -> None:
    assert secure_boot_state(variable) is expected


@pytest.mark.parametrize(
    ("detected", "xen", "firmware", "flags", "expected"),
    [
        ("", "", "Dell Inc. PowerEdge", "fpu vme", None),
        ("none\n", "", "Dell Inc. PowerEdge", "fpu vme", None),
        ("kvm\n", "", "", "", "kvm"),
        ("", "xen\n", "", "", "xen"),
        ("", "", "QEMU Standard PC", "", "qemu"),
        ("", "", "Microsoft Corporation Virtual Machine", "", "hyper-v"),
        ("", "", "", "fpu hypervisor lahf_lm", "unknown"),
        ("none", "", "", "fpu hypervisor", "unknown"),
    ],
)
def test_hypervisors_show_in_one_of_several_places(
    detected: str, xen: str, firmware: str, flags: str, expected: str | None
) -> None:
    name = hypervisor_name(
        detected=detected, xen_type=xen, firmware=firmware, cpuinfo=f"flags\t\t: {flags}\n"
    )
    assert name == expected


@given(st.text(max_size=200))
def test_any_text_is_read_without_surprise(text: str) -> None:
    assert isinstance(parse_cpu_model(text), str)
    assert parse_boot_ms(text) >= 0
    assert gpu_name(text, text, text, text) is None or text
