"""A world in which attackers own most addresses, and one node that looks for neighbours in it.

Everything is as the attackers like it: their nodes always answer and never leave, honest
ones are away one time in four and leave now and then.
"""

from dataclasses import replace
from random import Random

from p2pgrid.limits.net import DISCOVERY_ROUND_SECONDS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address, split_address
from p2pgrid.net.candidates import Origin
from p2pgrid.net.links import Link
from p2pgrid.net.neighbours import Anchor, Neighbours
from p2pgrid.net.prefix import prefix_of

OWN = NodeId(b"\xff" * 32)
_AWAY = 0.25


def node_at(prefix: int, number: int) -> str:
    """Address of a node in 10.<prefix>.0.0/16."""
    node = NodeId(prefix.to_bytes(16, "big") + number.to_bytes(16, "big"))
    return join_address(f"/ip4/10.{prefix}.{number >> 8}.{number & 255}/tcp/4001", node)


class EclipseWorld:
    """100 honest nodes in 50 prefixes, 900 nodes of the attackers in a few more."""

    def __init__(self, seed: int, *, attacker_prefixes: int = 20) -> None:
        self.random = Random(seed)
        self.honest = [node_at(self.random.randrange(50), number) for number in range(100)]
        self.attackers = [
            node_at(100 + self.random.randrange(attacker_prefixes), number) for number in range(900)
        ]
        self._hostile = {split_address(one)[1] for one in self.attackers}
        self.now = 0.0
        self.links: dict[NodeId, Link] = {}
        self.neighbours = self._new()

    def _new(self) -> Neighbours:
        return Neighbours(OWN, Random(self.random.random()), self.now)

    def run(self, seconds: float, *, honest_leave: bool = False) -> None:
        """Let time pass; do what is planned."""
        until = self.now + seconds
        while self.now < until:
            if honest_leave and self.random.random() < 0.01:
                self.lose_honest()
            plan = self.neighbours.plan(list(self.links.values()), self.now)
            for address in plan.dial:
                self._dial(address)
            for peer in plan.close:
                del self.links[peer]
            self.now += DISCOVERY_ROUND_SECONDS

    def hear_all(self, *, as_remembered: bool = False) -> None:
        """In any order; as the attackers like it, theirs are even those reached before."""
        addresses = [*self.honest, *self.attackers]
        self.random.shuffle(addresses)
        hostile = set(self.attackers)
        for one in addresses:
            origin = Origin.REMEMBERED if as_remembered and one in hostile else Origin.HEARD
            self.neighbours.hear(one, origin, self.now)

    def crowd_in(self, count: int) -> None:
        """Attackers connect to us."""
        for address in self.random.sample(self.attackers, count):
            link = self._link(address)
            self.links.setdefault(link.peer, replace(link, is_outbound=False))

    def restart(self, *, with_anchors: bool = True) -> None:
        """Lose every connection and whatever is not on disk; hear of attackers above all."""
        anchors = self.neighbours.anchors(list(self.links.values()), self.now)
        self.links = {}
        self.neighbours = self._new()
        self.neighbours.recall(anchors if with_anchors else [], self.now)

    def anchors(self) -> tuple[Anchor, ...]:
        return self.neighbours.anchors(list(self.links.values()), self.now)

    def lose_honest(self) -> None:
        honest = [peer for peer in self.links if peer not in self._hostile]
        if honest:
            del self.links[self.random.choice(honest)]

    def honest_outbound(self) -> int:
        """How many neighbours of our choice are no attackers."""
        return sum(
            link.is_outbound and link.peer not in self._hostile for link in self.links.values()
        )

    def _dial(self, address: str) -> None:
        link = self._link(address)
        if link.peer not in self._hostile and self.random.random() < _AWAY:
            self.neighbours.failed(address, self.now)
        else:
            self.links[link.peer] = link
            self.neighbours.reached(address, link.prefix, self.now)

    def _link(self, address: str) -> Link:
        peer = split_address(address)[1]
        host = address.split("/")[2]
        return Link(peer, host, prefix_of(address), is_outbound=True, since=self.now)
