"""A grid whose nodes are each in a network namespace of their own, on a cable that can be cut.

One namespace more holds two bridges with half of the nodes on each, and the cable
between them. Nothing of it is in the network of the machine, and all of it goes with
its namespaces. Control sockets are files, so every node is reached from here all the time.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from p2pgrid.cli.demo_grid import DemoGrid, Member
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address

PORT = 4001
_CABLE = "cable0"


class NamespacedMember(Member):
    """A process that starts in a namespace."""

    @property
    def namespace(self) -> str:
        return f"p2pg{os.getpid()}-{self.name}"

    @property
    def command(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *super().command]


class NamespacedGrid(DemoGrid):
    """Full nodes only; the first half on the one side, the second on the other."""

    def __init__(self, directory: Path, *, nodes: int) -> None:
        super().__init__(directory, nodes=nodes)
        self.hub = f"p2pg{os.getpid()}-hub"

    @property
    def members(self) -> list[Member]:
        return list(self.nodes)

    @property
    def halves(self) -> tuple[list[Member], list[Member]]:
        middle = len(self.nodes) // 2
        return self.nodes[:middle], self.nodes[middle:]

    def _member(self, name: str, port: int, *, light: bool) -> Member:
        plain = super()._member(name, port, light=light)
        return NamespacedMember(name, plain.data, light, PORT, plain.node_id)

    def write_settings(self) -> None:
        """Everybody knows the first of each half, in turns by IPv4 and by IPv6."""
        firsts = [half[0] for half in self.halves]
        for member in self.nodes:
            number = self.nodes.index(member)
            known = [self._addresses(one)[number % 2] for one in firsts if one is not member]
            listen = [address.partition("/p2p/")[0] for address in self._addresses(member)]
            lines = [
                f"listen = {listen}", f"peers = {known}", "mdns = false", "share = 0.1",
                'log_level = "debug"',
            ]  # fmt: skip
            (member.data / "node.toml").write_text("\n".join(lines) + "\n")

    def _addresses(self, member: Member) -> tuple[str, str]:
        number = self.nodes.index(member) + 1
        identity = NodeId(bytes.fromhex(member.node_id))
        hosts = (f"/ip4/10.{number}.0.1", f"/ip6/fd70:{number}::1")
        first, second = (join_address(f"{host}/tcp/{PORT}", identity) for host in hosts)
        return first, second

    def cut(self) -> None:
        """No packet from one half to the other from now on; connections hang, as they do."""
        _in_namespace(self.hub, "link", "set", _CABLE, "down")

    def heal(self) -> None:
        """Packets go through again."""
        _in_namespace(self.hub, "link", "set", _CABLE, "up")

    @contextmanager
    def cabled(self) -> Iterator[None]:
        """The namespaces, bridges and cables are there during the block."""
        try:
            self._lay()
            yield
        finally:
            for name in (*(_namespace_of(one) for one in self.nodes), self.hub):
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)

    def _lay(self) -> None:
        _ip("netns", "add", self.hub)
        for bridge in ("left", "right"):
            _in_namespace(self.hub, "link", "add", bridge, "type", "bridge")
            _in_namespace(self.hub, "link", "set", bridge, "up")
        _in_namespace(self.hub, *("link add", _CABLE, "type veth peer name cable1"))
        for end, bridge in ((_CABLE, "left"), ("cable1", "right")):
            _in_namespace(self.hub, "link", "set", end, "master", bridge, "up")
        for bridge, half in zip(("left", "right"), self.halves, strict=True):
            for member in half:
                self._plug(member, bridge)

    def _plug(self, member: Member, bridge: str) -> None:
        name, number = _namespace_of(member), self.nodes.index(member) + 1
        _ip("netns", "add", name)
        _in_namespace(name, "link", "set", "lo", "up")
        port = f"port{number}"
        _in_namespace(self.hub, "link add", port, "type veth peer name eth0 netns", name)
        _in_namespace(self.hub, "link", "set", port, "master", bridge, "up")
        _in_namespace(name, "link", "set", "eth0", "up")
        _in_namespace(name, "addr", "add", f"10.{number}.0.1/8", "dev", "eth0")
        _in_namespace(name, "addr", "add", f"fd70:{number}::1/16", "dev", "eth0", "nodad")


def _namespace_of(member: Member) -> str:
    assert isinstance(member, NamespacedMember)
    return member.namespace


def _in_namespace(name: str, *words: str) -> None:
    _ip("-n", name, *words)


def _ip(*words: str) -> None:
    """Raises AssertionError with what `ip` says."""
    command: list[Any] = ["ip", *(part for word in words for part in word.split())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
