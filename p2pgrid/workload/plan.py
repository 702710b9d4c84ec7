"""What runc is told about a container: from what a consumer and an image want to an OCI config.

Pure: same input, same document. The container gets what Docker gives by default and no more, and
all of it in a user namespace of its own, where even its root is nobody on the machine.
"""

from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from p2pgrid.errors import BadImage
from p2pgrid.limits import workload as limits
from p2pgrid.model.image import ImageConfig
from p2pgrid.model.workload import Container
from p2pgrid.workload.accounts import Identity
from p2pgrid.workload.names import HOST_IDS_PER_CONTAINER

Document = dict[str, object]
"""A JSON object."""

OCI_VERSION = "1.0.2"
STOP_SIGNAL = "org.opencontainers.image.stopSignal"
"""The annotation that says how the container wants to be ended."""

CPU_PERIOD_MICROSECONDS = 100_000
_CPU_SHARES_PER_CORE = 1024
_CPU_SHARES_MIN, _CPU_SHARES_MAX = 2, 262_144
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NAMESPACES = ("pid", "ipc", "uts", "mount", "cgroup")

CAPABILITIES = tuple(
    f"CAP_{name}"
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
"""Docker's default set. They count only inside the container's own user namespace."""

MASKED_PATHS = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
    "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip

READ_ONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_QUIET = ("nosuid", "noexec", "nodev")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was made for one container before runc is called."""

    root: Path
    user_namespace: Path
    network_namespace: Path
    hosts_file: Path
    cgroup: str
    host_id_first: int
    """User and group id of the machine that stand for 0 in the container."""


def runtime_config(
    container: Container,
    image: ImageConfig,
    identity: Identity,
    surroundings: Surroundings,
    seccomp: Document,
) -> Document:
    """The `config.json` of an OCI bundle.

    Raises:
        BadImage: neither the consumer nor the image says what to run.
    """
    return {
        "ociVersion": OCI_VERSION,
        "hostname": container.name,
        "process": _process(container, image, identity),
        "root": {"path": str(surroundings.root), "readonly": container.read_only},
        "mounts": _mounts(surroundings.hosts_file),
        "annotations": {STOP_SIGNAL: image.stop_signal},
        "linux": {
            "namespaces": _namespaces(surroundings),
            "uidMappings": [_id_mapping(surroundings.host_id_first)],
            "gidMappings": [_id_mapping(surroundings.host_id_first)],
            "cgroupsPath": surroundings.cgroup,
            "resources": _resources(container),
            "seccomp": seccomp,
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READ_ONLY_PATHS),
        },
    }


def command_line(container: Container, image: ImageConfig) -> list[str]:
    """What to run: what the consumer says, else what the image says. Raises BadImage if neither."""
    command = container.command or (*image.entrypoint, *image.command)
    if not command or not command[0]:
        raise BadImage("the image does not say what to run; give a command")
    return list(command)


def environment(container: Container, image: ImageConfig, home: str) -> list[str]:
    """`NAME=value` lines: the consumer's win over the image's, and those over ours."""
    variables = {"PATH": _DEFAULT_PATH, "HOME": home, "HOSTNAME": container.name}
    variables |= dict(image.env)
    variables |= dict(container.env)
    return [f"{name}={value}" for name, value in variables.items() if "\0" not in name + value]


def hosts_file(addresses: dict[str, IPv6Address]) -> str:
    """`/etc/hosts`: the containers of a reservation find each other by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{address} {name}" for name, address in addresses.items()]
    return "\n".join(lines) + "\n"


def _process(container: Container, image: ImageConfig, identity: Identity) -> Document:
    capabilities = list(CAPABILITIES)
    # As with Docker, only root starts with them; others may not even gain them.
    held = capabilities if identity.uid == 0 else []
    directory = image.working_directory
    return {
        "terminal": False,
        "user": {
            "uid": identity.uid,
            "gid": identity.gid,
            "additionalGids": list(identity.groups),
        },
        "args": command_line(container, image),
        "env": environment(container, image, identity.home),
        "cwd": directory if directory.startswith("/") else f"/{directory}",
        "capabilities": {"bounding": capabilities, "effective": held, "permitted": held},
        "noNewPrivileges": True,
        "rlimits": [
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
            _file_size_limit(container.root_bytes),
        ],
    }


def _file_size_limit(root_bytes: int) -> Document:
    """No file of the container can be larger than its disk anyway, but for one.

    Its log is on the machine's disk, and nobody rotates it while the node program is down.
    """
    size_bytes = max(root_bytes, limits.SHARED_MEMORY_BYTES)
    return {"type": "RLIMIT_FSIZE", "soft": size_bytes, "hard": size_bytes}


def _mount(destination: str, kind: str, *options: str, source: str = "") -> Document:
    return {
        "destination": destination,
        "type": kind,
        "source": source or kind,
        "options": list(options),
    }


def _mounts(hosts: Path) -> list[Document]:
    shared_bytes = f"size={limits.SHARED_MEMORY_BYTES}"
    return [
        _mount("/proc", "proc", *_QUIET),
        _mount("/dev", "tmpfs", "nosuid", "noexec", "strictatime", "mode=755", "size=1m"),
        _mount(
            "/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
            "gid=5",
        ),
        _mount("/dev/shm", "tmpfs", *_QUIET, "mode=1777", shared_bytes),  # noqa: S108 - inside
        _mount("/dev/mqueue", "mqueue", *_QUIET),
        _mount("/sys", "sysfs", *_QUIET, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", *_QUIET, "relatime", "ro"),
        _mount("/etc/hosts", "bind", "bind", "ro", *_QUIET, source=str(hosts)),
    ]  # fmt: skip


def _namespaces(surroundings: Surroundings) -> list[Document]:
    own: list[Document] = [{"type": kind} for kind in _NAMESPACES]
    return [
        *own,
        {"type": "user", "path": str(surroundings.user_namespace)},
        {"type": "network", "path": str(surroundings.network_namespace)},
    ]


def _id_mapping(host_id_first: int) -> Document:
    return {"containerID": 0, "hostID": host_id_first, "size": HOST_IDS_PER_CONTAINER}


def _resources(container: Container) -> Document:
    shares = container.millicores * _CPU_SHARES_PER_CORE // 1000
    return {
        "devices": [{"allow": False, "access": "rwm"}],  # runc adds /dev/null and its like
        # As much memory with swap as without: that is, no swap.
        "memory": {"limit": container.memory_bytes, "swap": container.memory_bytes},
        "cpu": {
            "shares": max(_CPU_SHARES_MIN, min(shares, _CPU_SHARES_MAX)),
            "quota": container.millicores * CPU_PERIOD_MICROSECONDS // 1000,
            "period": CPU_PERIOD_MICROSECONDS,
        },
        "pids": {"limit": limits.CONTAINER_PIDS_MAX},
    }
