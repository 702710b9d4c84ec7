"""The containers on this machine: the half of the service that blocks.

Called from worker threads, one call at a time, so that what is made for one container can not
meet what is removed for another.
"""

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address
from pathlib import Path

from p2pgrid.errors import CannotRun
from p2pgrid.model.ids import RecordId
from p2pgrid.workload import network
from p2pgrid.workload.cgroup import read_usage
from p2pgrid.workload.container import exit_code, stop
from p2pgrid.workload.firewall import Guest
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.needs import Image
from p2pgrid.workload.progress import Stage, boot_id, load_progress, save_progress
from p2pgrid.workload.restart import restart_delay_seconds
from p2pgrid.workload.sandbox import (
    Sandbox,
    containers_found,
    make_run_directories,
    remove_container,
    remove_node,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses, and used so far."""

    cpu_ns: int
    """CPU time so far, over restarts."""
    memory_bytes: int
    """Now."""
    processes: int
    """Processes and threads now."""
    received_bytes: int
    """From the network, so far."""
    sent_bytes: int


@dataclass(slots=True)
class Machine:
    """What a node keeps on its machine."""

    node: NodeNames
    directory: Path
    """One directory per reservation: logs, disks and progress."""
    guests: dict[str, Guest] = field(default_factory=dict)
    """By tag: who has a link, or is about to get one."""

    def data(self, reservation: RecordId) -> Path:
        """The directory of a reservation."""
        return self.directory / reservation.hex()

    def container_names(self, reservation: RecordId) -> set[str]:
        """The containers of a reservation: stored before anything of them was made."""
        return {file.stem for file in self.data(reservation).glob("*.json")}

    def bring_up(self, sandbox: Sandbox, image: Image, addresses: dict[str, IPv6Address]) -> int:
        """Make a container and start it; only its disk is kept from before.

        Args:
            sandbox: the container.
            image: what it runs.
            addresses: of all containers of the reservation, by name.

        Returns:
            A descriptor of its first process.

        Raises:
            CannotRun: and parts of it may exist.
        """
        self._refuse_double(sandbox)
        tag = sandbox.names.tag
        try:
            sandbox.data.mkdir(mode=0o700, exist_ok=True)
            before = load_progress(sandbox.progress)
            save_progress(sandbox.progress, replace(before, stage=Stage.BUILDING))
            make_run_directories(self.node)
            remove_container(self.node, tag)
            network.open_bridge(self.node)
            sandbox.prepare(image, addresses)
            self.guests[tag] = Guest(sandbox.names)
            self._apply_rules()
            sandbox.connect()
        except OSError as error:
            raise CannotRun(f"{sandbox.container.name} can not be set up: {error}") from error
        return self.start(sandbox)

    def _refuse_double(self, sandbox: Sandbox) -> None:
        """Tags are short enough to be hit on purpose: the first one has it."""
        other = self.guests.get(sandbox.names.tag)
        if other is not None and other.names != sandbox.names:
            raise CannotRun("its name collides with another container's; reserve again")

    def start(self, sandbox: Sandbox) -> int:
        """Start what was made. Raises CannotRun.

        That it runs is stored first; `is_over` tells what that means if we are killed in between.
        """
        try:
            sandbox.clear_process()
            before = load_progress(sandbox.progress)
            started = replace(before, stage=Stage.STARTED, boot=boot_id(), exit_code=None)
            save_progress(sandbox.progress, started)
            return sandbox.start()
        except OSError as error:
            raise CannotRun(f"{sandbox.container.name} does not start: {error}") from error

    def adopt(self, sandbox: Sandbox) -> int | None:
        """A descriptor of the container's first process; None when it does not run."""
        process = sandbox.runtime.find(sandbox.names.tag)
        if process is not None:
            self.guests[sandbox.names.tag] = Guest(sandbox.names)
        return process

    def is_over(self, sandbox: Sandbox) -> bool:
        """Whether a container that does not run had run to its end, and is not to run again.

        A start that was only stored, or died with the machine, is one to be made again.
        """
        progress = load_progress(sandbox.progress)
        policy = sandbox.container.restart
        if restart_delay_seconds(policy, progress.exit_code, failures=0) is not None:
            return False
        if progress.stage is not Stage.STARTED:
            return progress.stage is Stage.ENDED
        state = sandbox.runtime.state(sandbox.names.tag)
        is_known = state is not None and state.status == "stopped"
        return is_known and progress.boot == boot_id()

    def store_end(self, sandbox: Sandbox, process: int | None) -> int | None:
        """Store how a container ended, and clear away its process. Returns its exit code, if known.

        Raises:
            CannotRun: processes of it are left that can not be killed.
            OSError: it could not be stored.
        """
        before = load_progress(sandbox.progress)
        code = before.exit_code if process is None else exit_code(process)
        if process is not None:
            os.close(process)
        cpu_ns = before.cpu_ns + read_usage(sandbox.names.cgroup).cpu_ns
        ended = replace(before, stage=Stage.ENDED, exit_code=code, cpu_ns=cpu_ns)
        save_progress(sandbox.progress, ended)
        sandbox.clear_process()
        return code

    def remove(self, reservation: RecordId, running: Sequence[tuple[Sandbox, int]]) -> None:
        """End the containers of a reservation, in peace if they can, and remove all of it.

        Args:
            reservation: known here or not.
            running: its running containers with the descriptors of their processes; closed.

        Raises:
            CannotRun: something hangs in the kernel.
        """
        stop([(process, sandbox.stop_signal()) for sandbox, process in running])
        for _, process in running:
            os.close(process)
        try:
            for name in sorted(self.container_names(reservation)):
                remove_container(self.node, ContainerNames(self.node, reservation, name).tag)
            gone = [tag for tag, g in self.guests.items() if g.reservation == reservation]
            for tag in gone:
                del self.guests[tag]
            if gone:
                self._apply_rules()
            if self.data(reservation).is_dir():
                shutil.rmtree(self.data(reservation))
        except OSError as error:
            raise CannotRun(f"not all of a reservation can be removed: {error}") from error

    def remove_orphans(self, keep: Sequence[Sandbox], reservations: set[RecordId]) -> None:
        """Remove whatever does not belong to these containers. Raises CannotRun, OSError."""
        for tag in containers_found(self.node) - {sandbox.names.tag for sandbox in keep}:
            log.info("removing container %s, of which no reservation is known", tag)
            remove_container(self.node, tag)
        known = {reservation.hex() for reservation in reservations}
        for path in self.directory.iterdir():
            if path.is_dir() and path.name not in known:
                shutil.rmtree(path)

    def restore_network(self) -> None:
        """Bridge and rules for the containers that were adopted. Raises CannotRun, OSError."""
        network.open_bridge(self.node)
        self._apply_rules()

    def remove_if_empty(self) -> None:
        """Remove what all containers share, unless there is a trace of any."""
        if not containers_found(self.node):
            remove_node(self.node)

    def usage(self, reservation: RecordId, name: str) -> Usage:
        """What a container uses; zeros for one that does not run."""
        names = ContainerNames(self.node, reservation, name)
        now = read_usage(names.cgroup)
        received_bytes, sent_bytes = network.network_bytes(names.link)
        earlier = load_progress(self.data(reservation) / f"{name}.json")
        return Usage(
            cpu_ns=earlier.cpu_ns + now.cpu_ns,
            memory_bytes=now.memory_bytes,
            processes=now.processes,
            received_bytes=received_bytes,
            sent_bytes=sent_bytes,
        )

    def _apply_rules(self) -> None:
        network.apply_rules(self.node, list(self.guests.values()))
