"""The router of `spreading` on libp2p: one long-lived stream for each peer and direction.

Only peers that have proved to be of our grid take part. What a peer does not read
in time is dropped for it alone: announcements first, then items, which come to it by
reconciling. What its gossip costs us is counted by `fairness`, and is nobody's fault: who
has used up his share of our CPU, or his prefix its own, waits in his own socket.
"""

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import SystemRandom
from typing import Protocol

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from p2pgrid.errors import BrokenProtocol, Unreachable
from p2pgrid.limits.net import (
    GOSSIP_STREAMS_PER_PEER_MAX,
    HELLO_SECONDS_MAX,
)
from p2pgrid.limits.spreading import GOSSIP_RETRY_SECONDS, GOSSIP_STREAM_SECONDS_MAX
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.address import node_of_peer_id, peer_id_bytes
from p2pgrid.net.fairness import GOSSIP_ALLOWANCES, Budgets
from p2pgrid.net.libp2p_patches import reset_quietly
from p2pgrid.net.libp2p_streams import Libp2pStream
from p2pgrid.net.network import SPREADING_PROTOCOL, GossipMessage, Topic, Validator
from p2pgrid.net.outbox import Outbox, Outboxes
from p2pgrid.net.spread_driver import SpreadDriver
from p2pgrid.net.spread_messages import Announce, SpreadMessage, spread_bytes
from p2pgrid.net.spread_reading import read_gossip
from p2pgrid.net.standing import Fault

log = logging.getLogger(__name__)

_PROTOCOL = TProtocol(SPREADING_PROTOCOL)
_ENDED = (trio.BrokenResourceError, trio.ClosedResourceError)


class Members(Protocol):
    """Who is of our grid."""

    async def wait_member(self, peer: NodeId) -> None:
        """Return once a connected peer has greeted with our network id. Raises Unreachable."""
        ...

    def blame(self, peer: NodeId, fault: Fault = Fault.GOSSIP) -> None:
        """It did something objectively wrong."""
        ...

    def thank(self, peer: NodeId) -> None:
        """It sent something new."""
        ...


class Spreading:
    """Publishing, and an inbox for each topic."""

    def __init__(
        self,
        host: IHost,
        members: Members,
        prefix_of_peer: Callable[[NodeId], str],
        overheard: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._host = host
        self._members = members
        self._prefix_of_peer = prefix_of_peer
        self._budgets = Budgets(GOSSIP_ALLOWANCES)
        self._driver = SpreadDriver(
            SystemRandom(),
            send=self._send,
            blame=members.blame,
            thank=members.thank,
            overheard=overheard,
        )
        self._outboxes = Outboxes()
        self._writers: dict[NodeId, trio.CancelScope] = {}
        self._inbound: Counter[NodeId] = Counter()
        self._said: SpreadMessage | None = None
        self._said_bytes = b""

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Run during the block."""
        async with trio.open_nursery() as nursery:
            self._host.set_stream_handler(_PROTOCOL, self._serve)
            nursery.start_soon(self._driver.run)
            yield
            nursery.cancel_scope.cancel()
        self._driver.close()

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """See `Network.subscribe`."""
        return self._driver.subscribe(topic, validate)

    async def publish(self, topic: Topic, data: bytes) -> None:
        """See `Network.publish`."""
        await self._driver.publish(topic, data)

    async def admit(self, peer: NodeId) -> None:
        """Spread to a peer that is of our grid now, until it is gone."""
        if peer in self._writers:
            return
        outbox = self._up(peer)
        self._writers[peer] = scope = trio.CancelScope()
        with scope:
            while True:
                await self._write(peer, outbox)
                await trio.sleep(GOSSIP_RETRY_SECONDS)
                self._driver.greet(peer)

    def forget(self, peer: NodeId) -> None:
        """Its last connection is gone."""
        scope = self._writers.pop(peer, None)
        if scope is not None:
            scope.cancel()
        if peer in self._outboxes:
            self._outboxes.close(peer)
            self._driver.peer_down(peer)

    def _up(self, peer: NodeId) -> Outbox:
        """Where to put what a member shall hear; whoever notices first that it is one calls."""
        if peer not in self._outboxes:
            self._outboxes.open(peer)
            self._driver.peer_up(peer)
        return self._outboxes.open(peer)

    def _send(self, peer: NodeId, message: SpreadMessage) -> None:
        if message != self._said:  # one message to many peers is encoded once
            self._said, self._said_bytes = message, spread_bytes(message)
        self._outboxes.put(peer, self._said_bytes, is_announcement=isinstance(message, Announce))

    # --- streams ----------------------------------------------------------------------------------

    async def _write(self, peer: NodeId, outbox: Outbox) -> None:
        """One outbound stream, from opening to its end."""
        try:
            with trio.fail_after(GOSSIP_STREAM_SECONDS_MAX):
                opened = await self._host.new_stream(ID(peer_id_bytes(peer)), [_PROTOCOL])
        except Exception as error:  # noqa: BLE001 - libp2p raises what its layers happen to raise
            log.debug("%s takes no gossip stream: %r", short(peer), error)
            return
        stream = Libp2pStream(opened)
        try:
            while True:
                await stream.send_all(await outbox.take())
        except _ENDED as error:
            log.debug("gossip to %s ended: %r", short(peer), error)
        finally:
            await stream.aclose()

    async def _serve(self, net_stream: INetStream) -> None:
        """The handler of inbound streams. Only members of the grid get past the greeting."""
        peer = node_of_peer_id(net_stream.muxed_conn.peer_id.to_bytes())
        if peer is None or self._inbound[peer] >= GOSSIP_STREAMS_PER_PEER_MAX:
            await reset_quietly(net_stream)
            return
        self._inbound[peer] += 1
        stream = Libp2pStream(net_stream)
        try:
            with trio.fail_after(HELLO_SECONDS_MAX):
                await self._members.wait_member(peer)
            self._up(peer)
            prefix = self._prefix_of_peer(peer)
            await read_gossip(
                stream,
                partial(self._driver.receive, peer),
                lambda ms: self._budgets.charge(peer, prefix, ms, trio.current_time()),
            )
        except BrokenProtocol as error:
            log.warning("%s breaks the gossip protocol: %s", short(peer), error)
            self._members.blame(peer, Fault.PROTOCOL)
        except (*_ENDED, Unreachable, trio.TooSlowError) as error:
            log.debug("gossip of %s ended: %r", short(peer), error)
        finally:
            self._inbound[peer] -= 1
            if not self._inbound[peer]:
                del self._inbound[peer]
            await stream.aclose()
