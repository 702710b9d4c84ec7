"""Nodes among attackers who own most addresses, with the program's own choice of neighbours.

Everything is as attackers like it. They always answer and stay for ever, honest nodes are
away now and then and leave. Nobody honest dials the victims. In the midst of it victims
have to start again, and find attackers among the addresses that they reached before.
Attackers give nothing on and answer no pull; nothing else is lost.
"""

from collections.abc import Iterable, Sequence

from p2pgrid.limits import simulation as limits
from p2pgrid.limits.net import DISCOVERY_ROUND_SECONDS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address, split_address
from p2pgrid.net.candidates import Origin
from p2pgrid.net.links import Link
from p2pgrid.net.neighbours import Anchor, Neighbours
from p2pgrid.net.prefix import prefix_of
from p2pgrid.simulation.liars import Silent
from p2pgrid.simulation.node import Node
from p2pgrid.simulation.world import World

_ATTACKERS_FROM = 200
"""The first of the attackers' prefixes; those of honest nodes are below."""


class Victim(Node):
    """Does what the program does, and starts with no connection."""

    is_settled = False


class Attacker(Silent):
    """Knows nobody but its victims."""

    is_settled = False


class Besieged:
    """How one victim finds its neighbours."""

    def __init__(self, node: Node, addresses: Sequence[str], world: World) -> None:
        self.node, self._addresses, self._world = node, addresses, world
        self._random = world.scheduler.random_of(f"siege {node.number}")
        self._links: dict[NodeId, Link] = {}
        self._seen_honest_at = world.scheduler.now
        self.alone_seconds = 0.0
        """The longest time without any honest neighbour of its own choice."""
        self._start((), as_remembered=False)
        self._round()

    def restart(self) -> None:
        """Lose every connection and what is not on disk: the anchors are."""
        anchors = self._neighbours.anchors(list(self._links.values()), self._now)
        for peer in list(self._links):
            self._lose(peer)
        announcer = self.node.announcer
        self.node.boot(self.node.keeper)
        self.node.announcer = announcer  # what it has said stays true
        self._start(anchors, as_remembered=True)

    @property
    def _now(self) -> float:
        return self._world.scheduler.now

    def _start(self, anchors: Iterable[Anchor], *, as_remembered: bool) -> None:
        self._neighbours = Neighbours(self.node.id, self._random, self._now)
        self._neighbours.recall(anchors, self._now)
        addresses = list(self._addresses)
        self._random.shuffle(addresses)
        for address in addresses:
            is_reached = as_remembered and not self._node_at(address).is_honest
            origin = Origin.REMEMBERED if is_reached else Origin.HEARD
            self._neighbours.hear(address, origin, self._now)
        attackers = [one for one in addresses if not self._node_at(one).is_honest]
        for address in attackers[: round(limits.ECLIPSE_CROWD_SHARE * len(attackers))]:
            self._connect(address, is_outbound=False)

    def _round(self) -> None:
        """Do what is planned, every few seconds."""
        plan = self._neighbours.plan(list(self._links.values()), self._now)
        for peer in plan.close:
            self._lose(peer)
        for address in plan.dial:
            self._dial(address)
        honest = [one for one in self._links if self._is_honest_choice(one)]
        if honest:
            self._seen_honest_at = self._now
        self.alone_seconds = max(self.alone_seconds, self._now - self._seen_honest_at)
        for peer in honest:
            if self._random.random() < DISCOVERY_ROUND_SECONDS / limits.ECLIPSE_STAY_SECONDS:
                self._lose(peer)
        self._world.scheduler.after(DISCOVERY_ROUND_SECONDS, self._round)

    def _is_honest_choice(self, peer: NodeId) -> bool:
        return self._links[peer].is_outbound and self._world.node_of(peer).is_honest

    def _dial(self, address: str) -> None:
        node = self._node_at(address)
        if node.is_honest and self._random.random() < limits.ECLIPSE_AWAY:
            self._neighbours.failed(address, self._now)
        else:
            self._connect(address, is_outbound=True)
            self._neighbours.reached(address, prefix_of(address), self._now)

    def _connect(self, address: str, *, is_outbound: bool) -> None:
        peer, world = self._node_at(address), self._world
        if peer.id not in self.node.links:
            self.node.link(peer, world.wires.wire(self.node.number, peer.number))
            peer.link(self.node, world.wires.wire(peer.number, self.node.number))
        host = address.split("/")[2]
        self._links[peer.id] = Link(
            peer.id, host, prefix_of(address), is_outbound=is_outbound, since=self._now
        )
        world.connect(self.node.number, peer.number)

    def _lose(self, peer: NodeId) -> None:
        del self._links[peer]
        self._world.disconnect(self.node.number, self._world.node_of(peer).number)

    def _node_at(self, address: str) -> Node:
        return self._world.node_of(split_address(address)[1])


class Siege:
    """All victims of a world, from now on."""

    def __init__(self, world: World) -> None:
        self._random = world.scheduler.random_of("siege")
        addresses = [self._address_of(node) for node in world.nodes if not isinstance(node, Victim)]
        self.besieged = [
            Besieged(node, addresses, world) for node in world.nodes if isinstance(node, Victim)
        ]

    def restart(self) -> None:
        """Make all victims start again."""
        for one in self.besieged:
            one.restart()

    @property
    def alone_seconds(self) -> float:
        """The longest time that a victim had no honest neighbour of its own choice."""
        return max(one.alone_seconds for one in self.besieged)

    def _address_of(self, node: Node) -> str:
        number = node.number
        if node.is_honest:
            prefix = self._random.randrange(limits.ECLIPSE_HONEST_PREFIXES)
        else:
            prefix = _ATTACKERS_FROM + self._random.randrange(limits.ECLIPSE_PREFIXES)
        return join_address(f"/ip4/10.{prefix}.{number >> 8}.{number & 255}/tcp/4001", node.id)


def kinds_of_nodes(count: int) -> tuple[type[Node], ...]:
    """Of each number: honest nodes first, of these the victims last, and then attackers."""
    honest = max(limits.ECLIPSE_HONEST_MIN, round(limits.ECLIPSE_HONEST_SHARE * count))
    honest = min(honest, count - 1)
    victims = max(1, round(limits.ECLIPSE_VICTIM_SHARE * honest))
    attackers = count - honest
    return (Node,) * (honest - victims) + (Victim,) * victims + (Attacker,) * attackers
