"""Keeps the containers of this node's reservations: deploys, watches, restarts, removes.

Blocking work is done in worker threads, one at a time (`_machine`), so that what is made for one
container can not meet what is removed for another. Images are fetched outside of that.
"""

import logging
import os
import shutil
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import IPv6Address
from pathlib import Path

import trio

from p2pgrid import limits
from p2pgrid.errors import CannotRun, GridError, NotFound, Refused, Unsupported
from p2pgrid.model.ids import NodeId, RecordId, short
from p2pgrid.model.workload import Container, Workload
from p2pgrid.workload import network
from p2pgrid.workload.cgroup import read_usage
from p2pgrid.workload.container import adopt_orphans, exit_code, stop
from p2pgrid.workload.firewall import Guest
from p2pgrid.workload.logs import rotate, tail
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.needs import Image, Images
from p2pgrid.workload.prerequisites import missing
from p2pgrid.workload.progress import Progress, Stage, boot_id, load_progress, save_progress
from p2pgrid.workload.restart import restart_delay_seconds
from p2pgrid.workload.sandbox import (
    Sandbox,
    containers_found,
    make_run_directories,
    remove_container,
    remove_node,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exited:
    """A container ended and will not be started again."""

    reservation: RecordId
    name: str
    exit_code: int | None
    """None when it ended while no node program ran."""


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


@dataclass(slots=True, eq=False)
class _Watched:
    """A container with a task that waits for its end."""

    sandbox: Sandbox
    process: int | None
    """Descriptor of its first process; None between two runs."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    left_alone: trio.Event = field(default_factory=trio.Event)
    """The task is over."""


@dataclass(slots=True, eq=False)
class _Group:
    """The containers of one reservation."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    deploying: trio.CancelScope = field(default_factory=trio.CancelScope)
    containers: dict[str, _Watched] = field(default_factory=dict)


class WorkloadService:
    """Runs what reservations ask for. Made by `open_workloads`."""

    def __init__(
        self, directory: Path, images: Images, node: NodeId, nursery: trio.Nursery
    ) -> None:
        self._directory = directory
        self._images = images
        self._names = NodeNames(node)
        self._nursery = nursery
        self._groups: dict[RecordId, _Group] = {}
        self._guests: dict[str, Guest] = {}
        """By tag: who has a link, or is about to get one."""
        self._machine = trio.Lock()
        self._missing: str | None = "not looked at yet"
        self._exits_in, self.exits = trio.open_memory_channel[Exited](limits.EXITS_MAX)

    # --- what others call -------------------------------------------------------------------------

    def missing(self) -> str | None:
        """Why this node cannot run containers, and what to do; None when it can."""
        return self._missing

    async def deploy(self, reservation: RecordId, workloads: Sequence[Workload]) -> tuple[str, ...]:
        """Make everything run that does not run yet. Repeatable.

        Returns:
            The IPv6 address of each workload, in order.

        Raises:
            Unsupported: this machine, or this version, does not run such workloads.
            CannotRun: it did not start; nothing of the reservation is left.
            Refused: it was torn down meanwhile.
            GridError: an image cannot be had.
        """
        if self._missing is not None:
            raise Unsupported(self._missing)
        sandboxes = self._sandboxes(reservation, workloads)
        group = self._groups.setdefault(reservation, _Group())
        async with group.lock:
            with trio.CancelScope() as group.deploying:
                try:
                    await self._deploy(group, sandboxes)
                except BaseException:
                    # Shielded: also a caller that gives up leaves nothing behind.
                    with trio.CancelScope(shield=True):
                        await self._remove(reservation, group)
                    raise
                return tuple(str(sandbox.names.address) for sandbox in sandboxes)
        raise Refused("the reservation was torn down while it was being deployed")

    async def tear_down(self, reservation: RecordId) -> None:
        """Remove every trace of a reservation. Repeatable.

        Raises:
            CannotRun: something hangs in the kernel; try again.
        """
        group = self._groups.setdefault(reservation, _Group())
        group.deploying.cancel()
        async with group.lock:
            with trio.CancelScope(shield=True):
                await self._remove(reservation, group)

    def logs(self, reservation: RecordId, name: str, tail_bytes: int) -> bytes:
        """The last bytes that a container wrote. Raises NotFound."""
        data = self._data(reservation)
        if name not in _names_in(data):
            raise NotFound(f"the reservation has no container {name!r} here")
        return tail(data / f"{name}.log", tail_bytes)

    def usage(self, reservation: RecordId) -> dict[str, Usage]:
        """What each container of a reservation uses. Raises NotFound."""
        data = self._data(reservation)
        if not data.is_dir():
            raise NotFound("the reservation has no containers here")
        return {name: self._usage(reservation, name) for name in sorted(_names_in(data))}

    async def recover(
        self, keep: Mapping[RecordId, Sequence[Workload]]
    ) -> dict[RecordId, GridError]:
        """After a start: watch what still runs, start what should, remove everything else.

        Returns:
            The reservations that could not be brought back, and why; nothing of them is left.
        """
        kept = {
            sandbox.names.tag
            for reservation, workloads in keep.items()
            for sandbox in self._sandboxes(reservation, workloads)
        }
        if os.geteuid() == 0:
            async with self._machine:
                await trio.to_thread.run_sync(self._remove_orphans, kept, set(keep))
        if keep and self._missing is None:
            await self._adopt_running(keep)
        failed: dict[RecordId, GridError] = {}
        for reservation, workloads in keep.items():
            try:
                await self.deploy(reservation, workloads)
            except GridError as error:
                log.warning("%s does not come back: %s", short(reservation), error)
                failed[reservation] = error
        return failed

    async def close(self, *, remove_bridge: bool) -> None:
        """Stop watching. Containers go on running; without any, the bridge can go, too."""
        if not remove_bridge or os.geteuid() != 0:
            return
        async with self._machine:
            await trio.to_thread.run_sync(self._remove_node_if_empty)

    # --- deploying --------------------------------------------------------------------------------

    def _data(self, reservation: RecordId) -> Path:
        return self._directory / reservation.hex()

    def _sandboxes(self, reservation: RecordId, workloads: Sequence[Workload]) -> list[Sandbox]:
        sandboxes = []
        for workload in workloads:
            if not isinstance(workload, Container):
                raise Unsupported(f"{workload.name}: this node runs containers only, for now")
            names = ContainerNames(self._names, reservation, workload.name)
            sandboxes.append(Sandbox(names, workload, self._data(reservation)))
        return sandboxes

    async def _deploy(self, group: _Group, sandboxes: Sequence[Sandbox]) -> None:
        new = [s for s in sandboxes if s.container.name not in group.containers]
        self._refuse_doubles(new)
        images = [await self._images.prepare(sandbox.container.flist) for sandbox in new]
        addresses = {s.container.name: s.names.address for s in sandboxes}
        for sandbox, image in zip(new, images, strict=True):
            async with self._machine:
                self._guests[sandbox.names.tag] = Guest(sandbox.names)
                process = await trio.to_thread.run_sync(
                    self._bring_up, sandbox, image, addresses, list(self._guests.values())
                )
                self._watch(group, sandbox, process)

    def _refuse_doubles(self, new: Sequence[Sandbox]) -> None:
        """Tags are short enough to be hit on purpose: the first one has it."""
        for sandbox in new:
            other = self._guests.get(sandbox.names.tag)
            if other is not None and other.names != sandbox.names:
                raise CannotRun("its name collides with another container's; reserve again")

    def _bring_up(
        self,
        sandbox: Sandbox,
        image: Image,
        addresses: dict[str, IPv6Address],
        guests: Sequence[Guest],
    ) -> int:
        sandbox.data.mkdir(mode=0o700, exist_ok=True)
        before = load_progress(sandbox.progress)
        save_progress(sandbox.progress, replace(before, stage=Stage.BUILDING))
        try:
            make_run_directories(self._names)
            remove_container(self._names, sandbox.names.tag)
            network.open_bridge(self._names)
            sandbox.prepare(image, addresses)
            network.apply_rules(self._names, guests)
            sandbox.connect()
            return self._start(sandbox)
        except OSError as error:
            raise CannotRun(f"{sandbox.container.name} can not be set up: {error}") from error

    def _start(self, sandbox: Sandbox) -> int:
        """Store that it runs, then run it; see `_is_over` for the time in between."""
        before = load_progress(sandbox.progress)
        sandbox.clear_process()
        save_progress(
            sandbox.progress,
            replace(before, stage=Stage.STARTED, boot=boot_id(), exit_code=None),
        )
        return sandbox.start()

    # --- watching ---------------------------------------------------------------------------------

    def _watch(self, group: _Group, sandbox: Sandbox, process: int | None) -> None:
        watched = _Watched(sandbox, process)
        group.containers[sandbox.container.name] = watched
        self._nursery.start_soon(self._look_after, watched)

    async def _look_after(self, watched: _Watched) -> None:
        """Wait for ends; start again as the restart policy says; report the last one."""
        sandbox, failures = watched.sandbox, 0
        try:
            with watched.scope:
                while True:
                    began = trio.current_time()
                    if watched.process is not None:
                        await trio.lowlevel.wait_readable(watched.process)
                    code = await self._take_exit_code(watched)
                    is_stable = trio.current_time() - began > limits.RESTART_STABLE_SECONDS
                    failures = 1 if is_stable else failures + 1
                    policy = sandbox.container.restart
                    delay_seconds = restart_delay_seconds(policy, code, failures)
                    log.info("container %s ended: %s", sandbox.names.tag, code)
                    if delay_seconds is None:
                        break
                    await trio.sleep(delay_seconds)
                    await self._start_again(watched)
                report = Exited(sandbox.names.reservation, sandbox.container.name, code)
                await self._exits_in.send(report)
        finally:
            watched.left_alone.set()

    async def _take_exit_code(self, watched: _Watched) -> int | None:
        """Store how it ended, and clear away its process."""
        process, watched.process = watched.process, None
        async with self._machine:
            try:
                return await trio.to_thread.run_sync(_store_end, watched.sandbox, process)
            except (CannotRun, OSError) as error:
                log.warning("the end of %s is not stored: %s", watched.sandbox.names.tag, error)
                return None

    async def _start_again(self, watched: _Watched) -> None:
        async with self._machine:
            try:
                watched.process = await trio.to_thread.run_sync(self._start, watched.sandbox)
            except (CannotRun, OSError) as error:
                log.warning("container %s: %s", watched.sandbox.names.tag, error)

    async def _rotate_logs(self) -> None:
        while True:
            await trio.sleep(limits.LOG_CHECK_SECONDS)
            logs = [w.sandbox.log for g in self._groups.values() for w in g.containers.values()]
            for file in logs:
                try:
                    await trio.to_thread.run_sync(rotate, file)
                except OSError as error:
                    log.warning("%s can not be rotated: %s", file, error)

    def _usage(self, reservation: RecordId, name: str) -> Usage:
        names = ContainerNames(self._names, reservation, name)
        now = read_usage(names.cgroup)
        received_bytes, sent_bytes = network.network_bytes(names.link)
        return Usage(
            cpu_ns=now.cpu_ns + load_progress(self._data(reservation) / f"{name}.json").cpu_ns,
            memory_bytes=now.memory_bytes,
            processes=now.processes,
            received_bytes=received_bytes,
            sent_bytes=sent_bytes,
        )

    # --- after a start ----------------------------------------------------------------------------

    async def _adopt_running(self, keep: Mapping[RecordId, Sequence[Workload]]) -> None:
        """Watch what runs, or ended unseen; the rest is left for `deploy`."""
        async with self._machine:
            for reservation, workloads in keep.items():
                group = self._groups.setdefault(reservation, _Group())
                for sandbox in self._sandboxes(reservation, workloads):
                    process = await trio.to_thread.run_sync(sandbox.runtime.find, sandbox.names.tag)
                    if process is not None or await trio.to_thread.run_sync(_is_over, sandbox):
                        self._guests[sandbox.names.tag] = Guest(sandbox.names)
                        self._watch(group, sandbox, process)
            await trio.to_thread.run_sync(self._restore_network, list(self._guests.values()))

    def _restore_network(self, guests: Sequence[Guest]) -> None:
        network.open_bridge(self._names)
        network.apply_rules(self._names, guests)

    def _remove_orphans(self, kept: set[str], reservations: set[RecordId]) -> None:
        for tag in containers_found(self._names) - kept:
            log.info("removing container %s, of which no reservation is known", tag)
            remove_container(self._names, tag)
        known = {reservation.hex() for reservation in reservations}
        for path in self._directory.iterdir():
            if path.is_dir() and path.name not in known:
                shutil.rmtree(path)

    # --- removing ---------------------------------------------------------------------------------

    async def _remove(self, reservation: RecordId, group: _Group) -> None:
        watched = list(group.containers.values())
        for one in watched:
            one.scope.cancel()
            await one.left_alone.wait()
        async with self._machine:
            await trio.to_thread.run_sync(self._remove_reservation, reservation, watched)
        group.containers.clear()
        if self._groups.get(reservation) is group and not group.lock.statistics().tasks_waiting:
            del self._groups[reservation]

    def _remove_reservation(self, reservation: RecordId, watched: Sequence[_Watched]) -> None:
        data = self._data(reservation)
        stop([(w.process, w.sandbox.stop_signal()) for w in watched if w.process is not None])
        for one in watched:
            _close(one)
        for name in _names_in(data):
            tag = ContainerNames(self._names, reservation, name).tag
            remove_container(self._names, tag)
        gone = [tag for tag, g in self._guests.items() if g.reservation == reservation]
        for tag in gone:
            del self._guests[tag]
        if gone:
            network.apply_rules(self._names, list(self._guests.values()))
        if data.is_dir():
            shutil.rmtree(data)

    def _remove_node_if_empty(self) -> None:
        if not containers_found(self._names) and not self._groups:
            remove_node(self._names)

    async def open(self) -> None:
        """Look what this machine can do; begin to watch logs."""
        await trio.to_thread.run_sync(partial(self._directory.mkdir, mode=0o700, exist_ok=True))
        adopt_orphans()
        self._missing = await trio.to_thread.run_sync(missing, self._names, self._directory)
        if self._missing is None and not network.forwards_packets():
            log.info("containers reach no one outside: net.ipv6.conf.all.forwarding is 0")
        self._nursery.start_soon(self._rotate_logs)


@asynccontextmanager
async def open_workloads(
    directory: Path, images: Images, node: NodeId
) -> AsyncGenerator[WorkloadService, None]:
    """Keep workloads during the block. What runs at its end goes on running.

    Args:
        directory: for logs and disks, made if need be; belongs to one node.
        images: where images come from.
        node: whose workloads they are; nodes may share a machine.
    """
    async with trio.open_nursery() as nursery:
        service = WorkloadService(directory, images, node, nursery)
        await service.open()
        try:
            yield service
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await service.close(remove_bridge=True)


def _names_in(data: Path) -> set[str]:
    """The containers of a reservation: stored before anything of them was made."""
    return {file.stem for file in data.glob("*.json")}


def _store_end(sandbox: Sandbox, process: int | None) -> int | None:
    """Returns the exit code if known."""
    before = load_progress(sandbox.progress)
    code = before.exit_code if process is None else exit_code(process)
    if process is not None:
        os.close(process)
    cpu_ns = before.cpu_ns + read_usage(sandbox.names.cgroup).cpu_ns
    save_progress(
        sandbox.progress, replace(before, stage=Stage.ENDED, exit_code=code, cpu_ns=cpu_ns)
    )
    sandbox.clear_process()
    return code


def _is_over(sandbox: Sandbox) -> bool:
    """Whether a container that does not run had run to its end, and is not to run again.

    A start that was only stored, or died with the machine, is one to be made again.
    """
    progress: Progress = load_progress(sandbox.progress)
    policy, code = sandbox.container.restart, progress.exit_code
    if restart_delay_seconds(policy, code, failures=0) is not None:
        return False
    if progress.stage is Stage.ENDED:
        return True
    state = sandbox.runtime.state(sandbox.names.tag)
    is_same_boot = progress.boot == boot_id()
    is_known = state is not None and state.status == "stopped"
    return progress.stage is Stage.STARTED and is_same_boot and is_known


def _close(watched: _Watched) -> None:
    if watched.process is not None:
        os.close(watched.process)
        watched.process = None
