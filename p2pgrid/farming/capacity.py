"""How much of a machine is offered. One formula, here: free = total - system - reserved."""

from dataclasses import dataclass, fields

from p2pgrid.limits.farming import (
    CACHE_DISK_BYTES_MAX,
    CACHE_DISK_BYTES_MIN,
    CACHE_DISK_PERCENT,
    CAPACITY_DRIFT_BYTES,
    SYSTEM_MEMORY_BYTES_MIN,
    SYSTEM_MEMORY_PERCENT,
)
from p2pgrid.model.capacity import Capacity


@dataclass(frozen=True, slots=True)
class DataDisk:
    """The file system that the data directory is on: all that is offered of disks lies there."""

    size_bytes: int
    available_bytes: int
    """What this program may still write."""
    is_ssd: bool


def system_capacity(total: Capacity, disk: DataDisk, *, own_bytes: int = 0) -> Capacity:
    """What a node does not offer.

    Memory for its own programs; disks that the data directory is not on; what
    other programs occupy of the one it is on; room for chunks and images; and
    GPUs, as long as no workload can be given one.

    Args:
        total: what the machine has.
        disk: where the data directory is.
        own_bytes: what the data directory itself holds now; it counts as usable,
            so that running workloads do not make the machine shrink.
    """
    usable_bytes = disk.available_bytes + own_bytes
    offered_bytes = usable_bytes - cache_bytes(usable_bytes)
    offered = Capacity(
        ssd_bytes=offered_bytes if disk.is_ssd else 0,
        hdd_bytes=0 if disk.is_ssd else offered_bytes,
    )
    return Capacity(
        memory_bytes=system_memory_bytes(total.memory_bytes),
        ssd_bytes=max(0, total.ssd_bytes - offered.ssd_bytes),
        hdd_bytes=max(0, total.hdd_bytes - offered.hdd_bytes),
        gpus=total.gpus,
    )


def free_capacity(total: Capacity, system: Capacity, reserved: Capacity) -> Capacity:
    """What can still be reserved; nothing where more is reserved than there is."""
    return total.less(system).less(reserved)


def system_memory_bytes(total_bytes: int) -> int:
    """Memory kept for the node's own programs.

    >>> from p2pgrid.units import GIB
    >>> [system_memory_bytes(total * GIB) / GIB for total in (1, 8, 80)]
    [0.5, 2.0, 8.0]
    """
    wanted = max(total_bytes * SYSTEM_MEMORY_PERCENT // 100, SYSTEM_MEMORY_BYTES_MIN)
    return min(wanted, total_bytes // 2)


def cache_bytes(usable_bytes: int) -> int:
    """Disk kept for chunks and unpacked images.

    >>> from p2pgrid.units import GIB
    >>> [cache_bytes(usable * GIB) / GIB for usable in (8, 40, 500, 4000)]
    [2.0, 5.0, 50.0, 100.0]
    """
    wanted = max(usable_bytes * CACHE_DISK_PERCENT // 100, CACHE_DISK_BYTES_MIN)
    return min(wanted, CACHE_DISK_BYTES_MAX, usable_bytes // 4)


def share_of(capacity: Capacity, share: float) -> Capacity:
    """A part of a machine, for several nodes on one. Shares that add up to 1 never exceed it.

    Args:
        capacity: of the whole machine.
        share: more than 0, at most 1; counts in thousandths.
    """
    assert 0 < share <= 1
    permille = int(share * 1000 + 1e-9)
    return Capacity(
        **{one.name: getattr(capacity, one.name) * permille // 1000 for one in fields(capacity)}
    )


def has_drifted(said: Capacity, now: Capacity) -> bool:
    """Whether what is kept back changed so much that the grid should hear of it."""
    disk_bytes = max(abs(said.ssd_bytes - now.ssd_bytes), abs(said.hdd_bytes - now.hdd_bytes))
    others_changed = (said.millicores, said.memory_bytes, said.gpus) != (
        now.millicores,
        now.memory_bytes,
        now.gpus,
    )
    return others_changed or disk_bytes >= CAPACITY_DRIFT_BYTES
