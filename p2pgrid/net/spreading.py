"""How records spread: pushed along few links, announced by id on the others, pulled where missed.

Sans IO: events and time in, messages out. Every node chooses PROVIDERS_WANTED of
its peers as providers, who push to it what is new; so it gets every record about
that many times, however many peers it has. All others tell it only ids. What was
announced and does not come in time is pulled, and whoever delivers it becomes
a provider in place of the one that was first the longest time ago. So silent peers lose
the places that matter by themselves. A publisher pushes to all its peers:
were only its listeners told and these silent, nobody would learn of it.

Rules:
 1. Nothing is pushed on or announced before `judge` accepted it.
 2. What was rejected is not remembered: ids are short, and whoever made two records of one id
    could have honest peers blamed for the good one. The rest of its message is not looked at.
 3. Too much from one peer is ignored, never blamed: it may forward for thousands.
 4. Every queue is bounded; what falls out comes by reconciling.
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from random import Random
from typing import NamedTuple

from p2pgrid.limits.spreading import (
    GOSSIP_BATCH_BYTES_MAX,
    GOSSIP_FLUSH_SECONDS,
    GOSSIP_LISTENERS_MAX,
    GOSSIP_PROMOTION_SECONDS,
    GOSSIP_PROVIDERS_WANTED,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.heard import Heard
from p2pgrid.net.network import Verdict
from p2pgrid.net.news import News
from p2pgrid.net.spread_messages import (
    Announce,
    Graft,
    Item,
    Prune,
    Pull,
    Push,
    SpreadMessage,
    Topics,
    batches_of,
    item_id,
    parts_of,
)
from p2pgrid.net.spread_peer import SpreadPeer
from p2pgrid.net.wanted import Wanted, Wish

Judge = Callable[[str, NodeId, bytes], Verdict]
"""(topic, forwarder, data); quick; raises nothing. An item that it accepts is delivered by it."""


class Send(NamedTuple):
    """Give this to a peer."""

    peer: NodeId
    message: SpreadMessage


class Blame(NamedTuple):
    """A peer forwarded what is objectively invalid."""

    peer: NodeId


Effect = Send | Blame


class Router:
    """Spreads items among peers; see the rules above."""

    __slots__ = (
        "_flush_at",
        "_heard",
        "_hearers",
        "_last_push",
        "_listeners",
        "_marks",
        "_news",
        "_peers",
        "_promoted_at",
        "_random",
        "_topics",
        "_wanted",
        "wake_at",
    )

    def __init__(self, random: Random, topics: Iterable[str] = ()) -> None:
        self._random = random
        self._topics = frozenset(topics)
        self._peers: dict[NodeId, SpreadPeer] = {}
        self._marks: dict[NodeId, int] = {}
        self._listeners: dict[NodeId, SpreadPeer] = {}
        """To whom we push: they asked us to."""
        self._hearers: dict[str, int] = {}
        """The marks of those who hear a topic, found when asked for."""
        self._heard = Heard()
        self._news = News()
        self._last_push: Push | None = None
        """Of one item alone: mostly the next peer gets the same."""
        self.wake_at = inf
        """When `tick` is wanted next, or before it; inf for never."""
        self._flush_at = inf
        """The earliest `flush_at` of all peers, or before it."""
        self._wanted = Wanted()
        self._promoted_at = -inf

    @property
    def wanted_count(self) -> int:
        """How many ids were announced and have not come."""
        return len(self._wanted)

    def providers(self) -> tuple[NodeId, ...]:
        """Who pushes to us, as far as we asked."""
        return tuple(name for name, peer in self._peers.items() if peer.is_provider)

    def listeners(self) -> tuple[NodeId, ...]:
        """To whom we push what is new."""
        return tuple(self._listeners)

    def subscribe(self, topic: str) -> list[Effect]:
        """Hear of a topic from now on."""
        self._topics |= {topic}
        message = Topics(tuple(sorted(self._topics)))
        return [Send(name, message) for name in self._peers]

    def peer_up(self, name: NodeId, now: float) -> list[Effect]:
        """A peer can be sent messages from now on."""
        self._lose(name)
        used = sum(self._marks.values())
        mark = self._marks[name] = ~used & (used + 1)  # the lowest bit that is free
        self._peers[name] = SpreadPeer(mark, now)
        return self.greet(name) + self._fill(now)

    def greet(self, name: NodeId) -> list[Effect]:
        """Tell a peer what it has to know of us, again if messages to it may have been lost."""
        effects: list[Effect] = [Send(name, Topics(tuple(sorted(self._topics))))]
        if self._peers[name].is_provider:
            effects.append(Send(name, Graft()))
        return effects

    def peer_down(self, name: NodeId, now: float) -> list[Effect]:
        """A peer is gone."""
        self._lose(name)
        return self._fill(now)

    def _lose(self, name: NodeId) -> None:
        peer = self._peers.pop(name, None)
        if peer is not None:
            self._news.lose(self._marks.pop(name))
            self._listeners.pop(name, None)
            self._hearers.clear()

    def publish(self, topic: str, data: bytes, now: float) -> list[Effect]:
        """Push an item of our own to every peer that listens to its topic."""
        item = Item(topic, data)
        key = item_id(item)
        if key not in self._heard.items:
            self._heard.add(key, item, now)
        effects, told = self._push_all(self._peers, self._hearers_of(topic), key, item, now)
        self._tell_later(key, topic, told, now)  # also to those who have not said what they hear
        return effects

    def receive(
        self, name: NodeId, message: SpreadMessage, judge: Judge, now: float
    ) -> list[Effect]:
        """A peer said something."""
        peer = self._peers.get(name)
        if peer is None:
            return []
        match message:
            case Announce():
                self._hear(name, peer.mark, message.ids, now)
            case Push():
                return self._take(name, peer, message, judge, now)
            case Pull():
                return self._give(name, peer, message.ids, now)
            case Graft():
                if len(self._listeners) < GOSSIP_LISTENERS_MAX:
                    self._listeners[name] = peer
            case Prune():
                self._listeners.pop(name, None)
            case Topics():
                peer.topics = frozenset(message.names)
                self._hearers.clear()
        return []

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        if self._flush_at <= now:
            for name, peer in self._peers.items():
                if peer.flush_at <= now:
                    effects += self._flush(name, peer, now)
            self._flush_at = min((peer.flush_at for peer in self._peers.values()), default=inf)
        if self._news.due_at <= now:
            effects += self._announce()
        if self._wanted.due_at <= now:
            effects += self._pull(now)
        self._heard.forget(now)
        self.wake_at = min(self._wanted.due_at, self._flush_at, self._news.due_at)
        return effects

    # --- items that come --------------------------------------------------------------------------

    def _take(
        self, name: NodeId, peer: SpreadPeer, push: Push, judge: Judge, now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        heard = self._heard
        for item in push.items:
            key = item_id(item)
            if peer.pending and peer.pending.pop(key, None) is not None:
                peer.pending_bytes -= len(item.data)
            if key in heard.items:
                self._news.note_knower(key, peer.mark)
                continue
            if item.topic not in self._topics or not peer.pace.take(now):
                continue
            verdict = judge(item.topic, name, item.data)
            if verdict is Verdict.REJECT:
                effects.append(Blame(name))
                break
            wanted = self._wanted.fulfil(key)
            heard.add(key, item if verdict is Verdict.ACCEPT else None, now)
            if verdict is Verdict.ACCEPT:
                peer.first_at = now
                if wanted is not None and wanted.is_pulled:
                    effects += self._promote(name, peer, now)
                if len(push.items) == 1:
                    self._last_push = push
                effects += self._pass_on(peer, key, item, wanted, now)
        return effects

    def _pass_on(
        self, source: SpreadPeer, key: bytes, item: Item, wanted: Wish | None, now: float
    ) -> list[Effect]:
        knowers = source.mark
        if wanted is not None:
            for announcer in wanted.announcers:
                knowers |= self._marks.get(announcer, 0)
        wanting = self._hearers_of(item.topic) & ~knowers
        effects, told = self._push_all(self._listeners, wanting, key, item, now)
        self._tell_later(key, item.topic, knowers | told, now)
        return effects

    def _push_all(
        self, peers: Mapping[NodeId, SpreadPeer], wanting: int, key: bytes, item: Item, now: float
    ) -> tuple[list[Effect], int]:
        """Push to those of `peers` that have these marks; the marks of those who get it."""
        effects: list[Effect] = []
        told = 0
        for name, peer in peers.items():
            if peer.mark & wanting and peer.has_room_for(item):  # else it is told the id, and pulls
                effects += self._push(name, peer, key, item, now)
                told |= peer.mark
        return effects, told

    def _tell_later(self, key: bytes, topic: str, knowers: int, now: float) -> None:
        self._news.add(key, topic, knowers, now)
        self.wake_at = min(self.wake_at, self._news.due_at)

    def _hearers_of(self, topic: str) -> int:
        """Their marks."""
        hearers = self._hearers.get(topic)
        if hearers is None:
            hearers = sum(one.mark for one in self._peers.values() if topic in one.topics)
            self._hearers[topic] = hearers
        return hearers

    def _push(
        self, name: NodeId, peer: SpreadPeer, key: bytes, item: Item, now: float
    ) -> list[Effect]:
        """Queue for a peer; at once when nothing was sent to it lately."""
        is_idle = peer.flushed_at + GOSSIP_FLUSH_SECONDS <= now
        if is_idle and not peer.pending:
            peer.flushed_at = now
            return [Send(name, self._alone(item))]
        if not peer.has_room_for(item):
            return []
        if key not in peer.pending:
            peer.pending[key] = item
            peer.pending_bytes += len(item.data)
        if is_idle or peer.pending_bytes >= GOSSIP_BATCH_BYTES_MAX:
            return self._flush(name, peer, now)
        peer.flush_at = min(peer.flush_at, peer.flushed_at + GOSSIP_FLUSH_SECONDS)
        self._flush_at = min(self._flush_at, peer.flush_at)
        self.wake_at = min(self.wake_at, self._flush_at)
        return []

    def _alone(self, item: Item) -> Push:
        push = self._last_push
        if push is None or push.items[0] is not item:
            push = self._last_push = Push((item,))
        return push

    def _flush(self, name: NodeId, peer: SpreadPeer, now: float) -> list[Effect]:
        items = tuple(peer.pending.values())
        peer.pending = {}
        peer.pending_bytes = 0
        peer.flushed_at = now
        peer.flush_at = inf
        return [Send(name, Push(batch)) for batch in batches_of(items)]

    # --- ids --------------------------------------------------------------------------------------

    def _announce(self) -> list[Effect]:
        effects: list[Effect] = []
        told: dict[tuple[bytes, ...], list[Announce]] = {}
        for name, ids in self._news.take(self._marks, self._hearers_of):
            messages = told.get(ids)
            if messages is None:  # most peers are told the same
                messages = told[ids] = [Announce(part) for part in parts_of(ids)]
            for message in messages:
                effects.append(Send(name, message))  # noqa: PERF401 - mostly one
        return effects

    def _hear(self, name: NodeId, mark: int, ids: tuple[bytes, ...], now: float) -> None:
        for key in ids:
            if key in self._heard.items:
                self._news.note_knower(key, mark)
            else:
                self._wanted.hear(key, name, now)
                self.wake_at = min(self.wake_at, self._wanted.due_at)

    def _pull(self, now: float) -> list[Effect]:
        asked = self._wanted.pull(self._peers, now)
        return [Send(name, Pull(part)) for name, ids in asked.items() for part in parts_of(ids)]

    def _give(
        self, name: NodeId, peer: SpreadPeer, ids: tuple[bytes, ...], now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        for key in ids:
            item = self._heard.items.get(key)
            if item is not None and peer.give_pace.take(now, len(item.data)):
                effects += self._push(name, peer, key, item, now)
        return effects

    # --- whom we hear from ------------------------------------------------------------------------

    def _fill(self, now: float) -> list[Effect]:
        """Choose providers for places that are free."""
        effects: list[Effect] = []
        free = GOSSIP_PROVIDERS_WANTED - len(self.providers())
        others = [name for name, peer in self._peers.items() if not peer.is_provider]
        for name in self._random.sample(others, min(max(0, free), len(others))):
            effects += self._graft(name, self._peers[name], now)
        return effects

    def _graft(self, name: NodeId, peer: SpreadPeer, now: float) -> list[Effect]:
        peer.is_provider = True
        peer.first_at = now
        return [Send(name, Graft())]

    def _promote(self, name: NodeId, peer: SpreadPeer, now: float) -> list[Effect]:
        """A peer delivered what our providers did not: it takes the place of the worst of them."""
        if peer.is_provider or now < self._promoted_at + GOSSIP_PROMOTION_SECONDS:
            return []
        self._promoted_at = now
        effects: list[Effect] = []
        providers = self.providers()
        if len(providers) >= GOSSIP_PROVIDERS_WANTED:
            worst = min(providers, key=lambda one: self._peers[one].first_at)
            self._peers[worst].is_provider = False
            effects.append(Send(worst, Prune()))
        return effects + self._graft(name, peer, now)
