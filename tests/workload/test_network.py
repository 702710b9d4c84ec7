"""Packets on a machine of its own: a network namespace with an uplink, a LAN and an internet."""

import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.mounting import unmount_all
from p2pgrid.workload import network
from p2pgrid.workload.firewall import Guest
from p2pgrid.workload.names import HOST_ID_FIRST, ContainerNames, NodeNames
from p2pgrid.workload.namespaces import call_in_network, pin_namespaces

pytestmark = pytest.mark.root

NODE = NodeNames(NodeId(b"network-test" + bytes(20)))
ONE, OTHER = RecordId(b"\1" * 32), RecordId(b"\2" * 32)
WEB, DATABASE, STRANGER = (
    ContainerNames(NODE, reservation, name)
    for reservation, name in ((ONE, "web"), (ONE, "database"), (OTHER, "stranger"))
)
PUBLIC, NEIGHBOUR, HOUSE = "2001:db8:2::1", "2001:db8:1::2", "fd99::1"
UPLINK = "2001:db8:1::1"
PORT = 80
REFUSED_SECONDS = 0.7
ATTEMPTS = 10


@dataclass(frozen=True)
class Lab:
    """Network namespaces, by name."""

    directory: Path

    def path(self, name: str) -> Path:
        return self.directory / f"{name}.net"

    def add(self, name: str) -> None:
        pin_namespaces(self.directory / f"{name}.user", self.path(name), HOST_ID_FIRST)

    def do(self, name: str, function: Callable[[], object]) -> None:
        call_in_network(self.path(name), function)

    def shell(self, name: str, script: str) -> None:
        self.do(name, lambda: subprocess.run(["sh", "-ec", script], check=True))

    @contextmanager
    def serving(self, name: str, address: str) -> Iterator[None]:
        """Something listens at an address."""
        family = socket.AF_INET6
        listener = call_in_network(
            self.path(name), lambda: socket.create_server((address, PORT), family=family)
        )
        with listener:
            yield

    def reaches(self, name: str, address: str, source: str = "::") -> bool:
        """Whether a program there can connect to an address."""

        def connect() -> bool:
            with (
                suppress(OSError),
                socket.create_connection(
                    (address, PORT), timeout=REFUSED_SECONDS, source_address=(source, 0)
                ),
            ):
                return True
            return False

        return call_in_network(self.path(name), connect)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A machine with two reservations, wired to an internet."""
    lab = Lab(tmp_path)
    try:
        for name in ("machine", "internet", "web", "database", "stranger"):
            lab.add(name)
        lab.shell(
            "machine",
            f"ip link set lo up; ip link add near type veth peer name far;"
            f"ip addr add {UPLINK}/64 dev near nodad; ip link set near up;"
            f"ip link set far netns {lab.path('internet')}",
        )
        lab.shell(
            "internet",
            "ip link set lo up; ip link set far up;"
            f"ip addr add {NEIGHBOUR}/64 dev far nodad;"
            f"ip addr add {PUBLIC}/128 dev lo; ip addr add {HOUSE}/128 dev lo",
        )
        lab.shell(
            "machine",
            f"ip route add default via {NEIGHBOUR} dev near;"
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        )
        lab.do("machine", lambda: connect_all(lab))
        yield lab
    finally:
        unmount_all(tmp_path)


def connect_all(lab: Lab) -> None:
    guests = [Guest(names) for names in (WEB, DATABASE, STRANGER)]
    network.open_bridge(NODE)
    network.open_bridge(NODE)
    network.apply_rules(NODE, guests)
    for guest in guests:
        network.connect(guest.names, lab.path(guest.names.name))


def test_who_reaches_whom(lab: Lab) -> None:
    gateway = str(NODE.gateway)
    with lab.serving("machine", UPLINK):
        # A new link takes a second or two before its own address may ask for neighbours.
        assert any(lab.reaches("internet", UPLINK, source=PUBLIC) for _ in range(ATTEMPTS))

    with lab.serving("web", str(WEB.address)):
        assert lab.reaches("machine", str(WEB.address))
        assert lab.reaches("database", str(WEB.address))
        assert not lab.reaches("stranger", str(WEB.address))
        lab.shell("internet", f"ip route add {NODE.network} via {UPLINK}")
        assert not lab.reaches("internet", str(WEB.address), source=PUBLIC)
    for address in (gateway, UPLINK):
        with lab.serving("machine", address):
            assert lab.reaches("machine", address)
            assert not lab.reaches("web", address)


def test_what_is_outside(lab: Lab) -> None:
    for address, is_reached in ((PUBLIC, True), (NEIGHBOUR, False), (HOUSE, False)):
        with lab.serving("internet", address):
            assert lab.reaches("machine", address)
            assert lab.reaches("web", address) is is_reached


def test_nobody_speaks_as_another(lab: Lab) -> None:
    """Here the container has been given every right over its own network."""
    stolen = str(NODE.network[0xBAD])
    with lab.serving("database", str(DATABASE.address)):
        lab.shell("web", f"ip addr add {stolen}/64 dev eth0 nodad")
        assert lab.reaches("web", str(DATABASE.address), source=str(WEB.address))
        assert not lab.reaches("web", str(DATABASE.address), source=stolen)
        lab.shell("web", "ip link set eth0 address 02:00:00:00:00:99")
        assert not lab.reaches("web", str(DATABASE.address), source=str(WEB.address))


def test_a_container_can_not_become_the_machine_s_router(lab: Lab) -> None:
    setting = Path(f"/proc/sys/net/ipv6/conf/{NODE.bridge}/accept_ra")
    read = call_in_network(lab.path("machine"), setting.read_text)

    assert read.strip() == "0"


def test_links_are_found_and_removed(lab: Lab) -> None:
    def remove() -> list[set[str]]:
        found = [network.links_of(NODE)]
        for names in (WEB, DATABASE, STRANGER):
            network.disconnect(names.link)
            network.disconnect(names.link)
        network.close_bridge(NODE)
        network.close_bridge(NODE)
        return [*found, network.links_of(NODE)]

    before, after = call_in_network(lab.path("machine"), remove)

    assert before == {WEB.tag, DATABASE.tag, STRANGER.tag}
    assert after == set()


def test_networks_of_the_machine_are_known(lab: Lab) -> None:
    found = call_in_network(
        lab.path("machine"), lambda: network.networks_of_machine(besides=NODE.bridge)
    )

    assert IPv6Network("2001:db8:1::/64") in found
    assert NODE.network not in found


def test_no_link_no_bytes() -> None:
    assert network.network_bytes("no-such-link") == (0, 0)
