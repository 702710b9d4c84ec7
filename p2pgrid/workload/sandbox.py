"""One container's disk, users, network and process: made, started again, and removed.

`build` goes down the list, `remove` goes up, and either may be repeated from any point at which
it was cut short:

    data directory       log, progress, writable layer: outlives a boot
    run directory        mount points and bundle
    namespaces           pinned to files in the run directory
    root                 writable layer over the image
    link                 once the firewall knows it
    process              by runc
"""

import json
import os
import shutil
import signal
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from ipaddress import IPv6Address
from pathlib import Path

from p2pgrid.errors import CannotRun
from p2pgrid.limits import workload as limits
from p2pgrid.model.workload import Container
from p2pgrid.mounting import unmount_all
from p2pgrid.workload import network
from p2pgrid.workload.accounts import identify
from p2pgrid.workload.cgroup import (
    groups_below,
    kill_group,
    read_usage,
    remove_empty_group,
    remove_group,
)
from p2pgrid.workload.container import Runtime, signal_number
from p2pgrid.workload.logs import open_log
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.namespaces import pin_namespaces
from p2pgrid.workload.needs import Image
from p2pgrid.workload.plan import (
    STOP_SIGNAL,
    Document,
    Surroundings,
    hosts_file,
    runtime_config,
)
from p2pgrid.workload.writable import make_layer, mount_root


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where everything of one container is."""

    names: ContainerNames
    container: Container
    data: Path
    """Of the reservation."""

    @property
    def log(self) -> Path:
        """What the container writes."""
        return self.data / f"{self.container.name}.log"

    @property
    def progress(self) -> Path:
        """See `progress`."""
        return self.data / f"{self.container.name}.json"

    @property
    def layer(self) -> Path:
        """Its disk."""
        return self.data / f"{self.container.name}.ext4"

    @property
    def bundle(self) -> Path:
        """What runc is given."""
        return self.names.directory / "bundle"

    @property
    def runtime(self) -> Runtime:
        """Its node's runc."""
        return Runtime(self.names.owner.runtime_directory)

    def prepare(self, image: Image, addresses: dict[str, IPv6Address]) -> None:
        """Make everything but the process and the link. Raises CannotRun, BadImage, OSError."""
        directory = self.names.directory
        make_run_directories(self.names.owner)
        directory.mkdir(mode=0o711, exist_ok=True)
        self.bundle.mkdir(mode=0o700, exist_ok=True)
        surroundings = Surroundings(
            root=directory / "root",
            user_namespace=directory / "user",
            network_namespace=directory / "net",
            hosts_file=directory / "hosts",
            cgroup=self.names.cgroup,
            host_id_first=self.names.host_id_first,
        )
        document = self._document(image, surroundings)  # before anything costs time
        surroundings.hosts_file.write_text(hosts_file(addresses))
        surroundings.hosts_file.chmod(0o644)
        (self.bundle / "config.json").write_text(json.dumps(document))
        pin_namespaces(
            surroundings.user_namespace,
            surroundings.network_namespace,
            surroundings.host_id_first,
        )
        make_layer(self.layer, self.container.root_bytes)
        mount_root(
            lower=image.root,
            layer=self.layer,
            directory=directory,
            user_namespace=surroundings.user_namespace,
            host_id_first=surroundings.host_id_first,
        )

    def _document(self, image: Image, surroundings: Surroundings) -> Document:
        identity = identify(
            self.container.user or image.config.user,
            passwd=read_inside(image.root, "etc", "passwd"),
            group=read_inside(image.root, "etc", "group"),
        )
        return runtime_config(
            self.container, image.config, identity, surroundings, seccomp_profile()
        )

    def connect(self) -> None:
        """Give it its link. Its firewall rules must be in force. Raises CannotRun, OSError."""
        network.connect(self.names, self.names.directory / "net")

    def start(self) -> int:
        """Run it in what `prepare` made; a descriptor as of `Runtime.start`. Raises CannotRun."""
        self.clear_process()
        output = open_log(self.log, self._log_owner())
        try:
            return self.runtime.start(self.names.tag, self.bundle, output)
        finally:
            os.close(output)

    def _log_owner(self) -> int:
        document = json.loads((self.bundle / "config.json").read_text())
        return self.names.host_id_first + int(document["process"]["user"]["uid"])

    def stop_signal(self) -> int:
        """How the container wants to be asked to end."""
        try:
            document = json.loads((self.bundle / "config.json").read_text())
            return signal_number(str(document["annotations"][STOP_SIGNAL]))
        except (OSError, ValueError, KeyError, TypeError):
            return signal.SIGTERM

    def clear_process(self) -> int:
        """Remove a container that ended, and only its process. Returns the CPU time it took."""
        cpu_ns = read_usage(self.names.cgroup).cpu_ns
        remove_process(self.names.owner, self.names.tag)
        return cpu_ns


