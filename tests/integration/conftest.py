"""One grid of real processes for all tests of this folder: three nodes and a light peer."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.demo_grid import DemoGrid, Member, wait_until
from p2pgrid.errors import GridError, Unreachable

if TYPE_CHECKING:
    from tests.integration.eight_nodes import EightNodes

RECIPE = Path(__file__).parents[2] / "images" / "demo" / "build"
START_SECONDS_MAX = 120.0
HEAR_SECONDS_MAX = 60.0
CONSUMER_TFT = 1000


def p2pgrid(data: Path, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, without a terminal."""
    command = [sys.executable, "-m", "p2pgrid", "--data", str(data), *words]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=120
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    if check:
        assert done.returncode == 0, done.stderr
    return done


def found_grid(grid: DemoGrid) -> None:
    """Write the genesis: all nodes are witnesses, the consumer holds all the money."""
    words = ["grid", "create", "test", "--out", str(grid.genesis)]
    for node in grid.nodes:
        words += ["--witness", node.node_id]
    words += ["--balance", f"{grid.consumer.node_id}={CONSUMER_TFT}"]
    p2pgrid(grid.consumer.data, *words, check=True)
    grid.write_settings()
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with (grid.nodes[0].data / "node.toml").open("a") as settings:
        settings.write(f'explorer_http = "127.0.0.1:{port}"\n')


@dataclass
class LiveGrid:
    """A grid that is up, with an image that everybody can run."""

    processes: DemoGrid
    image: str

    @property
    def nodes(self) -> list[Member]:
        return self.processes.nodes

    @property
    def consumer(self) -> NodeClient:
        return self.processes.consumer.client

    def reserve(self, on: Member, **container: Any) -> dict[str, Any]:
        """A running web server on one node; gives the reservation."""
        document = {
            "duration": "1h",
            "container": [
                {
                    "name": "web",
                    "image": self.image,
                    "cores": 0.1,
                    "memory": "64M",
                    "disk": "16M",
                    **container,
                }
            ],
        }
        body = {"document": document, "node": on.node_id}
        for message in self.consumer.stream("/reservations", body):
            if "result" in message:
                return dict(message["result"])
        raise AssertionError("no result")

    def kill(self, member: Member) -> None:
        """End a node as a power cut does."""
        assert member.process is not None
        member.process.send_signal(signal.SIGKILL)
        member.process.wait()

    def restart(self, member: Member) -> None:
        """Start a node again on what is left of it."""
        self.processes.launch(member)
        wait_until(
            f"{member.name} answers again",
            lambda: answers(member.client),
            seconds_max=START_SECONDS_MAX,
        )


def answers(client: NodeClient) -> bool:
    """Whether the node behind a control socket is up."""
    try:
        client.get("/status")
    except GridError:
        return False
    return True


def eventually(what: str, is_so: Callable[..., bool], *arguments: object) -> None:
    """Wait until `is_so(*arguments)`: for what gossip or reconciliation brings."""

    def is_so_now() -> bool:
        try:
            return is_so(*arguments)
        except Unreachable:  # a peer that has just started knows nobody yet
            return False

    wait_until(what, is_so_now, seconds_max=HEAR_SECONDS_MAX)


def holds(client: NodeClient, account: str, amount: int) -> bool:
    """Whether a peer sees exactly that much in an account."""
    return bool(client.get(f"/accounts/{account}")["balance"] == amount)


def sees_all(client: NodeClient, nodes: list[Member]) -> bool:
    """Whether a peer sees every node up, with containers, confirmed by its farm."""
    found = client.get("/nodes", status="up", feature="container")["nodes"]
    return {node.node_id for node in nodes} == {one["node"] for one in found if one["is_confirmed"]}


@pytest.fixture(scope="session")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveGrid]:
    """Started once; tests leave it with all nodes up and nothing running."""
    place = tmp_path_factory.mktemp("g")
    processes = DemoGrid(place / "grid", nodes=3)
    found_grid(processes)
    try:
        processes.start()
        for number, node in enumerate(processes.nodes, 1):
            p2pgrid(node.data, "farms", "create", f"Farm {number}", check=True)
        layout = place / "image"
        subprocess.run([sys.executable, RECIPE, layout], check=True, capture_output=True)
        made = p2pgrid(
            processes.nodes[0].data,
            *("flist", "convert", f"oci:{layout}", "--name", "web:1", "--json"),
            check=True,
        )
        live = LiveGrid(processes, f"{processes.nodes[0].node_id}/web:1")
        assert json.loads(made.stdout)["name"] == live.image
        for member in processes.members:
            eventually(f"{member.name} sees all", sees_all, member.client, processes.nodes)
        eventually(
            "the image is known",
            lambda: any(one["holders"] for one in live.consumer.get("/flists")),
        )
        for node in live.nodes[1:]:  # from here on each can start it alone
            rented = live.reserve(node)
            live.consumer.post(f"/reservations/{rented['reservation']}/cancel")
        yield live
    finally:
        _end(processes)


@pytest.fixture(scope="session")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator["EightNodes"]:
    """Eight nodes that can be cut apart; tests leave them whole and up."""
    from tests.integration.eight_nodes import open_eight  # it uses what is here

    with open_eight(tmp_path_factory.mktemp("eight")) as opened:
        yield opened


def _end(processes: DemoGrid) -> None:
    """End what still runs, also after a test that failed with a node killed."""
    started = [member for member in processes.members if member.process is not None]
    try:
        for member in started:
            if member.process is not None and member.process.poll() is not None:
                processes.launch(member)
        for member in started:
            eventually(f"{member.name} is up", answers, member.client)
        for one in processes.consumer.client.get("/reservations") if started else ():
            processes.consumer.client.post(f"/reservations/{one['reservation']}/cancel")
    finally:
        processes.stop()


def page_of(address: str) -> str:
    """What the web server of the test image serves. Raises OSError."""
    from http.client import HTTPConnection

    connection = HTTPConnection(address, 8080, timeout=5)
    connection.request("GET", "/")
    return connection.getresponse().read().decode()


def serves(address: str) -> bool:
    """Whether the web server answers."""
    try:
        return "It runs" in page_of(address)
    except OSError:
        return False
