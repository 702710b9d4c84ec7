"""GossipSub 1.1, set up so that it neither dies of a bad packet nor loses messages silently.

Only peers that have proved to be of our grid take part. A publisher sends to
every peer it has, not just to its mesh: a mesh that formed badly otherwise
swallows everything one node says. It stays lossy, so whoever publishes
also reconciles.
"""

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.pubsub_notifee import PubsubNotifee
from libp2p.tools.anyio_service import background_trio_service

from p2pgrid.limits.net import (
    GOSSIP_BURST_MESSAGES,
    GOSSIP_BYTES_MAX,
    GOSSIP_CHECK_SECONDS,
    GOSSIP_PEER_BURST_MESSAGES,
    GOSSIP_PEER_PER_SECOND_MAX,
    GOSSIP_PER_SECOND_MAX,
    GOSSIP_STREAMS_PER_PEER_MAX,
    HELLO_SECONDS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import node_of_peer_id, peer_id_bytes
from p2pgrid.net.inbox import Inbox
from p2pgrid.net.libp2p_host import swarm_of
from p2pgrid.net.libp2p_patches import reset_quietly
from p2pgrid.net.network import GossipMessage, Topic, Validator, Verdict
from p2pgrid.net.pace import TokenBucket
from p2pgrid.units import KIB

log = logging.getLogger(__name__)

_PROTOCOL = TProtocol("/meshsub/1.1.0")
"""1.2 adds IDONTWANT, which costs more than it saves for messages of our size."""
_RPC_BYTES_MAX = 256 * KIB
_SEEN_SECONDS = 300
_TOPICS_PER_PEER_MAX = 16
_STREAM_SECONDS_MAX = 5.0


class Members(Protocol):
    """Who is of our grid."""

    async def wait_member(self, peer: NodeId) -> None:
        """Return once a connected peer has greeted with our network id. Raises Unreachable."""
        ...

    def members(self) -> tuple[NodeId, ...]:
        """All that have."""
        ...

    def blame(self, peer: NodeId) -> None:
        """It sent something objectively invalid."""
        ...

    def thank(self, peer: NodeId) -> None:
        """It sent something new."""
        ...


class Gossip:
    """Publishing, and an inbox for each topic."""

    def __init__(self, host: IHost, members: Members) -> None:
        self._members = members
        self._router = new_router()
        self._pubsub = _GuardedPubsub(host, self._router, members)
        self._inboxes: dict[Topic, Inbox] = {}
        self._nursery: trio.Nursery | None = None
        self._pace = TokenBucket(
            per_second=GOSSIP_PER_SECOND_MAX,
            burst=GOSSIP_BURST_MESSAGES,
            now=trio.current_time(),
        )
        self._turn = trio.Lock()

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Run during the block."""
        async with (
            background_trio_service(self._pubsub),
            background_trio_service(self._router),
            trio.open_nursery() as nursery,
        ):
            await self._pubsub.wait_until_ready()
            self._nursery = nursery
            for topic in self._inboxes:
                nursery.start_soon(self._pubsub.subscribe, topic.value)
            nursery.start_soon(self._check_streams)
            yield
            nursery.cancel_scope.cancel()
            for inbox in self._inboxes.values():
                inbox.close()

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """See `Network.subscribe`."""
        assert topic not in self._inboxes, f"{topic} is subscribed to already"
        inbox = self._inboxes[topic] = Inbox(validate)
        self._pubsub.set_topic_validator(topic.value, self._consumer(inbox), False)  # noqa: FBT003 - libp2p has it so
        if self._nursery is not None:
            self._nursery.start_soon(self._pubsub.subscribe, topic.value)
        return inbox.messages

    async def publish(self, topic: Topic, data: bytes) -> None:
        """See `Network.publish`."""
        if len(data) > GOSSIP_BYTES_MAX:
            raise ValueError(f"message of {len(data)} bytes, the limit is {GOSSIP_BYTES_MAX}")
        async with self._turn:
            await trio.sleep(self._pace.wait_seconds(trio.current_time()))
            self._pace.take(trio.current_time())
        await self._pubsub.publish(topic.value, data)

    async def admit(self, peer: NodeId) -> None:
        """Exchange subscriptions with a peer that is of our grid now."""
        peer_id = ID(peer_id_bytes(peer))
        with trio.move_on_after(_STREAM_SECONDS_MAX):
            await self._pubsub.ensure_peer_stream(peer_id, _STREAM_SECONDS_MAX)

    def forget(self, peer: NodeId) -> None:
        """Its last connection is gone."""
        self._pubsub.forget(ID(peer_id_bytes(peer)))

    def _consumer(self, inbox: Inbox):  # type: ignore[no-untyped-def]  # noqa: ANN202 - libp2p's
        """Consume while validating: subscription channels of libp2p drop all beyond 32."""

        def consume(forwarder: ID, message: Message) -> bool:
            own = self._pubsub.my_id.to_bytes()
            if forwarder.to_bytes() == own:
                return True
            peer = node_of_peer_id(forwarder.to_bytes())
            if peer is None or message.from_id == own:  # our own, before we were restarted
                return False
            verdict = inbox.offer(GossipMessage(peer, message.data))
            if verdict is Verdict.REJECT:
                self._members.blame(peer)
            elif verdict is Verdict.ACCEPT:
                self._members.thank(peer)
            return verdict is Verdict.ACCEPT

        return consume

    async def _check_streams(self) -> None:
        """B13: a stream that failed to negotiate left its peer out until it reconnected."""
        while True:
            await trio.sleep(GOSSIP_CHECK_SECONDS)
            for peer in self._members.members():
                self._pubsub.drop_closed_stream(ID(peer_id_bytes(peer)))
                await self.admit(peer)


class FloodPublishingRouter(GossipSub):
    """Sends own messages to all subscribers it knows; forwards those of others by the mesh."""

    def _get_peers_to_send(
        self,
        topic_ids: Iterable[str],
        msg_forwarder: ID,
        origin: ID,
        msg_id: bytes | None = None,
    ) -> Iterable[ID]:
        topics = list(topic_ids)
        yield from super()._get_peers_to_send(topics, msg_forwarder, origin, msg_id)
        assert self.pubsub is not None
        if msg_forwarder != self.pubsub.my_id:
            return
        in_mesh = {peer for topic in topics for peer in self.mesh.get(topic, ())}
        for topic in topics:
            yield from self.pubsub.peer_topics.get(topic, set()) - in_mesh


def new_router() -> FloodPublishingRouter:
    """Measured with these: every message arrives, meshes and partitions heal.

    The constructor's defaults forward 10 messages a second and beat every 120 s.
    """
    router = FloodPublishingRouter(
        protocols=[_PROTOCOL],
        degree=6,
        degree_low=4,
        degree_high=12,
        heartbeat_interval=1,
        gossip_window=3,
        gossip_history=5,
        prune_back_off=15,
        adaptive_gossip_enabled=False,
        spam_protection_enabled=False,
        eclipse_protection_enabled=False,
        max_pending_messages_per_peer=1,
        pending_messages_ttl=0.0,
    )
    # Written for adaptive gossip only, but kept for ever when that is off.
    router.recent_message_deliveries = defaultdict(lambda: deque(maxlen=1))  # type: ignore[return-value, arg-type]
    return router


class _GuardedPubsub(Pubsub):
    """Drops what is malformed together with the stream it came on, and goes on."""

    def __init__(self, host: IHost, router: GossipSub, members: Members) -> None:
        super().__init__(
            host,
            router,
            seen_ttl=_SEEN_SECONDS,
            validation_cache_size=64,
            max_inbound_rpc_size=_RPC_BYTES_MAX,
            max_subscriptions_per_peer=_TOPICS_PER_PEER_MAX,
            allowed_topics=frozenset(topic.value for topic in Topic),
        )
        # Sequence numbers from seconds collide with what others saw before a restart.
        self.counter = time.time_ns()
        self._members = members
        self._inbound: Counter[ID] = Counter()
        self._paces: dict[ID, TokenBucket] = {}
        _remove_notifee(host)

    async def push_msg(self, msg_forwarder: ID, msg: Message) -> None:
        """B4, B5: a malformed key or a raising validator ended the service."""
        if msg_forwarder == self.my_id:
            await super().push_msg(msg_forwarder, msg)
            return
        if not self._has_pace(msg_forwarder) or len(msg.topicIDs) != 1:
            return
        try:
            await super().push_msg(msg_forwarder, msg)
        except Exception as error:  # noqa: BLE001 - whatever the peer sent, we go on
            log.debug("a message from %s is malformed: %r", msg_forwarder, error)

    async def stream_handler(self, stream: INetStream) -> None:
        """B3: a malformed protobuf ended the service. Only members of the grid get here."""
        peer_id = stream.muxed_conn.peer_id
        peer = node_of_peer_id(peer_id.to_bytes())
        if peer is None or self._inbound[peer_id] >= GOSSIP_STREAMS_PER_PEER_MAX:
            await reset_quietly(stream)
            return
        self._inbound[peer_id] += 1
        try:
            with trio.fail_after(HELLO_SECONDS_MAX):
                await self._members.wait_member(peer)
            await super().stream_handler(stream)
        except Exception as error:  # noqa: BLE001 - whatever the peer sent, we go on
            log.debug("gossip from %s dropped: %r", peer_id, error)
            await reset_quietly(stream)
            self._handle_dead_peer(peer_id)
        finally:
            self._inbound[peer_id] -= 1
            if not self._inbound[peer_id]:
                del self._inbound[peer_id]

    def notify_subscriptions(self, publish_message: Message) -> None:
        """Nothing: messages were consumed when they were validated."""

    def forget(self, peer_id: ID) -> None:
        """The last connection to a peer is gone."""
        self._handle_dead_peer(peer_id)
        self._paces.pop(peer_id, None)

    def drop_closed_stream(self, peer_id: ID) -> None:
        """Notice that the connection of an outbound stream closed while another lives."""
        stream = self.peers.get(peer_id)
        if stream is not None and stream.muxed_conn.is_closed:
            self._handle_dead_peer(peer_id)

    def _has_pace(self, peer_id: ID) -> bool:
        now = trio.current_time()
        if peer_id not in self._paces:
            self._paces[peer_id] = TokenBucket(
                per_second=GOSSIP_PEER_PER_SECOND_MAX, burst=GOSSIP_PEER_BURST_MESSAGES, now=now
            )
        return self._paces[peer_id].take(now)


def _remove_notifee(host: IHost) -> None:
    """Do not gossip with whoever connects: members are admitted one by one."""
    network = swarm_of(host)
    for notifee in list(network.notifees):
        if isinstance(notifee, PubsubNotifee):
            network.remove_notifee(notifee)
