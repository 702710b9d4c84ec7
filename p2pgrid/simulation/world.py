"""A grid of simulated nodes: who is linked with whom, what travels, and what is measured."""

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

from nacl.signing import SigningKey

from p2pgrid.crdt.register import register_key
from p2pgrid.errors import PeerError
from p2pgrid.explorer import records
from p2pgrid.explorer.announce import NodeFacts, Stamp, announcement_of, update_of
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.records import QUOTAS, ExplorerRecord, key_parts
from p2pgrid.explorer.shelf import Quota
from p2pgrid.explorer.view import View
from p2pgrid.limits.net import DISCOVERY_RETRY_SECONDS_MAX
from p2pgrid.limits.simulation import (
    CHANGES_PER_HOUR,
    CLOCK_SKEW_MS_MAX,
    HOP_SECONDS,
    MEMBERS_OUTBOUND,
    MESSAGE_OVERHEAD_BYTES,
    SETTLE_SECONDS,
    VERIFIED_MAX,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId, NetworkId, NodeId
from p2pgrid.model.node import Feature, Hardware
from p2pgrid.net.network import Topic
from p2pgrid.net.spread_messages import Announce, Pull, Push, SpreadMessage
from p2pgrid.net.spreading import Router
from p2pgrid.simulation.copies import copies_of
from p2pgrid.simulation.disk import Disk, DiskStore
from p2pgrid.simulation.node import Exchange, InMemory, Node, OnDisk
from p2pgrid.simulation.scheduler import Scheduler
from p2pgrid.simulation.sizes import spread_size
from p2pgrid.simulation.wires import Faults, Wires
from p2pgrid.store.store import Table
from p2pgrid.units import GIB, HOUR_MS, TimestampMs
from p2pgrid.wire.codec import kind_of
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, sign

NETWORK = NetworkId(blake2b(b"simulated grid", digest_size=16).digest())
_LOSSY = (Push, Announce, Pull)
_START_MS = 1_800_000_000_000
"""What a right clock says when a run begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a scenario wants of its grid."""

    nodes: int
    seed: int
    changes_per_hour: float = CHANGES_PER_HOUR
    """Of each node, on average, while there are changes."""
    faults: Faults = Faults()  # noqa: RUF009 - frozen
    has_disks: bool = False
    """Whether nodes may die, and keep what their disks kept."""
    skew_ms_max: int = CLOCK_SKEW_MS_MAX // 2
    """How wrong a clock may be, either way: no two differ by more than what is taken at once."""
    quotas: Mapping[RecordKind, Quota] | None = None
    """Places for records; None: those of the program."""


class World:
    """All nodes and what lies between them."""

    def __init__(self, setting: Setting, kind_of_node: Callable[[int], type[Node]]) -> None:
        self.setting = setting
        self.scheduler = Scheduler(setting.seed)
        self.network = NETWORK
        self.hop_seconds = HOP_SECONDS
        self.skew_ms_max = setting.skew_ms_max
        self.first_incarnation = (_START_MS - HOUR_MS) // 1000
        self.wires = Wires(self.scheduler, setting.nodes, setting.faults)
        self.rejected = 0
        """Pieces of objectively invalid input that honest nodes refused."""
        self.delays = array("d")
        """Of every delivery of a measured record to an honest node, seconds."""
        self.copies = 0
        self.gossip_bytes = 0
        self.reconcile_bytes = 0
        self.newest: dict[tuple[int, NodeId], bytes] = {}
        """By kind and honest author, the id of the latest record."""
        self.ended: Callable[[Node, Exchange], None] = lambda _node, _exchange: None
        """Called when a pull went through."""
        self.is_measuring = False
        self._weighed: tuple[SpreadMessage | None, int, int] = (None, 0, 0)
        """The last message, what it weighs, and how many measured records are in it."""
        self._published: dict[bytes, float] = {}
        self._measured: set[bytes] = set()
        self.wrongly_blamed = 0
        """Times that an honest node held something against another honest one."""
        self._verified: dict[bytes, Signed[ExplorerRecord] | PeerError | None] = {}
        self._disks: dict[int, Disk] = {}
        self.nodes = [
            kind_of_node(number)(self, number, key, facts_of(number, key))
            for number in range(setting.nodes)
            for key in [_key_of(f"node {number}")]
        ]
        self._node_of = {node.id: node for node in self.nodes}
        self._link()

    def true_ms(self) -> int:
        """What a right clock says."""
        return _START_MS + int(self.scheduler.now * 1000)

    @property
    def honest(self) -> list[Node]:
        """Nodes that do what the program does, and are up."""
        return [node for node in self.nodes if node.is_honest and node.is_up]

    # --- birth ------------------------------------------------------------------------------------

    def start_settled(self) -> None:
        """Begin as a grid that has run for long: everybody is up and knows everybody."""
        seen = [signed for node in self.nodes for signed in self._past_of(node)]
        quotas = self.setting.quotas or QUOTAS
        everything = View(quotas)
        for signed in seen:
            everything.accept(signed, TimestampMs(_START_MS))
        views = copies_of(everything, len(self.nodes))
        past = [(Table.REGISTER.key(*key_parts(register_key(one))), one.envelope) for one in seen]
        for node, view in zip(self.nodes, views, strict=True):
            if self.setting.has_disks:
                self._disks[node.number] = Disk(dict(past))
                self._boot(node)
            else:
                node.boot(InMemory(view, self, node.now_ms))
            node.announcer.facts, node.announcer.load = node.facts, node.load
            node.announcer.announced_ms = node.announcer.updated_ms = node.now_ms()
        for node in self.nodes:
            for peer in node.peers():
                self.connect(node.number, peer)
        self.scheduler.run(SETTLE_SECONDS)

    def _boot(self, node: Node) -> None:
        store = DiskStore(self._disks[node.number])
        quotas = self.setting.quotas or QUOTAS
        node.boot(OnDisk(Archive(store, NETWORK, node.now_ms, quotas=quotas)))

    def kill(self, node: Node) -> None:
        """Power off: what was not committed may be torn."""
        for peer in node.peers():
            self.disconnect(node.number, peer)
        node.is_up = False
        self._disks[node.number].lose_power(node.random)

    def revive(self, node: Node) -> None:
        """Start a node that was killed: a new incarnation, which announces itself."""
        self._boot(node)
        for peer in node.peers():
            self.connect(node.number, peer)
        node.speak()

    def _past_of(self, node: Node) -> list[Signed[ExplorerRecord]]:
        stamp = Stamp(self.first_incarnation, 0, TimestampMs(_START_MS - HOUR_MS))
        said: list[ExplorerRecord] = [
            announcement_of(node.facts, stamp),
            update_of(node.id, node.load, stamp),
        ]
        signed = [sign(one, node.key, NETWORK) for one in said]
        if node.is_honest:
            for one in signed:
                self._is_newest(node, one)
        return signed

    def _link(self) -> None:
        members = [node for node in self.nodes if node.is_settled]
        random, count = self.scheduler.random_of("links"), len(members)
        pairs: set[tuple[int, int]] = set()
        for place, number in enumerate([node.number for node in members]):
            for _ in range(min(MEMBERS_OUTBOUND, count - 1)):
                peer = members[_other(random, place, count)].number
                pair = (min(number, peer), max(number, peer))
                if pair not in pairs:
                    pairs.add(pair)
        ways = sorted(pairs | {(high, low) for low, high in pairs})
        for number, peer in ways:  # those of one node next to each other, also in memory
            self.nodes[number].link(self.nodes[peer], self.wires.wire(number, peer))

    # --- what travels -----------------------------------------------------------------------------

    def node_of(self, identity: NodeId) -> Node:
        """The node with this id."""
        return self._node_of[identity]

    def router_of(self, node: Node) -> Router:
        """A router as the program sets it up."""
        return Router(node.random, [Topic.CAPACITY])

    def are_apart(self, one: int, other: int) -> bool:
        """Whether two linked nodes cannot be connected now."""
        return not self.nodes[other].is_up or self.wires.are_cut(one, other)

    def reachable(self, node: Node) -> list[int]:
        """The peers that a node is connected to."""
        return [link.target.number for link in node.links.values() if link.is_open]

    def connect(self, one: int, other: int) -> None:
        """Open a connection, unless one is open, or a side is down or cut off."""
        node, peer = self.nodes[one], self.nodes[other]
        if node.links[peer.id].is_open or not node.is_up or self.are_apart(one, other):
            return
        node.links[peer.id].is_open = peer.links[node.id].is_open = True
        node.connected(peer.id)
        peer.connected(node.id)

    def disconnect(self, one: int, other: int) -> None:
        """End a connection, if there is one."""
        node, peer = self.nodes[one], self.nodes[other]
        if node.links[peer.id].is_open:
            node.links[peer.id].is_open = peer.links[node.id].is_open = False
            for end, gone in ((node, peer), (peer, node)):
                if end.is_up:
                    end.disconnected(gone.id)

    def spread(self, source: Node, target: NodeId, message: SpreadMessage) -> None:
        """Send a message between routers.

        Streams keep what they carry: only records and ids are lost, as when a queue is full.
        """
        link = source.links[target]
        weighed, size, measured = self._weighed
        if message is not weighed:  # most are sent to several peers in turn
            _, size, measured = self._weighed = self._weigh(message)
        self.copies += measured
        self.gossip_bytes += size + MESSAGE_OVERHEAD_BYTES
        arrival = self.wires.arrival(link.wire, size)
        if arrival is None:
            if isinstance(message, _LOSSY):
                return
            arrival = self.scheduler.now + link.wire.latency
        arrival += self.hop_seconds
        self.scheduler.at(arrival, link.bring, message)
        if self.wires.is_doubled():
            self.scheduler.at(arrival, link.bring, message)

    def _weigh(self, message: SpreadMessage) -> tuple[SpreadMessage, int, int]:
        items = message.items if isinstance(message, Push) else ()
        return message, spread_size(message), sum(one.data in self._measured for one in items)

    def blamed(self, node: Node, peer: NodeId) -> None:
        """A node holds it against a peer that it forwarded what is invalid."""
        if node.is_honest and self.node_of(peer).is_honest:
            self.wrongly_blamed += 1

    def carry(
        self,
        source: Node,
        target: Node,
        size: int,
        deliver: Callable[..., None],
        *arguments: Any,  # noqa: ANN401 - whatever is delivered
    ) -> None:
        """Send a request or an answer of a pull."""
        self.reconcile_bytes += size
        arrival = self.wires.arrival(source.links[target.id].wire, size)
        if arrival is not None:
            self.scheduler.at(arrival, deliver, *arguments)
            if self.wires.is_doubled():
                self.scheduler.at(arrival, deliver, *arguments)

    def verify(self, envelope: bytes) -> Signed[ExplorerRecord] | None:
        """Like `verify_record`; the same bytes are verified once for all nodes."""
        found = self._verified.get(envelope)
        if found is None:
            found = self._remember(envelope)
        if isinstance(found, Signed):
            return found
        if isinstance(found, PeerError):
            raise found
        return None

    def _remember(self, envelope: bytes) -> Signed[ExplorerRecord] | PeerError | None:
        if len(self._verified) >= VERIFIED_MAX:
            self._verified.clear()
        try:
            found: Signed[ExplorerRecord] | PeerError | None
            found = records.verify_record(envelope, NETWORK)
        except PeerError as error:
            found = error
        self._verified[envelope] = found
        return found

    # --- what is measured -------------------------------------------------------------------------

    def published(self, node: Node, signed: Signed[Any]) -> None:
        """An author said something new."""
        if node.is_honest:
            self._is_newest(node, signed)
            if self.is_measuring:
                self._published[signed.id] = self.scheduler.now
                self._measured.add(signed.envelope)

    def reached(self, node: Node, signed: Signed[ExplorerRecord]) -> None:
        """A record is at a node."""
        begun_at = self._published.get(signed.id)
        if begun_at is not None and node.is_honest and node.booted_at <= begun_at:
            self.delays.append(self.scheduler.now - begun_at)

    def pull_ended(self, node: Node, exchange: Exchange) -> None:
        """A pull went through to its end."""
        self.ended(node, exchange)

    @property
    def measured_records(self) -> int:
        """How many records were published while measuring."""
        return len(self._published)

    def lost(self) -> list[tuple[int, bytes]]:
        """(node, id) of every latest honest record that an honest node lacks."""
        wanted = self.newest.values()
        lacking: dict[bytes, list[bytes]] = {}
        for node in self.honest:
            ids = node.view.ids
            if ids.root() not in lacking:
                lacking[ids.root()] = [one for one in wanted if one not in ids]
        return [(node.number, one) for node in self.honest for one in lacking[node.view.ids.root()]]

    def agreement(self) -> float:
        """The share of honest nodes that have the commonest root."""
        roots = Counter(node.view.ids.root() for node in self.honest)
        return roots.most_common(1)[0][1] / roots.total()

    def cut(self, side: Sequence[int]) -> None:
        """Let only nodes on one side reach each other."""
        self.wires.cut(side)
        for node in self.nodes:
            for peer in node.peers():
                if self.wires.are_cut(node.number, peer):
                    self.disconnect(node.number, peer)

    def heal(self) -> None:
        """End the partition: nodes find each other again as their pauses between dials end."""
        self.wires.cut(None)
        for node in self.nodes:
            for peer in node.peers():
                if node.number < peer and peer not in self.reachable(node):
                    pause = node.random.uniform(0.0, DISCOVERY_RETRY_SECONDS_MAX)
                    self.scheduler.after(pause, self.connect, node.number, peer)

    def _is_newest(self, node: Node, signed: Signed[Any]) -> None:
        self.newest[kind_of(type(signed.record)), node.id] = signed.id


def _key_of(name: str) -> SigningKey:
    return SigningKey(blake2b(name.encode(), digest_size=32).digest())


def _other(random: Random, number: int, count: int) -> int:
    peer = random.randrange(count - 1)
    return peer + (peer >= number)


def facts_of(number: int, key: SigningKey) -> NodeFacts:
    """What a node of the grid says of itself."""
    node = NodeId(bytes(key.verify_key))
    peer, high, low = node.hex()[:46], number >> 16, number & 65535
    return NodeFacts(
        node=node,
        farm=FarmId(blake2b(b"farm %d" % (number // 10), digest_size=32).digest()),
        total=Capacity(millicores=32_000, memory_bytes=128 * GIB, ssd_bytes=2000 * GIB),
        system=Capacity(millicores=1_000, memory_bytes=2 * GIB),
        addresses=(
            f"/ip6/2001:db8:{high:x}:{low:x}::1/tcp/4001/p2p/{peer}",
            f"/ip4/10.{high & 255}.{low >> 8}.{low & 255}/tcp/4001/p2p/{peer}",
        ),
        features=(Feature.CONTAINER, Feature.VOLUME),
        hardware=Hardware(board="", cpu_model="", gpus=(), secure_boot=None, virtualized=None),
        boot_ms=TimestampMs(_START_MS - HOUR_MS),
        version="1.0.0",
    )
