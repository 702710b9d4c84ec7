"""The libp2p adapter: TCP, Noise and Yamux for control and gossip, own sockets for bulk.

Libp2p takes seconds to import: import this module only to open a network.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext

import trio
from libp2p.abc import IHost, INetConn, INetStream, INetwork, INotifee
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, MalformedRecord, Refused, Unreachable
from p2pgrid.limits.net import DIAL_SECONDS_MAX, NEARBY_PEERS_MAX, PEER_ADDRESSES_MAX
from p2pgrid.model.ids import NetworkId, NodeId, short
from p2pgrid.net.address import join_address, split_address
from p2pgrid.net.address_book import AddressBook
from p2pgrid.net.bulk import BulkOffer
from p2pgrid.net.bulk_routes import BulkRoutes
from p2pgrid.net.bulk_socket import BulkServer, dial_bulk
from p2pgrid.net.control import Hello
from p2pgrid.net.control_session import Asker, Service
from p2pgrid.net.desk import Desk
from p2pgrid.net.libp2p_bulk import StreamLane
from p2pgrid.net.libp2p_dial import Dialler
from p2pgrid.net.libp2p_host import (
    bound_to,
    close_sockets,
    listening_transports,
    open_host,
    remote_host,
    remote_hosts,
    swarm_of,
)
from p2pgrid.net.libp2p_observers import Observers, open_observers
from p2pgrid.net.libp2p_peers import Peers
from p2pgrid.net.libp2p_spreading import Spreading
from p2pgrid.net.links import Link
from p2pgrid.net.mdns import Sighting, open_mdns
from p2pgrid.net.network import (
    BulkHandler,
    BulkStream,
    GossipMessage,
    Method,
    Network,
    PeerEvent,
    RequestHandler,
    Topic,
    Validator,
)
from p2pgrid.net.prefix import prefix_of_host
from p2pgrid.net.scopes import bare_errors
from p2pgrid.net.standing import Fault
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


@asynccontextmanager
async def open_libp2p(
    *,
    key: SigningKey,
    listen: Sequence[str],
    network_id: NetworkId,
    mdns: bool,
    observers: Sequence[str] = (),
) -> AsyncGenerator[Network]:
    """A network on libp2p, up during the block.

    Args:
        key: the node's; its public half is the node's id.
        listen: multiaddrs such as `/ip4/0.0.0.0/tcp/4001`; port 0 takes any.
        network_id: the grid. Peers of others are hung up on.
        mdns: whether to find peers of the same grid on the local network, and be found.
        observers: multiaddrs where those outside the grid may listen; see `libp2p_observers`.

    Raises:
        BadInput: an address makes no sense.
        Unusable: an address cannot be listened on, or libp2p is not the version we know.
    """
    with bare_errors():
        async with (
            open_host(key, listen) as host,
            open_observers(key, observers) if observers else nullcontext() as observed,
        ):
            network = _Libp2pNetwork(key, host, network_id, observed)
            async with network.opened(), network.announced() if mdns else nullcontext():
                yield network


class _Libp2pNetwork:
    """See `Network`."""

    def __init__(
        self, key: SigningKey, host: IHost, network_id: NetworkId, observers: Observers | None
    ) -> None:
        self._id = NodeId(bytes(key.verify_key))
        self._host = host
        self._network_id = network_id
        self._book = AddressBook()
        self._nearby: dict[NodeId, tuple[str, ...]] = {}
        self._handlers: dict[str, RequestHandler] = {Method.BULK_OPEN: self._offer_bulk}
        self._bulk = BulkServer()
        self._bulk_lane = StreamLane(host, self._bulk)
        self._bulk_routes = BulkRoutes()
        self._dialler = Dialler(host)
        self._desk = Desk(self.prefix_of_peer)
        self._peers = Peers(host, self._hello, Service(self._handlers, self._desk), self._on_hello)
        self._gossip = Spreading(
            host, self._peers, self.prefix_of_peer, observers.tell if observers else None
        )
        self._peers.gossip = self._gossip
        self._observers = observers

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None]:
        """Up during the block."""
        swarm = swarm_of(self._host)
        ports = [(ip, port + 1 if port else 0) for ip, port in bound_to(self._host)]
        async with (
            self._bulk.open(ports),
            self._bulk_lane.open(),
            self._peers.open(),
            self._gossip.open(),
        ):
            swarm.register_notifee(_Connections(self._peers))
            for connection in swarm.get_connections():  # those that came before us
                self._peers.on_connected(connection.muxed_conn.peer_id)
            try:
                yield
            finally:
                with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                    await close_sockets(swarm.get_connections())

    @asynccontextmanager
    async def announced(self) -> AsyncGenerator[None]:
        """On the local network, during the block."""
        async with open_mdns(
            node=self._id,
            network_id=self._network_id,
            addresses=self.addresses(),
            on_sighting=self._sight,
        ):
            yield

    @property
    def id(self) -> NodeId:
        """See `Network.id`."""
        return self._id

    def addresses(self) -> tuple[str, ...]:
        """See `Network.addresses`."""
        return tuple(join_address(one, self._id) for one in listening_transports(self._host))

    def peers(self) -> tuple[NodeId, ...]:
        """See `Network.peers`."""
        return self._peers.members()

    def links(self) -> tuple[Link, ...]:
        """See `Network.links`."""
        return self._peers.links()

    def round_trips_us(self) -> Mapping[NodeId, int]:
        """See `Network.round_trips_us`."""
        return self._peers.round_trips_us()

    def prefix_of_peer(self, peer: NodeId) -> str:
        """See `Network.prefix_of_peer`."""
        return prefix_of_host(remote_host(self._host, peer))

    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """See `Network.peer_events`."""
        return self._peers.events.subscribe()

    def learn_addresses(self, peer: NodeId, addresses: Sequence[str]) -> None:
        """See `Network.learn_addresses`."""
        self._book.learn(peer, addresses)

    def addresses_of(self, peer: NodeId) -> tuple[str, ...]:
        """See `Network.addresses_of`."""
        return tuple(join_address(one, peer) for one in self._book.transports(peer))

    def nearby(self) -> tuple[str, ...]:
        """See `Network.nearby`."""
        return tuple(address for addresses in self._nearby.values() for address in addresses)

    async def connect(self, address: str) -> NodeId:
        """See `Network.connect`."""
        transport, peer = split_address(address)
        if peer == self._id:
            raise BadInput(f"{address} is this node itself")
        try:
            Multiaddr(transport)
        except ValueError as error:
            raise BadInput(f"{address} is not an address: {error}") from error
        with trio.move_on_after(DIAL_SECONDS_MAX):
            await self._reach(peer, (transport,))
            self._book.learn(peer, (address,))
            return peer
        raise Unreachable(f"{address} did not answer within {DIAL_SECONDS_MAX:g} s")

    async def disconnect(self, peer: NodeId) -> None:
        """See `Network.disconnect`."""
        await self._peers.hang_up(peer)

    def blame(self, peer: NodeId) -> None:
        """See `Network.blame`."""
        self._peers.blame(peer, Fault.ANSWER)

    async def publish(self, topic: Topic, data: bytes) -> None:
        """See `Network.publish`."""
        await self._gossip.publish(topic, data)

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """See `Network.subscribe`."""
        return self._gossip.subscribe(topic, validate)

    async def request(self, peer: NodeId, method: Method, body: bytes) -> bytes:
        """See `Network.request`."""
        asker = await self._reach(peer, self._book.transports(peer))
        answer = await asker.request(method, body)
        self._peers.thank(peer)
        return answer

    def serve(self, method: Method, handler: RequestHandler) -> None:
        """See `Network.serve`."""
        assert method not in self._handlers, f"{method} is served already"
        self._handlers[method] = handler

    async def open_bulk(self, peer: NodeId) -> BulkStream:
        """See `Network.open_bulk`."""
        try:
            answer = await self.request(peer, Method.BULK_OPEN, b"")
            offer = decode(BulkOffer, answer)
        except (Refused, MalformedRecord) as error:
            raise Unreachable(f"{short(peer)} offers no bulk connection: {error}") from error
        if self._bulk_routes.is_direct(peer, trio.current_time()):
            try:
                stream = await dial_bulk(remote_hosts(self._host, peer), offer)
            except Unreachable as error:
                log.info("the bulk lane to %s runs over libp2p: %s", short(peer), error)
                self._bulk_routes.note(peer, trio.current_time(), is_reached=False)
            else:
                self._bulk_routes.note(peer, trio.current_time(), is_reached=True)
                return stream
        return await self._bulk_lane.dial(peer, offer)

    def serve_bulk(self, handler: BulkHandler) -> None:
        """See `Network.serve_bulk`."""
        assert self._bulk.handler is None, "bulk connections are served already"
        self._bulk.handler = handler

    # --- inside -----------------------------------------------------------------------------------

    async def _reach(self, peer: NodeId, transports: Sequence[str]) -> Asker:
        """Where to send requests to `peer`, dialled if need be. Raises Unreachable."""
        if self._peers.is_shunned(peer):
            raise Unreachable(f"we hung up on {short(peer)} for what it sent")
        if not self._peers.is_connected(peer):
            await self._dialler.dial(peer, transports)
        return await self._peers.asker(peer)

    def _sight(self, sighting: Sighting) -> None:
        self._nearby.pop(sighting.node, None)
        self._nearby[sighting.node] = sighting.addresses
        if len(self._nearby) > NEARBY_PEERS_MAX:
            del self._nearby[next(iter(self._nearby))]

    def _hello(self) -> Hello:
        return Hello(self._network_id, self.addresses()[:PEER_ADDRESSES_MAX])

    def _on_hello(self, peer: NodeId, hello: Hello) -> None:
        self._book.learn(peer, hello.addresses)

    async def _offer_bulk(self, peer: NodeId, _body: bytes) -> bytes:
        if self._bulk.handler is None:
            raise Refused("no bulk connections are served here")
        return encode(self._bulk.offer(peer))


class _Connections(INotifee):
    """Hears of connections from libp2p."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002 - libp2p's
        self._peers.on_connected(conn.muxed_conn.peer_id)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """Nothing: the control stream notices first."""

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""
