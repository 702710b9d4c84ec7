"""For those outside the grid who want to listen: gossipsub on a port of its own, one way only.

Whoever speaks gossipsub (js-libp2p, go-libp2p, py-libp2p) connects, subscribes to OBSERVED
and is sent what this node accepted or said itself. Of what observers say, only their
subscriptions are looked at, so nothing gets into the grid here. The host has a key of its own,
and when it breaks it is opened anew, while the node goes on.
"""

import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b

import trio
from libp2p.abc import IHost, INetConn, INetStream, INetwork, INotifee
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid import clock
from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.observers import (
    OBSERVED_MESSAGES_MAX,
    OBSERVED_PAUSE_SECONDS,
    OBSERVER_BYTES_PER_SECOND,
    OBSERVER_PACKETS_MAX,
    OBSERVER_STREAM_SECONDS_MAX,
    OBSERVER_STREAMS_MAX,
    OBSERVER_SUBSCRIBE_SECONDS_MAX,
    OBSERVERS_MAX,
    OBSERVERS_RESTART_SECONDS_MAX,
    OBSERVERS_RESTART_SECONDS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.libp2p_door import door_of
from p2pgrid.net.libp2p_host import close_sockets, listening_transports, open_host, swarm_of
from p2pgrid.net.libp2p_meshsub import MESHSUB_PROTOCOLS, Publisher, SubscriptionReader
from p2pgrid.net.libp2p_patches import reset_quietly
from p2pgrid.net.libp2p_streams import Libp2pStream
from p2pgrid.net.network import Topic
from p2pgrid.starting import Starting

log = logging.getLogger(__name__)


OBSERVED = frozenset([Topic.CAPACITY.value])
_NS_PER_MS = 1_000_000
_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


def observers_key(key: SigningKey) -> SigningKey:
    """The key of a node's host for observers: lasting, and good for nothing in the grid."""
    return SigningKey(blake2b(key.encode(), digest_size=32, person=b"observers").digest())


class _Observer:
    """One who subscribed, and what waits for it."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_listening = True
        self.dropped_count = 0
        self._packets: deque[bytes] = deque(maxlen=OBSERVER_PACKETS_MAX)
        self._filled = trio.Event()

    def put(self, packet: bytes) -> None:
        self.dropped_count += len(self._packets) == OBSERVER_PACKETS_MAX
        self._packets.append(packet)
        self._filled.set()

    async def take(self) -> bytes:
        while not self._packets:
            self._filled = trio.Event()
            await self._filled.wait()
        return self._packets.popleft()


class _Station(INotifee):
    """The observers of one host, as long as it lasts."""

    def __init__(self, host: IHost, nursery: trio.Nursery) -> None:
        self.observers: dict[ID, _Observer] = {}
        self._host = host
        self._swarm = swarm_of(host)
        self._nursery = nursery
        self._inbound: Counter[ID] = Counter()
        for protocol in MESHSUB_PROTOCOLS:
            host.set_stream_handler(protocol, self._serve)
        self._swarm.register_notifee(self)

    def put(self, packet: bytes) -> None:
        """Send it to all who listen."""
        for observer in self.observers.values():
            if observer.is_listening:
                observer.put(packet)

    async def _serve(self, net_stream: INetStream) -> None:
        peer = net_stream.muxed_conn.peer_id
        if self._inbound[peer] >= OBSERVER_STREAMS_MAX:
            await reset_quietly(net_stream)
            return
        self._inbound[peer] += 1
        stream, reader = Libp2pStream(net_stream), SubscriptionReader()
        try:
            while data := await stream.receive_some():
                for topic, is_wanted in reader.feed(data).items():
                    if topic in OBSERVED:
                        self._take(peer, is_wanted=is_wanted)
                await trio.sleep(len(data) / OBSERVER_BYTES_PER_SECOND)
        except BrokenProtocol as error:
            log.info("hanging up on an observer: %s", error)
            await self._hang_up(peer)
        except _ENDED as error:
            log.debug("an observer's stream ended: %r", error)
        finally:
            self._inbound -= Counter([peer])
            await stream.aclose()

    def _take(self, peer: ID, *, is_wanted: bool) -> None:
        """A peer said whether it wants to listen."""
        if peer in self.observers:
            self.observers[peer].is_listening = is_wanted
        elif is_wanted and len(self.observers) < OBSERVERS_MAX:
            self.observers[peer] = observer = _Observer()
            door_of(self._swarm).settle(self._swarm.get_connections(peer))
            self._nursery.start_soon(self._write, peer, observer)

    async def _write(self, peer: ID, observer: _Observer) -> None:
        """Send to one observer, until it is gone or takes no more."""
        try:
            with observer.scope:
                with trio.fail_after(OBSERVER_STREAM_SECONDS_MAX):
                    opened = await self._host.new_stream(peer, list(MESHSUB_PROTOCOLS))
                stream = Libp2pStream(opened)
                while True:
                    await stream.send_all(await observer.take())
        except Exception as error:  # noqa: BLE001 - libp2p raises what its layers happen to raise
            log.debug("an observer takes no more: %r", error)
        finally:
            del self.observers[peer]
        await self._hang_up(peer)

    async def _hang_up(self, peer: ID) -> None:
        with trio.CancelScope(shield=True):
            await close_sockets(self._swarm.get_connections(peer))
            await self._swarm.close_peer(peer)

    async def _expect_subscription(self, peer: ID) -> None:
        await trio.sleep(OBSERVER_SUBSCRIBE_SECONDS_MAX)
        if peer not in self.observers:
            await self._hang_up(peer)

    # --- what libp2p tells ------------------------------------------------------------------------

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002 - libp2p's
        self._nursery.start_soon(self._expect_subscription, conn.muxed_conn.peer_id)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002 - libp2p's
        peer = conn.muxed_conn.peer_id
        if self._swarm.get_connections(peer):
            return
        if peer in self.observers:
            self.observers[peer].scope.cancel()
        try:  # keys cost nothing to make, and it would remember every one for ever
            self._swarm.peerstore.clear_peerdata(peer)
        except PeerStoreError:
            log.debug("libp2p had noted nothing of %s", peer)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """Nothing."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """Nothing."""


class Observers:
    """Tells observers, whoever they are, as long as `open_observers` says."""

    def __init__(self, key: SigningKey, listen: Sequence[str]) -> None:
        self.dropped_count = 0
        """Records that came faster than observers are told."""
        self._key = observers_key(key)
        self._listen = listen
        self._publisher = Publisher(self._key, clock.now_ms() * _NS_PER_MS)
        self._news: deque[tuple[str, bytes]] = deque(maxlen=OBSERVED_MESSAGES_MAX)
        self._has_news = trio.Event()
        self._station: _Station | None = None
        self._transports: tuple[str, ...] = ()

    def addresses(self) -> tuple[str, ...]:
        """Where observers may connect."""
        node = NodeId(bytes(self._key.verify_key))
        return tuple(join_address(one, node) for one in self._transports)

    def tell(self, topic: str, data: bytes) -> None:
        """Tell observers of an item. Quick; raises nothing."""
        if topic in OBSERVED and self._station is not None and self._station.observers:
            self.dropped_count += len(self._news) == OBSERVED_MESSAGES_MAX
            self._news.append((topic, data))
            self._has_news.set()

    async def run(self, *, task_status: Starting[Sequence[str]] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there for observers until cancelled; starts once it listens for the first time.

        Raises:
            BadInput, Unusable: it cannot listen, the first time.
        """
        pause, has_started = OBSERVERS_RESTART_SECONDS_MIN, False
        while True:
            began_at = trio.current_time()
            try:
                async with open_host(self._key, self._listen) as host:
                    self._transports = listening_transports(host)
                    if not has_started:
                        task_status.started(self.addresses())
                        has_started = True
                    await self._run_station(host)
            except Exception:
                if not has_started:
                    raise
                log.exception("the host for observers broke; it is opened anew in %g s", pause)
            self._station = None
            if trio.current_time() - began_at > OBSERVERS_RESTART_SECONDS_MAX:
                pause = OBSERVERS_RESTART_SECONDS_MIN
            await trio.sleep(pause)
            pause = min(2 * pause, OBSERVERS_RESTART_SECONDS_MAX)

    async def _run_station(self, host: IHost) -> None:
        log.info("observers may listen to %s at %s", ", ".join(OBSERVED), self.addresses())
        async with trio.open_nursery() as nursery:
            self._station = _Station(host, nursery)
            while True:
                await self._has_news.wait()
                self._has_news = trio.Event()
                news = list(self._news)
                self._news.clear()
                for packet in self._publisher.packets(news):
                    self._station.put(packet)
                    await trio.lowlevel.checkpoint()
                await trio.sleep(OBSERVED_PAUSE_SECONDS)


@asynccontextmanager
async def open_observers(key: SigningKey, listen: Sequence[str]) -> AsyncGenerator[Observers]:
    """A host for observers of the node with this key, up during the block.

    Raises:
        BadInput: an address to listen on makes no sense.
        Unusable: it cannot be listened on.
    """
    observers = Observers(key, listen)
    async with trio.open_nursery() as nursery:
        await nursery.start(observers.run)
        yield observers
        nursery.cancel_scope.cancel()
