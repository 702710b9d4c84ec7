"""Keeps what this machine offers up to date, without holding up anything else."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import trio

from p2pgrid.errors import GridError
from p2pgrid.farming.capacity import free_capacity, has_drifted
from p2pgrid.farming.hardware import Machine, read_machine
from p2pgrid.limits.farming import CAPACITY_CHECK_SECONDS
from p2pgrid.model.capacity import Capacity

log = logging.getLogger(__name__)

ReadMachine = Callable[[], Machine]


class FarmingService:
    """What this node has, and how much of it is free."""

    def __init__(self, machine: Machine, read: ReadMachine) -> None:
        self.machine = machine
        self._read = read

    def free(self, reserved: Capacity) -> Capacity:
        """What can be reserved when `reserved` is: the grid's one formula."""
        return free_capacity(self.machine.total, self.machine.system, reserved)

    async def run(self) -> None:
        """Measure anew now and then, until cancelled."""
        while True:
            await trio.sleep(CAPACITY_CHECK_SECONDS)
            await self.measure()

    async def measure(self) -> None:
        """Read the machine again; what cannot be read stays as it was."""
        try:
            machine = await trio.to_thread.run_sync(self._read)
        except GridError as error:
            log.warning("this machine cannot be measured, the old figures stay: %s", error)
            return
        self.machine = _newer(self.machine, machine)


async def open_machine(data_directory: Path, *, share: float = 1.0) -> FarmingService:
    """Read this machine, in a thread: disks are probed the first time.

    Raises:
        Unsupported: lsblk is missing.
        Unusable: /proc or lsblk say nothing that makes sense.
    """

    def read() -> Machine:
        return read_machine(data_directory, share=share)

    return FarmingService(await trio.to_thread.run_sync(read), read)


def _newer(said: Machine, now: Machine) -> Machine:
    """What to say from now on: the old where nothing that matters changed, so that it is quiet."""
    if has_drifted(said.system, now.system) or (said.total, said.hardware) != (
        now.total,
        now.hardware,
    ):
        # The kernel computes the boot time from the clock, so it wanders a little.
        return replace(now, boot_ms=said.boot_ms)
    return said
