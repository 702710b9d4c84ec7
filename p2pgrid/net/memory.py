"""The in-memory adapter: whole grids in one process, on trio's clock.

Under a virtual clock hours pass in milliseconds. Latency and loss come from one
seed; the order in which trio runs tasks does not, so a run is alike, not equal.
Gossip is the router of `spreading`, as on libp2p.
"""

import logging
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from random import Random

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, Unreachable
from p2pgrid.limits.net import (
    BULK_CONNECTIONS_PER_PEER_MAX,
    REQUEST_BODY_BYTES_MAX,
    REQUESTS_PER_PEER_MAX,
)
from p2pgrid.model.ids import NETWORK_ID_BYTES, NetworkId, NodeId, short
from p2pgrid.net.address import join_address, split_address
from p2pgrid.net.address_book import AddressBook
from p2pgrid.net.bulk_socket import serve_bulk_stream
from p2pgrid.net.control import Answer, Failure, Request, error_of
from p2pgrid.net.control_session import Service
from p2pgrid.net.desk import Desk
from p2pgrid.net.links import Link
from p2pgrid.net.memory_bulk import open_pair
from p2pgrid.net.memory_link import MemoryLink
from p2pgrid.net.network import (
    BulkHandler,
    BulkStream,
    GossipMessage,
    Method,
    Network,
    PeerDown,
    PeerEvent,
    PeerUp,
    RequestHandler,
    Topic,
    Validator,
)
from p2pgrid.net.peer_events import PeerEvents
from p2pgrid.net.prefix import prefix_of
from p2pgrid.net.scopes import bare_errors
from p2pgrid.net.spread_driver import SpreadDriver
from p2pgrid.net.spread_messages import Push, SpreadMessage
from p2pgrid.net.standing import Fault, Standing

log = logging.getLogger(__name__)

_NO_NETWORK = NetworkId(bytes(NETWORK_ID_BYTES))


class MemoryHub:
    """What connects the nodes of one simulated world."""

    def __init__(
        self, *, seed: int = 0, latency_seconds: float = 0.01, gossip_loss: float = 0.0
    ) -> None:
        self.latency_seconds = latency_seconds
        """Mean of one way; each varies by half."""
        self.gossip_loss = gossip_loss
        """Share of gossip deliveries between two neighbours that are lost."""
        self._seed = seed
        self._random = Random(seed)  # noqa: S311 - a simulation, to be repeatable
        self._nodes: dict[NodeId, _MemoryNetwork] = {}
        self._groups: list[frozenset[NodeId]] = []

    @asynccontextmanager
    async def open(
        self, key: SigningKey, *, network_id: NetworkId = _NO_NETWORK, transport: str = ""
    ) -> AsyncGenerator[Network]:
        """A node of this world, up during the block.

        Args:
            key: its identity.
            network_id: its grid.
            transport: where it is, say `/ip4/10.1.0.1/tcp/4001`; a place of its own by default.
        """
        node = _MemoryNetwork(self, NodeId(bytes(key.verify_key)), network_id, transport)
        assert node.id not in self._nodes, f"{short(node.id)} is up already"
        with bare_errors():
            async with trio.open_nursery() as nursery:
                node.nursery = nursery
                nursery.start_soon(node.gossip.run)
                self._nodes[node.id] = node
                try:
                    yield node
                finally:
                    del self._nodes[node.id]
                    node.close()
                    nursery.cancel_scope.cancel()

    def partition(self, *groups: Collection[NodeId]) -> None:
        """Let nodes reach only those of their own group. Who is in none is in one with the rest."""
        self._groups = [frozenset(group) for group in groups]
        for node in self._nodes.values():
            for link in node.open_links():
                if not self._reaches(link.left.id, link.right.id):
                    link.break_off()

    def heal(self) -> None:
        """End the partition. Nodes find each other again only by connecting."""
        self._groups = []

    def node(self, asker: NodeId, wanted: NodeId) -> "_MemoryNetwork":
        """The node that answers to `wanted`. Raises Unreachable."""
        node = self._nodes.get(wanted)
        if node is None or not self._reaches(asker, wanted):
            raise Unreachable(f"cannot reach {short(wanted)}")
        return node

    def delay_seconds(self) -> float:
        """Of one way, this time."""
        return self.latency_seconds * self._random.uniform(0.5, 1.5)

    def random(self, node: NodeId) -> Random:
        """For the choices of one node."""
        return Random(f"{self._seed} {node.hex()}")  # noqa: S311 - a simulation, to be repeatable

    def loses_gossip(self) -> bool:
        """Whether this delivery is lost."""
        return self._random.uniform(0, 1) < self.gossip_loss

    def _reaches(self, left: NodeId, right: NodeId) -> bool:
        return self._group_of(left) == self._group_of(right)

    def _group_of(self, node: NodeId) -> int:
        return next((at for at, group in enumerate(self._groups) if node in group), -1)


