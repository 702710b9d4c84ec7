"""Keeps the containers of this node's reservations: deploys, watches, restarts, removes.

Blocking work is done by `Machine` in worker threads, one at a time (`_turn`). Images are fetched
outside of that, since that may take minutes.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, TypeVarTuple

import trio

from p2pgrid.errors import CannotRun, GridError, NotFound, Refused, Unsupported
from p2pgrid.limits import workload as limits
from p2pgrid.model.ids import NodeId, RecordId, short
from p2pgrid.model.workload import Container, Workload
from p2pgrid.workload.container import adopt_orphans
from p2pgrid.workload.logs import rotate, tail
from p2pgrid.workload.machine import Machine, Usage
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.needs import Images
from p2pgrid.workload.network import forwards_packets
from p2pgrid.workload.prerequisites import missing
from p2pgrid.workload.restart import restart_delay_seconds
from p2pgrid.workload.sandbox import Sandbox

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


@dataclass(frozen=True, slots=True)
class Exited:
    """A container ended and will not be started again."""

    reservation: RecordId
    name: str
    exit_code: int | None
    """None when it ended while no node program ran."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A container with a task that waits for its end."""

    sandbox: Sandbox
    process: int | None
    """Descriptor of its first process; None while it does not run."""
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
        self._images = images
        self._machine = Machine(NodeNames(node), directory)
        self._turn = trio.Lock()
        self._nursery = nursery
        self._groups: dict[RecordId, _Group] = {}
        self._missing: str | None = "the workload service is not open"
        self._exits_in, self.exits = trio.open_memory_channel[Exited](limits.EXITS_MAX)

    async def open(self) -> None:
        """Look what this machine can do; begin to watch logs."""
        machine = self._machine
        machine.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        adopt_orphans()
        self._missing = await self._blocking(missing, machine.node, machine.directory)
        if self._missing is None and not forwards_packets():
            log.info("containers reach no one outside: net.ipv6.conf.all.forwarding is 0")
        self._nursery.start_soon(self._rotate_logs)

    def missing(self) -> str | None:
        """Why this node cannot run containers, and what to do; None when it can."""
        return self._missing

    async def deploy(self, reservation: RecordId, workloads: Sequence[Workload]) -> tuple[str, ...]:
        """Make everything run that does not run yet. Repeatable.

        What ended and is not to be restarted stays as it is.

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
        """Remove every trace of a reservation; a deployment under way is given up. Repeatable.

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
        if name not in self._machine.container_names(reservation):
            raise NotFound(f"the reservation has no container {name!r} here")
        return tail(self._machine.data(reservation) / f"{name}.log", tail_bytes)

    def usage(self, reservation: RecordId) -> dict[str, Usage]:
        """What each container of a reservation uses. Raises NotFound."""
        names = self._machine.container_names(reservation)
        if not names:
            raise NotFound("the reservation has no containers here")
        return {name: self._machine.usage(reservation, name) for name in sorted(names)}

    async def recover(
        self, keep: Mapping[RecordId, Sequence[Workload]]
    ) -> dict[RecordId, GridError]:
        """After a start: watch what still runs, start what should, remove everything else.

        Returns:
            The reservations that could not be brought back, and why; nothing of them is left.
        """
        if self._missing is None:
            await self._take_over(keep)
        failed: dict[RecordId, GridError] = {}
        for reservation, workloads in keep.items():
            try:
                await self.deploy(reservation, workloads)
            except GridError as error:
                log.warning("%s does not come back: %s", short(reservation), error)
                failed[reservation] = error
        return failed

    async def close(self, *, remove_bridge: bool) -> None:
        """Containers go on running; where there are none, the bridge can go, too."""
        if remove_bridge and self._missing is None:
            await self._blocking(self._machine.remove_if_empty)

    async def _blocking(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> _T:
        """Call something that blocks, after those before it."""
        async with self._turn:
            return await trio.to_thread.run_sync(function, *arguments)

    def _sandboxes(self, reservation: RecordId, workloads: Sequence[Workload]) -> list[Sandbox]:
        sandboxes = []
        for workload in workloads:
            if not isinstance(workload, Container):
                raise Unsupported(f"{workload.name}: this node runs containers only, for now")
            names = ContainerNames(self._machine.node, reservation, workload.name)
            sandboxes.append(Sandbox(names, workload, self._machine.data(reservation)))
        return sandboxes

    async def _deploy(self, group: _Group, sandboxes: Sequence[Sandbox]) -> None:
        new = [s for s in sandboxes if s.container.name not in group.containers]
        images = [await self._images.prepare(sandbox.container.flist) for sandbox in new]
        addresses = {s.container.name: s.names.address for s in sandboxes}
        for sandbox, image in zip(new, images, strict=True):
            process = await self._blocking(self._machine.bring_up, sandbox, image, addresses)
            self._watch(group, sandbox, process)

    async def _take_over(self, keep: Mapping[RecordId, Sequence[Workload]]) -> None:
        """Watch what runs, or ended unseen, and remove orphans; the rest is left for `deploy`."""
        groups = {
            reservation: self._sandboxes(reservation, workloads)
            for reservation, workloads in keep.items()
        }
        wanted = [sandbox for sandboxes in groups.values() for sandbox in sandboxes]
        wanted += [w.sandbox for g in self._groups.values() for w in g.containers.values()]
        known = set(keep) | set(self._groups)
        await self._blocking(self._machine.remove_orphans, wanted, known)
        for reservation, sandboxes in groups.items():
            group = self._groups.setdefault(reservation, _Group())
            for sandbox in sandboxes:
                if sandbox.container.name in group.containers:
                    continue
                process = await self._blocking(self._machine.adopt, sandbox)
                if process is not None or await self._blocking(self._machine.is_over, sandbox):
                    self._watch(group, sandbox, process)
        if keep:
            await self._blocking(self._machine.restore_network)

    async def _remove(self, reservation: RecordId, group: _Group) -> None:
        for watched in group.containers.values():
            watched.scope.cancel()
            await watched.left_alone.wait()
        running = [
            (w.sandbox, w.process) for w in group.containers.values() if w.process is not None
        ]
        group.containers.clear()
        await self._blocking(self._machine.remove, reservation, running)
        if not group.lock.statistics().tasks_waiting:
            self._groups.pop(reservation, None)

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
                    code = await self._store_end(watched)
                    log.info("container %s ended: %s", sandbox.names.tag, code)
                    is_stable = trio.current_time() - began > limits.RESTART_STABLE_SECONDS
                    failures = 1 if is_stable else failures + 1
                    policy = sandbox.container.restart
                    delay_seconds = restart_delay_seconds(policy, code, failures)
                    if delay_seconds is None:
                        break
                    await trio.sleep(delay_seconds)
                    await self._start_again(watched)
                report = Exited(sandbox.names.reservation, sandbox.container.name, code)
                await self._exits_in.send(report)
        finally:
            watched.left_alone.set()

    async def _store_end(self, watched: _Watched) -> int | None:
        async with self._turn:
            process, watched.process = watched.process, None
            try:
                return await trio.to_thread.run_sync(
                    self._machine.store_end, watched.sandbox, process
                )
            except (CannotRun, OSError) as error:
                log.warning("the end of %s is not stored: %s", watched.sandbox.names.tag, error)
                return None

    async def _start_again(self, watched: _Watched) -> None:
        async with self._turn:
            try:
                watched.process = await trio.to_thread.run_sync(
                    self._machine.start, watched.sandbox
                )
            except CannotRun as error:
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
