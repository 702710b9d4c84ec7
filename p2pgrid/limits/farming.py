"""Limits of measuring a machine."""

from p2pgrid.units import GIB, MIB

SEEK_PROBES = 64
"""Random reads of a disk; their lower quartile tells a disk with heads from one without."""

SEEK_ROUNDS = 3
"""A disk that looks slow is looked at again: other programs may have kept it busy."""

SEEK_PROBE_SECONDS_MAX = 3.0
"""What the reads of one disk may take: 64 seeks of a slow disk take 1.3 s."""

SEEK_MICROSECONDS_SSD_MAX = 2000
"""A head needs 4 to 15 ms for a random place; flash 0.1 ms, behind a hypervisor 0.3 ms."""

PROBE_FILE_BYTES = 64 * MIB
"""A file to probe when the device itself cannot be read; too large to lie in one spot."""

HARDWARE_TOOL_SECONDS_MAX = 20.0
"""What lsblk may take on a machine with many or sick disks."""

SYSTEM_MEMORY_PERCENT = 10
"""Memory that a node keeps for its own programs, and at least SYSTEM_MEMORY_BYTES_MIN."""

SYSTEM_MEMORY_BYTES_MIN = 2 * GIB
"""What Zero-OS keeps as well; on small machines half of what there is."""

CACHE_DISK_PERCENT = 10
"""Share of the usable disk kept for chunks and unpacked images, within the two limits below."""

CACHE_DISK_BYTES_MIN = 5 * GIB
"""As Zero-OS starts with; on small disks a quarter of what is usable."""

CACHE_DISK_BYTES_MAX = 100 * GIB
"""More images than this share no node needs at once."""

CAPACITY_CHECK_SECONDS = 3600.0
"""How often a node measures anew what other programs have left of the disk."""

CAPACITY_DRIFT_BYTES = 1 * GIB
"""Other programs always write a little: less is not worth a new announcement."""

NODES_LISTED = 100
"""Nodes in one answer unless more are asked for."""