class _MemoryNetwork:
    """See `Network`."""

    def __init__(self, hub: MemoryHub, node: NodeId, network_id: NetworkId, transport: str) -> None:
        self.nursery: trio.Nursery
        self.transport = transport or f"/memory/{node.hex()}"
        self.network_id = network_id
        self.handlers: dict[str, RequestHandler] = {}
        self.service = Service(self.handlers, Desk(self.prefix_of_peer))
        self.bulk_handler: BulkHandler | None = None
        self.slots: dict[NodeId, trio.Semaphore] = {}
        self._hub = hub
        self._id = node
        self._links: dict[NodeId, MemoryLink[_MemoryNetwork]] = {}
        self._book = AddressBook()
        self._events = PeerEvents()
        self._standing = Standing()
        self.gossip = SpreadDriver(
            hub.random(node),
            send=self._send,
            blame=lambda peer: self._blame(peer, Fault.GOSSIP),
            thank=self._thank,
        )

    @property
    def id(self) -> NodeId:
        """See `Network.id`."""
        return self._id

    def addresses(self) -> tuple[str, ...]:
        """See `Network.addresses`."""
        return (join_address(self.transport, self._id),)

    def peers(self) -> tuple[NodeId, ...]:
        """See `Network.peers`."""
        return tuple(sorted(self._links))

    def links(self) -> tuple[Link, ...]:
        """See `Network.links`."""
        now = trio.current_time()
        return tuple(
            self._links[peer].seen_by(self, self._standing.faults(peer, now))
            for peer in self.peers()
        )

    def round_trips_us(self) -> Mapping[NodeId, int]:
        """See `Network.round_trips_us`; the delays vary around this one."""
        return dict.fromkeys(self.peers(), round(2e6 * self._hub.latency_seconds))

    def prefix_of_peer(self, peer: NodeId) -> str:
        """See `Network.prefix_of_peer`."""
        link = self._links.get(peer)
        return prefix_of(link.other(self).transport) if link is not None else ""

    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """See `Network.peer_events`."""
        return self._events.subscribe()

    def learn_addresses(self, peer: NodeId, addresses: Sequence[str]) -> None:
        """See `Network.learn_addresses`."""
        self._book.learn(peer, addresses)

    def addresses_of(self, peer: NodeId) -> tuple[str, ...]:
        """See `Network.addresses_of`."""
        return tuple(join_address(one, peer) for one in self._book.transports(peer))

    def nearby(self) -> tuple[str, ...]:
        """See `Network.nearby`; there is no local network here."""
        return ()

    async def connect(self, address: str) -> NodeId:
        """See `Network.connect`."""
        transport, peer = split_address(address)
        if peer == self._id:
            raise BadInput(f"{address} is this node itself")
        if transport != self._hub.node(self._id, peer).transport:
            raise Unreachable(f"{address} did not answer")
        self._book.learn(peer, (address,))
        await self._reach(peer)
        return peer

    async def disconnect(self, peer: NodeId) -> None:
        """See `Network.disconnect`."""
        await trio.lowlevel.checkpoint()
        if peer in self._links:
            self._links[peer].break_off()

    def blame(self, peer: NodeId) -> None:
        """See `Network.blame`."""
        self._blame(peer, Fault.ANSWER)

    async def publish(self, topic: Topic, data: bytes) -> None:
        """See `Network.publish`."""
        await self.gossip.publish(topic, data)

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """See `Network.subscribe`."""
        return self.gossip.subscribe(topic, validate)

    async def request(self, peer: NodeId, method: Method, body: bytes) -> bytes:
        """See `Network.request`."""
        if len(body) > REQUEST_BODY_BYTES_MAX:
            raise ValueError(f"body of {len(body)} bytes, the limit is {REQUEST_BODY_BYTES_MAX}")
        link = await self._reach(peer)
        with trio.CancelScope() as scope:
            link.scopes.add(scope)
            try:
                reply = await self._ask(link, Request(0, method, body))
            finally:
                link.scopes.discard(scope)
            if isinstance(reply, Failure):
                raise error_of(reply)
            link.useful_at[self._id] = trio.current_time()
            return reply.body
        raise Unreachable(f"the connection to {short(peer)} broke off")

    def serve(self, method: Method, handler: RequestHandler) -> None:
        """See `Network.serve`."""
        assert method not in self.handlers, f"{method} is served already"
        self.handlers[method] = handler

    async def open_bulk(self, peer: NodeId) -> BulkStream:
        """See `Network.open_bulk`."""
        link = await self._reach(peer)
        await trio.sleep(2 * self._hub.delay_seconds())
        server = link.other(self)
        open_count = sum(one.owner == self._id for one in link.streams)
        if server.bulk_handler is None or open_count >= BULK_CONNECTIONS_PER_PEER_MAX:
            raise Unreachable(f"{short(peer)} offers no bulk connection")
        if not link.is_open:
            raise Unreachable(f"the connection to {short(peer)} broke off")
        ours, theirs = open_pair(link.streams, self._hub.delay_seconds, self._id, peer)
        server.nursery.start_soon(serve_bulk_stream, server.bulk_handler, self._id, theirs)
        return ours

    def serve_bulk(self, handler: BulkHandler) -> None:
        """See `Network.serve_bulk`."""
        assert self.bulk_handler is None, "bulk connections are served already"
        self.bulk_handler = handler

    # --- inside -----------------------------------------------------------------------------------

    def open_links(self) -> "tuple[MemoryLink[_MemoryNetwork], ...]":
        """Open connections."""
        return tuple(self._links.values())

    def close(self) -> None:
        """Leave the world."""
        for link in self.open_links():
            link.break_off()
        self._events.close()
        self.gossip.close()

    def on_up(self, link: "MemoryLink[_MemoryNetwork]") -> None:
        """A connection is open."""
        peer = link.other(self)
        self._links[peer.id] = link
        self._book.learn(peer.id, peer.addresses())
        self._events.tell(PeerUp(peer.id))
        self.gossip.peer_up(peer.id)

    def on_down(self, peer: NodeId) -> None:
        """A connection is gone."""
        del self._links[peer]
        self._events.tell(PeerDown(peer))
        self.gossip.peer_down(peer)

    def refuses(self, peer: NodeId) -> bool:
        """Whether we hung up on it lately for what it sent."""
        return self._standing.is_shunned(peer, trio.current_time())

    def _blame(self, peer: NodeId, fault: Fault) -> None:
        if self._standing.blame(peer, fault, trio.current_time()):
            log.warning("hanging up on %s: it keeps sending what is invalid", short(peer))
            if peer in self._links:
                self._links[peer].break_off()

    async def _reach(self, peer: NodeId) -> "MemoryLink[_MemoryNetwork]":
        """A connection to `peer`, opened if need be. Raises Unreachable."""
        if peer in self._links:
            return self._links[peer]
        if not self._book.transports(peer):
            raise Unreachable(f"cannot reach {short(peer)}: no address is known")
        await trio.sleep(2 * self._hub.delay_seconds())
        node = self._hub.node(self._id, peer)
        if node.network_id != self.network_id:
            log.warning("hanging up on %s: it is of another grid", short(peer))
            raise Unreachable(f"{short(peer)} is of another grid ({node.network_id.hex()})")
        if node.refuses(self._id) or self.refuses(peer):
            raise Unreachable(f"{short(peer)} refuses us for what we sent, or we it")
        if peer not in self._links:
            link = MemoryLink(self, node, trio.current_time())
            self.on_up(link)
            node.on_up(link)
        return self._links[peer]

    async def _ask(self, link: "MemoryLink[_MemoryNetwork]", request: Request) -> Answer | Failure:
        """Let the other node's tasks do the work, so that it ends when that node does."""
        server = link.other(self)
        slots = server.slots.setdefault(self._id, trio.Semaphore(REQUESTS_PER_PEER_MAX))
        replies: list[Answer | Failure] = []
        done = trio.Event()

        async def work(scope: trio.CancelScope) -> None:
            with scope:
                replies.append(await server.service.answer(self._id, request))
            done.set()

        await trio.sleep(self._hub.delay_seconds())
        async with slots:
            scope = trio.CancelScope()
            server.nursery.start_soon(work, scope)
            try:
                await done.wait()
            finally:
                scope.cancel()
        await trio.sleep(self._hub.delay_seconds())
        return replies[0]

    # --- gossip -----------------------------------------------------------------------------------

    def _send(self, peer: NodeId, message: SpreadMessage) -> None:
        link = self._links.get(peer)
        if link is None or (isinstance(message, Push) and self._hub.loses_gossip()):
            return
        link.gossip[self._id].append(message)
        node = link.other(self)
        node.nursery.start_soon(node.take_gossip, link)

    async def take_gossip(self, link: "MemoryLink[_MemoryNetwork]") -> None:
        """A neighbour said something; whatever wakes first hears what was said first."""
        await trio.sleep(self._hub.delay_seconds())
        speaker = link.other(self).id
        message = link.gossip[speaker].popleft()
        if link.is_open:
            self.gossip.receive(speaker, message)

    def _thank(self, peer: NodeId) -> None:
        if peer in self._links:
            self._links[peer].useful_at[self._id] = trio.current_time()
