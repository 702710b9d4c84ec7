"""Containers run, stay within what was paid for, and can do nothing else."""

import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace

import pytest
import trio

from p2pgrid.errors import BadImage, CannotRun, NotFound, Refused, Unsupported
from p2pgrid.limits import workload as limits
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.model.workload import RestartPolicy, Volume
from p2pgrid.units import MIB
from p2pgrid.workload.needs import PreparedImage
from p2pgrid.workload.service import WorkloadService, open_workloads
from tests.workload.conftest import OTHER, RESERVATION, Machine, container

pytestmark = pytest.mark.root

PAGE_SECONDS_MAX = 2.0
POLL_SECONDS = 0.02


async def ended(service: WorkloadService) -> int | None:
    """The exit code of the next container that ends."""
    return (await service.exits.receive()).exit_code


async def run(service: WorkloadService, command: str, **changes: object) -> tuple[int | None, str]:
    """Run a container to its end: its exit code and what it wrote."""
    job = container(command, **{"name": "job", **changes})
    await service.deploy(RESERVATION, [job])
    code = await ended(service)
    written = service.logs(RESERVATION, "job", limits.LOG_TAIL_BYTES_MAX).decode()
    await service.tear_down(RESERVATION)
    return code, written


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something outside of this process; the test's time limit ends it."""
    while not holds():  # noqa: ASYNC110 - no event tells of it
        await trio.sleep(POLL_SECONDS)


def fetch(host: str) -> str:
    """A line of shell that shows a web page; busybox's own wget crashes in its static form."""
    return f"printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {host} 80"


def page(address: str, port: int = 80) -> bytes | None:
    """A web page, or None."""
    try:
        url = f"http://[{address}]:{port}/index.html"
        with urllib.request.urlopen(url, timeout=PAGE_SECONDS_MAX) as answer:
            return bytes(answer.read())
    except (urllib.error.URLError, OSError):
        return None


async def test_a_page_is_served_over_the_containers_own_address(machine: Machine) -> None:
    async with machine.open() as service:
        web = container("echo up; exec httpd -f -p 80 -h /www", user="web")
        (address,) = await service.deploy(RESERVATION, [web])
        await until(lambda: b"up\n" in service.logs(RESERVATION, "web", 100))

        found = await trio.to_thread.run_sync(page, address)
        again = await service.deploy(RESERVATION, [web])
        used = service.usage(RESERVATION)["web"]
        await service.tear_down(RESERVATION)
        await service.tear_down(RESERVATION)

        assert found == b"hello grid\n"
        assert again == (address,)
        assert used.cpu_ns > 0
        assert used.processes >= 1
        assert used.memory_bytes > 0
        assert used.sent_bytes > len(found)
        assert used.received_bytes > 0
        with pytest.raises(NotFound):
            service.logs(RESERVATION, "web", 100)
        with pytest.raises(NotFound):
            service.usage(RESERVATION)
    assert machine.traces() == []


async def test_exit_code_output_and_environment(machine: Machine) -> None:
    async with machine.open() as service:
        code, written = await run(
            service,
            "echo out; echo err >&2; id; echo $COLOUR $HOME $PWD; hostname; "
            "echo via >> /dev/stdout; grep -c job /etc/hosts; exit 7",
            env=(("COLOUR", "green"),),
            user="web",
        )

    assert code == 7
    assert written.splitlines() == [
        "out", "err", "uid=33(web) gid=33(web) groups=40(logs)", "green /www /", "job",
        "via", "1",
    ]  # fmt: skip


async def test_memory_is_limited(machine: Machine) -> None:
    async with machine.open() as service:
        code, _ = await run(service, "exec tail /dev/zero", memory_bytes=16 * MIB)

    assert code == 128 + 9


async def test_processes_are_limited(machine: Machine) -> None:
    forks = "i=0; while [ $i -lt 1100 ]; do sleep 9 & i=$((i+1)); done; echo all"
    async with machine.open() as service:
        _, written = await run(service, forks, memory_bytes=1024 * MIB)

    assert "can't fork" in written
    assert "all" not in written


