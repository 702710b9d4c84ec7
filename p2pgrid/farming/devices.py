"""Reads what the kernel and lsblk say of a machine's devices. Text in, facts out."""

import json
from dataclasses import dataclass
from typing import Any

from p2pgrid.errors import Unusable

_GPU_VENDORS = {"10de": "NVIDIA", "1002": "AMD", "8086": "Intel"}
_DISPLAY_CLASS = "0x03"
_HYPERVISORS = (  # what firmware calls a virtual machine, by part of vendor or product
    ("qemu", "qemu"),
    ("kvm", "kvm"),
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("xen", "xen"),
    ("virtual machine", "hyper-v"),
    ("amazon ec2", "amazon"),
    ("google", "google"),
    ("parallels", "parallels"),
    ("bochs", "bochs"),
)
_EFI_VARIABLE_BYTES = 5


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk that is part of the machine."""

    path: str
    size_bytes: int
    is_rotational: bool
    """What the kernel believes; virtual disks are often wrongly flagged."""


def parse_lsblk(text: str) -> tuple[Disk, ...]:
    """The disks in the output of `lsblk --json --bytes`, sorted by path.

    Left out: what is removable, on USB, empty, made of memory or files, and
    partitions. Old versions of lsblk write every value as text.

    Raises:
        Unusable: that is not its output.
    """
    try:
        entries = json.loads(text)["blockdevices"]
        disks = [
            Disk(str(entry["path"]), int(entry["size"] or 0), _is_true(entry["rota"]))
            for entry in entries
            if _is_built_in(entry)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise Unusable(f"lsblk gave something that is not a list of disks: {error!r}") from error
    return tuple(sorted(disks, key=lambda disk: disk.path))


def parse_cpu_model(cpuinfo: str) -> str:
    """The name of the CPU in `/proc/cpuinfo`; empty when it has none."""
    values = _colon_values(cpuinfo)
    names = ("model name", "Model", "Hardware", "cpu model", "uarch")
    return next((values[name] for name in names if values.get(name)), "")


def parse_boot_ms(stat: str) -> int:
    r"""When the machine started, from `/proc/stat`, in ms; 0 when it does not say.

    >>> parse_boot_ms("cpu 1 2\nbtime 1700000000\n")
    1700000000000
    """
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "btime" and value.strip().isdigit():
            return int(value) * 1000
    return 0


def parse_memory_bytes(meminfo: str) -> int:
    """The machine's memory, from `/proc/meminfo`. Raises Unusable when it does not say."""
    total = _colon_values(meminfo).get("MemTotal", "").removesuffix("kB").strip()
    if not total.isdigit():
        raise Unusable("/proc/meminfo does not say how much memory there is; is /proc mounted?")
    return int(total) * 1024


def gpu_name(slot: str, device_class: str, vendor: str, device: str) -> str | None:
    """How a PCI device is announced when it is a GPU, else None. Takes the texts of sysfs.

    >>> gpu_name("0000:28:00.0", "0x030000", "0x1002", "0x731f")
    'AMD 1002:731f at 0000:28:00.0'
    >>> gpu_name("0000:00:02.0", "0x030000", "0x1af4", "0x1050") is None  # a virtual screen
    True
    """
    vendor, device = vendor.strip().removeprefix("0x"), device.strip().removeprefix("0x")
    if not device_class.strip().startswith(_DISPLAY_CLASS) or vendor not in _GPU_VENDORS:
        return None
    return f"{_GPU_VENDORS[vendor]} {vendor}:{device} at {slot}"


def secure_boot_state(variable: bytes | None) -> bool | None:
    """Whether secure boot is on, from the EFI variable: 4 bytes of attributes, then its value."""
    if variable is None or len(variable) != _EFI_VARIABLE_BYTES:
        return None
    return variable[-1] == 1


def hypervisor_name(*, detected: str, xen_type: str, firmware: str, cpuinfo: str) -> str | None:
    """The hypervisor below, or None on bare metal.

    Args:
        detected: what `systemd-detect-virt --vm` printed; empty without it.
        xen_type: `/sys/hypervisor/type`, empty without it.
        firmware: vendor and product as the firmware states them.
        cpuinfo: `/proc/cpuinfo`; a guest's CPU says so in its flags.
    """
    if detected.strip() not in ("", "none"):
        return detected.strip()
    if xen_type.strip():
        return xen_type.strip()
    for part, name in _HYPERVISORS:
        if part in firmware.casefold():
            return name
    is_guest = "hypervisor" in _colon_values(cpuinfo).get("flags", "").split()
    return "unknown" if is_guest else None


def _is_built_in(entry: dict[str, Any]) -> bool:
    is_usb = "usb" in str(entry.get("subsystems") or "") or entry.get("tran") == "usb"
    name = str(entry["path"]).removeprefix("/dev/")
    return (
        entry.get("type") == "disk"
        and int(entry["size"] or 0) > 0
        and not _is_true(entry.get("rm"))
        and not is_usb
        and not name.startswith(("zram", "ram", "loop", "nbd", "fd", "sr"))
    )


def _is_true(value: object) -> bool:
    return value is True or value in ("1", "true")


def _colon_values(text: str) -> dict[str, str]:
    """The first value of each name in lines of `name : value`."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.partition(":")
        values.setdefault(name.strip(), value.strip())
    return values
