"""What everything on the machine that belongs to a workload is called.

All names follow from the node's id, the reservation's id and the workload's name. So a program
that was killed finds at its next start what belongs to it, and several nodes share a machine.
"""

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from p2pgrid.model.ids import NodeId, RecordId, short

RUN_DIRECTORY = Path("/run/p2pgrid")
"""Mount points live here and not in the data directory: that one is closed to everybody, and a
container's root, which is an ordinary user of the machine, must be able to walk to its files."""

HOST_ID_FIRST = 1 << 30
"""Users of containers are these and the following user ids of the machine: far from its people."""

HOST_IDS_PER_CONTAINER = 1 << 16
_HOST_ID_RANGES = 1 << 14
_LINK_NODE_DIGITS = 6
"""Of the node in the name of a link, whose 15 characters also hold 8 of the container."""


def _digest(purpose: str, *parts: bytes) -> bytes:
    return blake2b(b"".join(parts), digest_size=16, person=purpose.encode()).digest()


@dataclass(frozen=True, slots=True)
class NodeNames:
    """What belongs to one node."""

    node: NodeId

    @property
    def tag(self) -> str:
        """8 hex digits."""
        return short(self.node)

    @property
    def bridge(self) -> str:
        """The link that all its containers are connected to."""
        return f"p2pg{self.tag}"

    @property
    def bridge_hardware_address(self) -> str:
        """Fixed, since a bridge would otherwise change it with its ports."""
        return _hardware_address(0x06, self.node[:4])

    @property
    def link_prefix(self) -> str:
        """How the names of all containers' links begin."""
        return f"g{self.tag[:_LINK_NODE_DIGITS]}"

    @property
    def table(self) -> str:
        """The nftables tables of this node."""
        return f"p2pgrid_{self.tag}"

    @property
    def cgroup(self) -> str:
        """The control group above those of its containers."""
        return f"/p2pgrid/{self.tag}"

    @property
    def directory(self) -> Path:
        """What does not outlive the machine's next boot."""
        return RUN_DIRECTORY / self.tag

    @property
    def runtime_directory(self) -> Path:
        """Where runc keeps what it knows."""
        return self.directory / "runc"

    @property
    def network(self) -> IPv6Network:
        """A unique local /64 (RFC 4193)."""
        prefix = b"\xfd" + _digest("workload-net", self.node)[:7]
        return IPv6Network((prefix + bytes(8), 64))

    @property
    def gateway(self) -> IPv6Address:
        """The node itself, as its containers see it."""
        return self.network[1]

    def container_of_link(self, link: str) -> str | None:
        """The tag of the container whose link this is; None for a foreign link."""
        if link.startswith(self.link_prefix) and len(link) == len(self.link_prefix) + 8:
            return link.removeprefix(self.link_prefix)
        return None


@dataclass(frozen=True, slots=True)
class ContainerNames:
    """What belongs to one container.

    The tag has 32 bits, and whoever reserves can search for one that is taken: the service
    refuses a second container with the same tag. Link, hardware address, directory and control
    group differ when the tags do.
    """

    owner: NodeNames
    reservation: RecordId
    name: str

    def _digest(self) -> bytes:
        return _digest("workload", self.owner.node, self.reservation, self.name.encode())

    @property
    def tag(self) -> str:
        """8 hex digits; also its name for runc."""
        return self._digest()[:4].hex()

    @property
    def link(self) -> str:
        """The machine's end of its cable."""
        return self.owner.link_prefix + self.tag

    @property
    def hardware_address(self) -> str:
        """Of the container's end."""
        return _hardware_address(0x02, self._digest()[:4])

    @property
    def address(self) -> IPv6Address:
        """Stays the same over restarts."""
        # The highest bit keeps it away from the gateway.
        host = (self._digest()[4] | 0x80).to_bytes(1, "big") + self._digest()[5:12]
        return self.owner.network[int.from_bytes(host, "big")]

    @property
    def cgroup(self) -> str:
        """Its own control group."""
        return f"{self.owner.cgroup}/{self.tag}"

    @property
    def directory(self) -> Path:
        """Its mount points and its bundle."""
        return self.owner.directory / self.tag

    @property
    def host_id_first(self) -> int:
        """The machine's user id of the container's root: nobody, and nobody else's mostly."""
        index = int.from_bytes(self._digest()[12:14], "big") % _HOST_ID_RANGES
        return HOST_ID_FIRST + index * HOST_IDS_PER_CONTAINER


def _hardware_address(kind: int, four_bytes: bytes) -> str:
    """A locally administered one; `kind` keeps bridges and containers apart."""
    return bytes([kind, 0x70, *four_bytes]).hex(":")
