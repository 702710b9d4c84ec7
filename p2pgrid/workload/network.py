"""The node's bridge and the containers' links to it. The one user of pyroute2.

Everything here blocks and is called from worker threads. Changes are made in an order in which a
container is never connected before the rules about it are in force.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Network
from pathlib import Path

from pyroute2 import IPRoute, NetlinkError

from p2pgrid.errors import CannotRun
from p2pgrid.workload.firewall import Guest, no_ruleset, ruleset
from p2pgrid.workload.names import ContainerNames, NodeNames
from p2pgrid.workload.namespaces import call_in_network
from p2pgrid.workload.tool import run_tool

_INET6 = 10  # AF_INET6
_NODAD = 0x02  # IFA_F_NODAD: the address is ours by derivation; good at once, not in a second
_PERMANENT = 0x80  # NUD_PERMANENT: no message of a container can change it
_STATIC = 0x40  # NUD_NOARP; in a bridge's table NUD_PERMANENT means the bridge itself
_OF_BRIDGE = 0x04  # NTF_MASTER: in the table of the port's bridge, not of the port
_NO_LINK_LOCAL = 1  # IN6_ADDR_GEN_MODE_NONE
_SETTINGS = Path("/proc/sys/net")


def open_bridge(node: NodeNames) -> None:
    """Make the bridge, with its address, unless it is there. Raises CannotRun."""
    with IPRoute() as links:
        if not links.link_lookup(ifname=node.bridge):
            links.link(
                "add",
                ifname=node.bridge,
                kind="bridge",
                address=node.bridge_hardware_address,
                # It would withhold neighbour discovery from ports that did not subscribe.
                br_mcast_snooping=0,
            )
        (bridge,) = links.link_lookup(ifname=node.bridge)
        # A container that says it is a router must not become the machine's router.
        _set_kernel(f"ipv6/conf/{node.bridge}/accept_ra", 0)
        with suppress(NetlinkError):  # there already
            links.addr("add", index=bridge, address=str(node.gateway), prefixlen=64, flags=_NODAD)
        links.link("set", index=bridge, state="up")


def close_bridge(node: NodeNames) -> None:
    """Remove bridge and rules. Repeatable."""
    _delete_link(node.bridge)
    run_tool("nft", "-j", "-f", "-", stdin=json.dumps(no_ruleset(node)).encode())


def apply_rules(node: NodeNames, guests: Sequence[Guest]) -> None:
    """Put the rules for exactly these containers in force, at once. Raises CannotRun."""
    rules = ruleset(node, guests, networks_of_machine(besides=node.bridge))
    run_tool("nft", "-j", "-f", "-", stdin=json.dumps(rules).encode())


def connect(names: ContainerNames, network: Path) -> None:
    """Give a container its link, address and route. Its rules must be in force.

    Raises:
        CannotRun: the kernel refused.
    """
    disconnect(names.link)
    try:
        _add_link(names, network)
        call_in_network(network, lambda: _configure_inside(names))
    except NetlinkError as error:
        raise CannotRun(f"no network for {names.name}: {error}") from error


def disconnect(link: str) -> None:
    """Remove a container's link, both ends. Repeatable."""
    _delete_link(link)


def links_of(node: NodeNames) -> set[str]:
    """The tags of the containers that have a link."""
    with IPRoute() as links:
        names = [link.get_attr("IFLA_IFNAME") for link in links.get_links()]
    return {tag for name in names if (tag := node.container_of_link(name)) is not None}


def network_bytes(link: str) -> tuple[int, int]:
    """What a container received and sent since it was connected; zeros without a link."""
    counters = Path("/sys/class/net") / link / "statistics"
    try:
        # What the machine's end sends, the container receives.
        sent, received = (int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes"))
    except OSError:
        return 0, 0
    return received, sent


def networks_of_machine(*, besides: str) -> list[IPv6Network]:
    """The IPv6 networks that the machine is in, but for the one of a link."""
    return parse_if_inet6(Path("/proc/thread-self/net/if_inet6").read_text(), besides=besides)


def parse_if_inet6(table: str, *, besides: str) -> list[IPv6Network]:
    """Read the kernel's list of IPv6 addresses: address, index, prefix length, …, link.

    >>> parse_if_inet6("20010db8000000000000000000000001 02 40 00 80     eth0", besides="lo")
    [IPv6Network('2001:db8::/64')]
    """
    found = []
    for line in table.splitlines():
        address, _, length, _, _, link = line.split()
        if link != besides:
            full = (int(address, 16), int(length, 16))
            found.append(IPv6Network(full, strict=False))
    return found


def forwards_packets() -> bool:
    """Whether the machine lets containers reach the outside at all: the operator's choice."""
    return (_SETTINGS / "ipv6/conf/all/forwarding").read_text().strip() == "1"


def _add_link(names: ContainerNames, network: Path) -> None:
    with IPRoute() as links, network.open("rb") as namespace:
        links.link(
            "add",
            ifname=names.link,
            kind="veth",
            peer={
                "ifname": "eth0",
                "address": names.hardware_address,
                "net_ns_fd": namespace.fileno(),
            },
        )
        (link,) = links.link_lookup(ifname=names.link)
        (bridge,) = links.link_lookup(ifname=names.owner.bridge)
        # The machine has no business with the link but through the bridge.
        _set_kernel(f"ipv6/conf/{names.link}/disable_ipv6", 1)
        links.link("set", index=link, master=bridge)
        # Who is behind which port is known: nothing is learnt, and nothing for one container is
        # sent to all while it is unknown.
        links.brport("set", index=link, learning=0, unicast_flood=0)
        links.fdb(
            "replace",
            ifindex=link,
            lladdr=names.hardware_address,
            state=_STATIC,
            flags=_OF_BRIDGE,
        )
        links.neigh(
            "replace",
            ifindex=bridge,
            family=_INET6,
            dst=str(names.address),
            lladdr=names.hardware_address,
            state=_PERMANENT,
        )
        links.link("set", index=link, state="up")


def _configure_inside(names: ContainerNames) -> None:
    owner = names.owner
    _set_kernel("ipv6/conf/eth0/addr_gen_mode", _NO_LINK_LOCAL)
    _set_kernel("ipv6/conf/eth0/accept_ra", 0)
    # As with Docker: programs that are not root may serve on port 80.
    _set_kernel("ipv4/ip_unprivileged_port_start", 0)
    with IPRoute() as links:
        (loopback,) = links.link_lookup(ifname="lo")
        (cable,) = links.link_lookup(ifname="eth0")
        links.link("set", index=loopback, state="up")
        links.addr("add", index=cable, address=str(names.address), prefixlen=64, flags=_NODAD)
        links.link("set", index=cable, state="up")
        links.neigh(
            "replace",
            ifindex=cable,
            family=_INET6,
            dst=str(owner.gateway),
            lladdr=owner.bridge_hardware_address,
            state=_PERMANENT,
        )
        links.route("add", dst="default", gateway=str(owner.gateway), oif=cable, family=_INET6)


def _delete_link(name: str) -> None:
    with IPRoute() as links:
        for index in links.link_lookup(ifname=name):
            with suppress(NetlinkError):  # gone in between
                links.link("del", index=index)


def _set_kernel(setting: str, value: int) -> None:
    """Of the network namespace that the calling thread is in."""
    (_SETTINGS / setting).write_text(str(value))