async def test_cpu_is_limited(machine: Machine) -> None:
    async with machine.open() as service:
        busy = container("while :; do :; done", name="busy", millicores=200)
        await service.deploy(RESERVATION, [busy])
        began, used = trio.current_time(), service.usage(RESERVATION)["busy"].cpu_ns
        await trio.sleep(1.5)  # the share is measured over this time
        share = (service.usage(RESERVATION)["busy"].cpu_ns - used) / 1e9
        seconds = trio.current_time() - began
        await service.tear_down(RESERVATION)

    assert 0.02 < share / seconds < 0.3


async def test_disk_is_limited(machine: Machine) -> None:
    async with machine.open() as service:
        code, written = await run(
            service, "dd if=/dev/zero of=/big bs=64k count=1000; wc -c < /big", root_bytes=8 * MIB
        )

    assert code == 0
    assert "No space left" in written
    assert 6 * MIB < int(written.splitlines()[-1]) < 8 * MIB


async def test_the_smallest_disk_works(machine: Machine) -> None:
    async with machine.open() as service:
        code, written = await run(service, "echo kept > /file && cat /file", root_bytes=MIB)

    assert (code, written) == (0, "kept\n")


async def test_a_read_only_container_can_not_write(machine: Machine) -> None:
    async with machine.open() as service:
        code, written = await run(service, "echo x > /file", read_only=True)

    assert code == 1
    assert "Read-only file system" in written


@pytest.mark.parametrize(
    ("command", "denied"),
    [
        ("mknod /tmp/disk b 7 0", "Operation not permitted"),
        ("mount -t tmpfs none /tmp", "permission denied"),
        ("unshare -U true", "Operation not permitted"),  # needs no right: the filter's work
        ("ip link set eth0 down", "Operation not permitted"),
        ("echo 0 > /proc/sys/kernel/pid_max", "Read-only"),
        ("hostname other", "Operation not permitted"),
    ],
)
async def test_what_a_container_may_not_do(machine: Machine, command: str, denied: str) -> None:
    async with machine.open() as service:
        code, written = await run(service, command)

    assert code != 0
    assert denied.lower() in written.lower()


async def test_a_container_sees_only_itself(machine: Machine) -> None:
    async with machine.open() as service:
        _, written = await run(
            service,
            "cat /proc/interrupts; ls -d /proc/[0-9]*; ls /sys/class/net; cat /proc/1/uid_map",
        )

    lines = written.splitlines()
    mapped = machine_ids(lines[-1])
    assert [line for line in lines if line.startswith("/proc")] in (
        ["/proc/1"],
        ["/proc/1", "/proc/2"],
    )
    assert {"lo", "eth0"} == {line for line in lines[:-1] if not line.startswith("/proc")}
    assert mapped[0] == 0
    assert mapped[1] >= 1 << 30
    assert mapped[2] == 65536


def machine_ids(line: str) -> list[int]:
    """A line of uid_map: inside, outside, count."""
    return [int(number) for number in line.split()]


async def test_a_container_does_not_reach_its_node(machine: Machine) -> None:
    gateway = str(machine.names.gateway)
    async with machine.open() as service:
        asleep = container("exec sleep 60", name="asleep")
        await service.deploy(OTHER, [asleep])  # so that the bridge exists
        with socket.create_server((gateway, 0), family=socket.AF_INET6) as listener:
            port = listener.getsockname()[1]
            socket.create_connection((gateway, port), timeout=PAGE_SECONDS_MAX).close()
            listener.accept()[0].close()
            listener.setblocking(False)
            _, written = await run(
                service, f"ping -c 1 -W 2 {gateway}; nc -w 1 {gateway} {port} </dev/null"
            )
            with pytest.raises(BlockingIOError):
                listener.accept()
        await service.tear_down(OTHER)

    assert "1 packets received" in written
    assert "timed out" in written