def make_run_directories(node: NodeNames) -> None:
    """Make what all containers of a node share. Others may pass through, not look."""
    node.directory.mkdir(parents=True, exist_ok=True)
    for directory in (node.directory.parent, node.directory):
        directory.chmod(0o711)
    node.runtime_directory.mkdir(mode=0o700, exist_ok=True)


def remove_process(node: NodeNames, tag: str) -> None:
    """Kill all processes of a container and make runc forget it. Raises CannotRun. Repeatable."""
    runtime = Runtime(node.runtime_directory)
    cgroup = f"{node.cgroup}/{tag}"
    if not kill_group(cgroup, limits.DEAD_SECONDS_MAX):
        raise CannotRun(f"processes in control group {cgroup} can not be killed")
    runtime.delete(tag)
    shutil.rmtree(runtime.directory / tag, ignore_errors=True)  # what even runc can not read
    remove_group(cgroup)


def remove_container(node: NodeNames, tag: str) -> None:
    """Remove everything of a container but its data. Raises CannotRun, OSError. Repeatable."""
    remove_process(node, tag)
    network.disconnect(node.link_prefix + tag)
    directory = node.directory / tag
    unmount_all(directory)
    if directory.is_dir():
        _remove_tree(directory)


def _remove_tree(directory: Path) -> None:
    """Like rmtree, but never into what is still mounted: that would be the image or the disk."""
    for name in ("image", "disk", "root"):
        with suppress(FileNotFoundError):
            (directory / name).rmdir()
    shutil.rmtree(directory)


def containers_found(node: NodeNames) -> set[str]:
    """The tags of all containers of which the machine shows any trace."""
    directories = {path.name for path in node.directory.glob("*") if path.is_dir()} - {"runc"}
    runtime = Runtime(node.runtime_directory)
    return directories | runtime.tags() | groups_below(node.cgroup) | network.links_of(node)


def remove_node(node: NodeNames) -> None:
    """Remove what is left when no container is: bridge, rules, directories. Repeatable."""
    network.close_bridge(node)
    remove_group(node.cgroup)
    for directory in (node.runtime_directory, node.directory, node.directory.parent):
        with suppress(OSError):  # another node's
            directory.rmdir()
    remove_empty_group(node.cgroup.rpartition("/")[0])


@cache
def seccomp_profile() -> Document:
    """The system calls that containers may make."""
    profile: Document = json.loads(files(__package__).joinpath("seccomp.json").read_text())
    return _without_comments(profile)


def _without_comments(profile: Document) -> Document:
    rules = profile["syscalls"]
    assert isinstance(rules, list)
    return {
        **{key: value for key, value in profile.items() if key != "comment"},
        "syscalls": [{k: v for k, v in rule.items() if k != "comment"} for rule in rules],
    }


def read_inside(root: Path, *parts: str) -> str:
    """A small text file of an image, which may be hostile: no link is followed, no pipe waited for.

    Returns:
        Its beginning, at most PASSWD_BYTES_MAX; empty when there is no such plain file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    opened = [os.open(root, flags | os.O_DIRECTORY)]
    try:
        for part in parts:
            opened.append(os.open(part, flags, dir_fd=opened[-1]))
        if not stat.S_ISREG(os.fstat(opened[-1]).st_mode):
            return ""
        return os.read(opened[-1], limits.PASSWD_BYTES_MAX).decode(errors="replace")
    except OSError:
        return ""
    finally:
        for descriptor in opened:
            os.close(descriptor)
