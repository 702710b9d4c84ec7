"""The processes of a demo grid: nodes and a light peer on loopback, each with a data directory."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from p2pgrid import keys
from p2pgrid.cli.client import NodeClient
from p2pgrid.errors import Unreachable
from p2pgrid.limits.demo import (
    DEMO_PAGE_BYTES_MAX,
    DEMO_PAGE_SECONDS_MAX,
    DEMO_POLL_SECONDS,
    DEMO_START_SECONDS_MAX,
    DEMO_STOP_SECONDS_MAX,
)
from p2pgrid.store.directory import holder_of

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass
class Member:
    """One process of the demo grid."""

    name: str
    data: Path
    is_light: bool
    port: int
    node_id: str
    process: subprocess.Popen[bytes] | None = None
    client: NodeClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = NodeClient(self.data)

    @property
    def is_running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def command(self) -> list[str]:
        """What starts it, also by hand."""
        return [sys.executable, "-m", "p2pgrid", "--data", str(self.data), "node", "run"]


class DemoGrid:
    """A whole grid on this machine. Leaves no process behind, however it ends."""

    def __init__(self, directory: Path, *, nodes: int) -> None:
        self.directory = directory
        self.genesis = directory / "genesis.cbor"
        ports = _free_ports(nodes + 1)
        self.nodes = [self._member(f"node-{n + 1}", ports[n], light=False) for n in range(nodes)]
        self.consumer = self._member("consumer", ports[-1], light=True)

    @property
    def members(self) -> list[Member]:
        """All nodes, then the consumer."""
        return [*self.nodes, self.consumer]

    def _member(self, name: str, port: int, *, light: bool) -> Member:
        data = self.directory / name
        identity = keys.open_identity(data)
        return Member(name, data, light, port, bytes(identity.verify_key).hex())

    def write_settings(self) -> None:
        """Give every member a node.toml, so that `node run` alone starts it again."""
        share = round(0.9 / len(self.nodes), 3)
        for member in self.members:
            others = [_address(other) for other in self.nodes if other is not member]
            lines = [
                f"listen = {_toml([f'/ip4/127.0.0.1/tcp/{member.port}'])}",
                f"peers = {_toml(others)}",
                "mdns = false",
                f"light = {'true' if member.is_light else 'false'}",
                f"share = {share}",
            ]
            (member.data / "node.toml").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start every process, and wait until each answers. Raises Unreachable."""
        for member in self.members:
            self.launch(member)
        for member in self.members:
            wait_until(
                f"{member.name} answers; see {member.data}/node.log",
                partial(self._answers, member),
                seconds_max=DEMO_START_SECONDS_MAX,
            )

    def launch(self, member: Member) -> None:
        """Start one process; it ends with this one at the latest."""
        with (member.data / "stderr.log").open("ab") as errors:
            member.process = subprocess.Popen(
                [*member.command, "--grid", str(self.genesis)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - no threads before
                start_new_session=True,  # Ctrl-C is for the demo, which stops them in order
            )

    def _answers(self, member: Member) -> bool:
        process = member.process
        if process is not None and process.poll() is not None:
            reason = (member.data / "stderr.log").read_text(errors="replace").strip()
            raise Unreachable(f"{member.name} ended: {reason.splitlines()[-1] if reason else '?'}")
        try:
            member.client.get("/status")
        except Unreachable:
            return False
        return True

    def stop(self) -> None:
        """End every process: politely, then not; also those that were started again by hand."""
        for member in self.members:
            if not member.is_running and (pid := holder_of(member.data)) is not None:
                os.kill(pid, signal.SIGTERM)
                wait_until(
                    f"{member.name}, started by hand as process {pid}, has ended",
                    partial(_is_free, member.data),
                    seconds_max=DEMO_STOP_SECONDS_MAX,
                )
        running = [m.process for m in self.members if m.process is not None and m.is_running]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + DEMO_STOP_SECONDS_MAX
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _is_free(data: Path) -> bool:
    return holder_of(data) is None


def wait_until(what: str, is_so: Callable[[], bool], *, seconds_max: float) -> None:
    """Look again and again until it is so. Raises Unreachable naming `what`."""
    deadline = time.monotonic() + seconds_max
    while not is_so():
        if time.monotonic() > deadline:
            raise Unreachable(f"waited {seconds_max:g} s in vain until {what}")
        time.sleep(DEMO_POLL_SECONDS)


def get_page(address: str, port: int) -> tuple[int, str]:
    """The page at `/`, tried until the server is up. Raises Unreachable."""
    from http.client import HTTPConnection, HTTPException

    got: list[tuple[int, str]] = []

    def is_there() -> bool:
        connection = HTTPConnection(address, port, timeout=DEMO_PAGE_SECONDS_MAX)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            page = answer.read(DEMO_PAGE_BYTES_MAX).decode(errors="replace")
            got.append((answer.status, page))
        except (OSError, HTTPException):
            return False
        return True

    wait_until(f"a page comes from [{address}]:{port}", is_there, seconds_max=DEMO_PAGE_SECONDS_MAX)
    return got[0]


def traces_of(grid: DemoGrid) -> set[str]:
    """What is on this machine of a grid's workloads and processes; nothing after its end."""
    from p2pgrid.model.ids import NodeId
    from p2pgrid.workload.names import NodeNames

    names = [NodeNames(NodeId(bytes.fromhex(node.node_id))) for node in grid.nodes]
    links = {one.name for one in Path("/sys/class/net").iterdir()}
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = {
        f"link {link}"
        for link in links
        if any(link == one.bridge or link.startswith(one.link_prefix) for one in names)
    }
    for place in (str(grid.directory), *(str(one.directory) for one in names)):
        found |= {f"mount {mount}" for mount in mounts if mount.startswith(f"{place}/")}
    found |= {f"directory {one.directory}" for one in names if one.directory.exists()}
    for group in Path("/sys/fs/cgroup").glob("**/p2pgrid/*"):
        found |= {f"cgroup {group}" for one in names if group.name == one.tag}
    return found | {f"process of {member.name}" for member in grid.members if member.is_running}


def _die_with_parent() -> None:
    """In the child: get SIGTERM when the demo itself is killed."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _free_ports(count: int) -> list[int]:
    """Ports of which the next is free, too: a node takes both, one for control, one for bulk."""
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            first = socket.create_server(("127.0.0.1", 0))
            held.append(first)
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                held.append(socket.create_server(("127.0.0.1", port + 1)))
                ports.append(port)
    finally:
        for one in held:
            one.close()
    return ports


def _address(member: Member) -> str:
    from p2pgrid.model.ids import NodeId
    from p2pgrid.net.address import join_address

    return join_address(f"/ip4/127.0.0.1/tcp/{member.port}", NodeId(bytes.fromhex(member.node_id)))


def _toml(items: list[str]) -> str:
    return "[" + ", ".join(f'"{item}"' for item in items) + "]"