async def test_containers_meet_only_within_a_reservation(machine: Machine) -> None:
    async with machine.open() as service:
        web = container("exec httpd -f -p 80 -h /www", name="web")
        friend = container(f"until {fetch('web')}; do sleep 0.1; done", name="friend")
        (address, _) = await service.deploy(RESERVATION, [web, friend])
        code = await ended(service)
        seen = service.logs(RESERVATION, "friend", 100)
        await service.deploy(OTHER, [container(fetch(address), name="stranger")])
        strange_code = await ended(service)
        strange = service.logs(OTHER, "stranger", 1000)
        await service.tear_down(RESERVATION)
        await service.tear_down(OTHER)

    assert code == 0
    assert seen.endswith(b"hello grid\n")
    assert strange_code == 1
    assert b"timed out" in strange
    assert b"hello" not in strange


async def test_logs_are_rotated(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOG_BYTES_MAX", 64 * 1024)
    monkeypatch.setattr(limits, "LOG_CHECK_SECONDS", POLL_SECONDS)
    async with machine.open() as service:
        writer = container("i=0; while :; do i=$((i+1)); echo line $i; done", name="writer")
        await service.deploy(RESERVATION, [writer])
        data = machine.directory / RESERVATION.hex()
        await until((data / "writer.log.1").exists)
        await until(lambda: (data / "writer.log").stat().st_size > 0)
        older_bytes = (data / "writer.log.1").stat().st_size
        end = service.logs(RESERVATION, "writer", 10_000)
        await service.tear_down(RESERVATION)

    assert older_bytes <= 64 * 1024
    assert len(end) == 10_000
    assert end.count(b"line") > 500


async def test_a_container_that_fails_is_restarted_and_keeps_its_disk(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "RESTART_SECONDS_MIN", POLL_SECONDS)
    async with machine.open() as service:
        code, written = await run(
            service,
            "echo again >> /runs; wc -l < /runs; [ $(wc -l < /runs) = 3 ]",
            restart=RestartPolicy.ON_FAILURE,
        )

    assert code == 0
    assert written.split() == ["1", "2", "3"]


async def test_a_killed_program_is_reported_with_its_signal(machine: Machine) -> None:
    async with machine.open() as service:
        code, _ = await run(service, "sh -c 'kill -SEGV $$'; exit $?")

    assert code == 128 + 11


async def test_a_deployment_that_fails_leaves_nothing(machine: Machine) -> None:
    async with machine.open() as service:
        good = container("exec sleep 60", name="good")
        for bad, error in (
            (replace(good, name="bad", command=("no-such-program",)), CannotRun),
            (replace(good, name="bad", user="nobody-here"), BadImage),
            (Volume(name="bad", size_bytes=MIB), Unsupported),
        ):
            with pytest.raises(error, match=r"no-such-program|nobody-here|containers only"):
                await service.deploy(RESERVATION, [good, bad])
            assert not [
                trace
                for trace in machine.traces()
                if trace.split()[0] not in {"bridge", "table", "run"}
            ]
    assert machine.traces() == []


async def test_tearing_down_ends_a_deployment_that_waits_for_its_image(machine: Machine) -> None:
    asked = trio.Event()

    class Slow:
        async def prepare(self, flist: FlistId) -> PreparedImage:
            asked.set()
            await trio.sleep_forever()
            raise AssertionError

    machine.images = Slow()  # type: ignore[assignment] # another Images
    async with machine.open() as service, trio.open_nursery() as nursery:

        async def deploy() -> None:
            with pytest.raises(Refused):
                await service.deploy(RESERVATION, [container("true")])

        nursery.start_soon(deploy)
        await asked.wait()
        await service.tear_down(RESERVATION)
    assert machine.traces() == []


async def test_two_nodes_share_a_machine(
    machine: Machine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("other") / "workloads"
    node = NodeId(machine.names.node[::-1])
    async with machine.open() as service, open_workloads(directory, machine.images, node) as other:
        one, two = container("exec sleep 60"), container("exec sleep 60")
        (first,) = await service.deploy(RESERVATION, [one])
        (second,) = await other.deploy(RESERVATION, [two])
        await other.recover({})
        await other.tear_down(RESERVATION)
        is_up = service.usage(RESERVATION)["web"].processes
        await service.tear_down(RESERVATION)

    assert first != second
    assert is_up == 1
    assert machine.traces() == []
