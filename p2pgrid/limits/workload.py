"""Limits of running workloads."""

from p2pgrid.units import KIB, MIB

CONTAINER_PIDS_MAX = 1024
"""Processes and threads of one container: far above a web server, far below a fork bomb."""

SHARED_MEMORY_BYTES = 64 * MIB
"""`/dev/shm` of a container, as Docker gives; what is in it counts as the container's memory."""

LOG_BYTES_MAX = 4 * MIB
"""A container's log grows to this, then becomes the one older log that is kept."""

LOG_CHECK_SECONDS = 1.0
"""How often logs are measured: a container can overrun by what the disk takes in this time."""

LOG_TAIL_BYTES_MAX = 256 * KIB
"""What one request for logs may return: it must fit in a frame."""

PASSWD_BYTES_MAX = 1 * MIB
"""`/etc/passwd` or `/etc/group` of an image: thousands of users."""

STOP_SECONDS_MAX = 2.0
"""Between the stop signal and the kill. Its paid time is over; most programs end in milliseconds,
and those that ignore the signal as process 1 never would."""

TOOL_SECONDS_MAX = 60.0
"""One call of runc, nft or mkfs: they take a tenth of a second, on a starved machine a few."""

DEAD_SECONDS_MAX = 10.0
"""A killed process is gone after this, or hangs in the kernel and needs a human."""

RESTART_SECONDS_MIN = 0.5
"""Before the first restart; doubled for each further end soon after a start."""

RESTART_SECONDS_MAX = 60.0
"""Between two restarts of a container that never stays up."""

RESTART_STABLE_SECONDS = 30.0
"""A container that ran for so long was up: its next restart comes quickly again."""

EXITS_MAX = 256
"""Ends of containers queued for whoever keeps the reservations."""
