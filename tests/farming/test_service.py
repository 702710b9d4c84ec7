"""What a node offers follows the machine, without noise."""

from dataclasses import replace
from pathlib import Path

import trio
import trio.testing

from p2pgrid.errors import Unusable
from p2pgrid.farming.hardware import Machine
from p2pgrid.farming.service import FarmingService, open_machine
from p2pgrid.limits.farming import CAPACITY_CHECK_SECONDS
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.node import Hardware
from p2pgrid.units import GIB, TimestampMs

MACHINE = Machine(
    total=Capacity(millicores=4000, memory_bytes=8 * GIB, ssd_bytes=100 * GIB),
    system=Capacity(memory_bytes=2 * GIB, ssd_bytes=40 * GIB),
    hardware=Hardware(board="", cpu_model="", gpus=(), secure_boot=None, virtualized=None),
    boot_ms=TimestampMs(1000),
)


class Readings:
    """A machine that is read several times."""

    def __init__(self, *machines: Machine | None) -> None:
        self.machines = list(machines)

    def __call__(self) -> Machine:
        machine = self.machines.pop(0)
        if machine is None:
            raise Unusable("lsblk does not work here")
        return machine


async def after(*readings: Machine | None) -> Machine:
    """What the node says once all readings were taken."""
    service = FarmingService(MACHINE, Readings(*readings))
    for _ in readings:
        await service.measure()
    return service.machine


async def test_small_changes_are_kept_to_ourselves() -> None:
    near = replace(
        MACHINE, system=MACHINE.system + Capacity(ssd_bytes=1), boot_ms=TimestampMs(1001)
    )
    assert await after(near) == MACHINE


async def test_large_changes_are_taken_over_but_the_boot_time_stays() -> None:
    far = replace(
        MACHINE, system=MACHINE.system + Capacity(ssd_bytes=5 * GIB), boot_ms=TimestampMs(1001)
    )
    found = await after(far)
    assert found.system == far.system
    assert found.boot_ms == MACHINE.boot_ms


async def test_a_new_disk_shows() -> None:
    grown = replace(MACHINE, total=MACHINE.total + Capacity(hdd_bytes=GIB))
    assert (await after(grown)).total == grown.total


async def test_a_machine_that_cannot_be_read_keeps_its_figures() -> None:
    far = replace(MACHINE, system=MACHINE.system + Capacity(ssd_bytes=5 * GIB))
    assert await after(None) == MACHINE
    assert await after(None, far) == far


async def test_it_is_measured_now_and_then(autojump_clock: trio.testing.MockClock) -> None:
    measured = trio.Event()

    def read() -> Machine:
        trio.from_thread.run_sync(measured.set)
        return MACHINE

    async with trio.open_nursery() as nursery:
        nursery.start_soon(FarmingService(MACHINE, read).run)
        await measured.wait()
        nursery.cancel_scope.cancel()
    assert trio.current_time() >= CAPACITY_CHECK_SECONDS


async def test_free_is_the_one_formula() -> None:
    service = FarmingService(MACHINE, Readings())
    reserved = Capacity(millicores=1000, memory_bytes=GIB, ssd_bytes=10 * GIB)
    assert service.free(reserved) + reserved + MACHINE.system == MACHINE.total


async def test_this_machine_can_be_opened(tmp_path: Path) -> None:
    service = await open_machine(tmp_path, share=0.5)
    assert service.free(Capacity()).millicores >= 500
