"""Namespaces on one bridge, each with a link of its own rate.

Nothing of it is in the network of the machine, and all of it goes with its namespaces.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


@contextmanager
def shaped_links(megabits: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """A namespace for each name, which sends at most so fast; gives their IPv4 addresses."""
    hub = namespace("hub")
    hosts = {name: f"10.0.0.{number}" for number, name in enumerate(megabits, 1)}
    try:
        _run("ip", "netns", "add", hub)
        _run("ip", "-n", hub, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", hub, "link", "set", "bridge", "up")
        for name, rate in megabits.items():
            _plug(hub, name, hosts[name], rate)
        yield hosts
    finally:
        for name in ("hub", *megabits):
            command = ["ip", "netns", "delete", namespace(name)]
            subprocess.run(command, check=False, capture_output=True)


def namespace(name: str) -> str:
    """What the namespace of a name is called on this machine."""
    return f"p2pg{os.getpid()}-{name}"


def drop_packets_to_port(name: str, port: int) -> None:
    """As a firewall does that says nothing."""
    chain = "add chain inet wall in { type filter hook input priority 0; }"
    for rule in ("add table inet wall", chain, f"add rule inet wall in tcp dport {port} drop"):
        _run("ip", "netns", "exec", namespace(name), "nft", rule)


def enter(namespace_name: str) -> None:
    """Move this thread, and all that it forks, into a namespace. Raises OSError."""
    with Path("/run/netns", namespace_name).open("rb") as file:
        if _LIBC.setns(file.fileno(), _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _plug(hub: str, name: str, host: str, megabits: float) -> None:
    inside, port = namespace(name), f"to-{name}"
    _run("ip", "netns", "add", inside)
    _run("ip", "-n", inside, "link", "set", "lo", "up")
    veth = ("type", "veth", "peer", "name", "eth0", "netns", inside)
    _run("ip", "-n", hub, "link", "add", port, *veth)
    _run("ip", "-n", hub, "link", "set", port, "master", "bridge", "up")
    _run("ip", "-n", inside, "addr", "add", f"{host}/24", "dev", "eth0")
    _run("ip", "-n", inside, "link", "set", "eth0", "up")
    shape = ("tbf", "rate", f"{megabits:g}mbit", "burst", "64kb", "latency", "300ms")
    _run("tc", "-n", inside, "qdisc", "add", "dev", "eth0", "root", *shape)


def _run(*command: str) -> None:
    """Raises AssertionError with what the command says."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
