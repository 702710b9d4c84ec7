"""What both adapters need around a router: its clock, its inboxes, and the pace of publishing."""

from collections.abc import Callable
from math import inf
from random import Random

import trio

from p2pgrid.limits.net import (
    GOSSIP_BURST_MESSAGES,
    GOSSIP_BYTES_MAX,
    GOSSIP_MESSAGE_BYTES,
    GOSSIP_PER_SECOND_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.inbox import Inbox
from p2pgrid.net.network import GossipMessage, Topic, Validator, Verdict
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.spread_messages import SpreadMessage
from p2pgrid.net.spreading import Blame, Effect, Router

_WAIT_SECONDS_MIN = 0.001
"""Less might be no time at all to a clock."""


class SpreadDriver:
    """Runs a router: what it calls is the adapter's, quick, and raises nothing.

    `overheard` is told the topic and data of every item that this node gives to others.
    """

    def __init__(
        self,
        random: Random,
        *,
        send: Callable[[NodeId, SpreadMessage], None],
        blame: Callable[[NodeId], None],
        thank: Callable[[NodeId], None],
        overheard: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._router = Router(random)
        self._send = send
        self._blame = blame
        self._thank = thank
        self._overheard = overheard
        self._inboxes: dict[str, Inbox] = {}
        self._changed = trio.Event()
        self._sleeps_until = inf
        self._pace = TokenBucket(
            per_second=GOSSIP_PER_SECOND_MAX,
            burst=GOSSIP_BURST_MESSAGES,
            now=trio.current_time(),
        )
        self._turn = trio.Lock()

    async def run(self) -> None:
        """Do what the router wants to do later, for ever."""
        while True:
            self._changed = trio.Event()
            self._sleeps_until = self._router.wake_at
            with trio.CancelScope(deadline=self._sleeps_until):
                await self._changed.wait()
            if self._router.wake_at <= trio.current_time():
                self._act(self._router.tick(trio.current_time()))

    def close(self) -> None:
        """End the subscribers' channels."""
        for inbox in self._inboxes.values():
            inbox.close()

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """See `Network.subscribe`."""
        assert topic.value not in self._inboxes, f"{topic} is subscribed to already"
        inbox = self._inboxes[topic.value] = Inbox(validate)
        self._act(self._router.subscribe(topic.value))
        return inbox.messages

    async def publish(self, topic: Topic, data: bytes) -> None:
        """See `Network.publish`."""
        if len(data) > GOSSIP_BYTES_MAX:
            raise ValueError(f"message of {len(data)} bytes, the limit is {GOSSIP_BYTES_MAX}")
        count = max(1.0, len(data) / GOSSIP_MESSAGE_BYTES)
        async with self._turn:
            while not self._pace.take(trio.current_time(), count):
                wait = self._pace.wait_seconds(trio.current_time(), count)
                await trio.sleep(max(_WAIT_SECONDS_MIN, wait))
        self._act(self._router.publish(topic.value, data, trio.current_time()))
        self._tell(topic.value, data)

    def peer_up(self, peer: NodeId) -> None:
        """Messages to `peer` can be sent from now on."""
        self._act(self._router.peer_up(peer, trio.current_time()))

    def peer_down(self, peer: NodeId) -> None:
        """It is gone."""
        self._act(self._router.peer_down(peer, trio.current_time()))

    def greet(self, peer: NodeId) -> None:
        """Messages to `peer` may have been lost: tell it again what must not be."""
        self._act(self._router.greet(peer))

    def receive(self, peer: NodeId, message: SpreadMessage) -> None:
        """A peer said something."""
        self._act(self._router.receive(peer, message, self._judge, trio.current_time()))

    def _act(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Blame):
                self._blame(effect.peer)
            else:
                self._send(effect.peer, effect.message)
        if self._router.wake_at < self._sleeps_until:
            self._changed.set()

    def _judge(self, topic: str, forwarder: NodeId, data: bytes) -> Verdict:
        verdict = self._inboxes[topic].offer(GossipMessage(forwarder, data))
        if verdict is Verdict.ACCEPT:
            self._thank(forwarder)
            self._tell(topic, data)
        return verdict

    def _tell(self, topic: str, data: bytes) -> None:
        if self._overheard is not None:
            self._overheard(topic, data)
