"""A node program that is killed at any moment leaves nothing that its next start does not find."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import trio

from p2pgrid.limits import workload as limits
from p2pgrid.model.workload import RestartPolicy
from p2pgrid.workload.cgroup import kill_group
from p2pgrid.workload.names import ContainerNames
from tests.workload.conftest import RESERVATION, Machine
from tests.workload.killed_program import PAIR, SERVER
from tests.workload.test_service import page, until

pytestmark = pytest.mark.root

ROUNDS = 8
ROUND_SECONDS_MAX = 0.9
SHARED = {"bridge", "table", "run"}
"""Traces of a node program that runs, with no container."""


@contextmanager
def program(machine: Machine, mode: str) -> Iterator["subprocess.Popen[str]"]:
    """A node program in a process of its own, about to begin; killed at the end of the block."""
    node, root = machine.names.node.hex(), str(machine.images.root)
    arguments = [str(machine.directory), node, root, mode]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.workload.killed_program", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_killed_at_any_moment_nothing_is_left(machine: Machine) -> None:
    chance = random.Random(20)
    seen: set[str] = set()

    async def recover() -> list[str]:
        async with machine.open() as service:
            await service.recover({})
            return [trace for trace in machine.traces() if trace.split()[0] not in SHARED]

    for _ in range(ROUNDS):
        with program(machine, "churn") as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.0, ROUND_SECONDS_MAX))
            process.kill()
            process.wait()
            seen |= {trace.split()[0] for trace in machine.traces()}
        assert trio.run(recover) == []
        assert machine.traces() == []

    assert {"container", "mount", "link", "cgroup", "loop"} <= seen


async def test_what_runs_survives_its_node_program(machine: Machine) -> None:
    with program(machine, "keep") as process:
        assert process.stdout is not None
        assert await trio.to_thread.run_sync(process.stdout.readline) == "deployed\n"
    pids = (machine.names.directory).glob("*/bundle/pid")
    before = {path: path.read_text() for path in pids}

    async with machine.open() as service:
        failed = await service.recover({RESERVATION: [SERVER, PAIR[1]]})
        (address, _) = await service.deploy(RESERVATION, [SERVER, PAIR[1]])
        found = await trio.to_thread.run_sync(page, address)
        ended = await service.exits.receive()
        after = {path: path.read_text() for path in before}
        log = service.logs(RESERVATION, "server", 100)
        await service.tear_down(RESERVATION)

    assert failed == {}
    assert found == b"hello grid\n"
    assert (ended.name, ended.exit_code) == ("second", 3)
    assert before == after
    assert log == b"up\n"
    assert machine.traces() == []


async def test_what_is_gone_is_started_again_with_its_disk(machine: Machine) -> None:
    """As after a boot: processes, mounts and links are gone, the data is not."""
    with program(machine, "keep") as process:
        assert process.stdout is not None
        assert await trio.to_thread.run_sync(process.stdout.readline) == "deployed\n"
    machine.clean()
    for progress in machine.directory.glob("*/*.json"):
        progress.write_text(progress.read_text().replace('"boot": "', '"boot": "earlier'))

    async with machine.open() as service:
        await service.recover({RESERVATION: [SERVER, PAIR[1]]})
        log = machine.directory / RESERVATION.hex() / "server.log"
        await until(lambda: log.read_bytes() == b"up\nup\n")
        ended = await service.exits.receive()
        await service.tear_down(RESERVATION)

    assert (ended.name, ended.exit_code) == ("second", 3)
    assert machine.traces() == []


@pytest.mark.parametrize("restart", [RestartPolicy.NEVER, RestartPolicy.ALWAYS])
async def test_what_ended_unseen_is_reported_or_restarted(
    machine: Machine, restart: RestartPolicy
) -> None:
    with program(machine, "keep") as process:
        assert process.stdout is not None
        assert await trio.to_thread.run_sync(process.stdout.readline) == "deployed\n"
    names = ContainerNames(machine.names, RESERVATION, SERVER.name)
    log = machine.directory / RESERVATION.hex() / "server.log"
    assert kill_group(names.cgroup, limits.DEAD_SECONDS_MAX)

    async with machine.open() as service:
        await service.recover({RESERVATION: [replace(SERVER, restart=restart)]})
        if restart is RestartPolicy.NEVER:
            ended = await service.exits.receive()
            assert (ended.name, ended.exit_code) == ("server", None)
            assert log.read_bytes() == b"up\n"
        else:
            await until(lambda: log.read_bytes() == b"up\nup\n")
        await service.tear_down(RESERVATION)

    assert machine.traces() == []
