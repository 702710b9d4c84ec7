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

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from random import Random

from p2pgrid.limits.net import GOSSIP_PEER_BURST_MESSAGES, GOSSIP_PEER_PER_SECOND_MAX
from p2pgrid.limits.spreading import (
    GOSSIP_ANNOUNCE_SECONDS,
    GOSSIP_BATCH_BYTES_MAX,
    GOSSIP_FLUSH_SECONDS,
    GOSSIP_GIVEN_BURST_BYTES,
    GOSSIP_GIVEN_BYTES_PER_SECOND,
    GOSSIP_KEPT_BYTES_MAX,
    GOSSIP_LISTENERS_MAX,
    GOSSIP_PENDING_BYTES_MAX,
    GOSSIP_PROMOTION_SECONDS,
    GOSSIP_PROVIDERS_WANTED,
    GOSSIP_SEEN_MAX,
    GOSSIP_SEEN_SECONDS,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Verdict
from p2pgrid.net.pace import TokenBucket
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
from p2pgrid.net.wanted import Wanted, Wish

Judge = Callable[[str, NodeId, bytes], Verdict]
"""(topic, forwarder, data); quick; raises nothing. An item that it accepts is delivered by it."""


@dataclass(frozen=True, slots=True)
class Send:
    """Give this to a peer."""

    peer: NodeId
    message: SpreadMessage


@dataclass(frozen=True, slots=True)
class Blame:
    """A peer forwarded what is objectively invalid."""

    peer: NodeId


Effect = Send | Blame


class _Peer:
    """What we know of one peer."""

    __slots__ = (
        "first_at",
        "flush_at",
        "flushed_at",
        "give_pace",
        "is_listener",
        "is_provider",
        "pace",
        "pending",
        "pending_bytes",
        "topics",
    )

    def __init__(self, now: float) -> None:
        self.topics: frozenset[str] = frozenset()
        self.is_provider = False
        """It pushes to us: we asked it to."""
        self.is_listener = False
        """We push to it: it asked us to."""
        self.first_at = now
        """When it last brought something first."""
        self.pending: dict[bytes, Item] = {}
        """What to push to it next."""
        self.pending_bytes = 0
        self.flushed_at = -inf
        self.flush_at = inf
        self.give_pace = TokenBucket(
            per_second=GOSSIP_GIVEN_BYTES_PER_SECOND, burst=GOSSIP_GIVEN_BURST_BYTES, now=now
        )
        self.pace = TokenBucket(
            per_second=GOSSIP_PEER_PER_SECOND_MAX, burst=GOSSIP_PEER_BURST_MESSAGES, now=now
        )


class Router:
    """Spreads items among peers; see the rules above."""

    def __init__(self, random: Random, topics: Iterable[str] = ()) -> None:
        self._random = random
        self._topics = frozenset(topics)
        self._peers: dict[NodeId, _Peer] = {}
        self._seen: dict[bytes, float] = {}
        self._kept: OrderedDict[bytes, Item] = OrderedDict()
        self._kept_bytes = 0
        self._news: list[tuple[bytes, str, list[NodeId]]] = []
        """Ids to announce, with the topic and those who need not be told."""
        self._knowers: dict[bytes, list[NodeId]] = {}
        self._announce_at = inf
        self._flush_at = inf
        """The earliest `flush_at` of all peers, or before it."""
        self._wanted = Wanted()
        self._promoted_at = -inf

    @property
    def wanted_count(self) -> int:
        """How many ids were announced and have not come."""
        return len(self._wanted)

    @property
    def wake_at(self) -> float:
        """When `tick` is wanted next, or before it; inf for never."""
        return min(self._wanted.due_at, self._flush_at, self._announce_at)

    def providers(self) -> tuple[NodeId, ...]:
        """Who pushes to us, as far as we asked."""
        return tuple(name for name, peer in self._peers.items() if peer.is_provider)

    def listeners(self) -> tuple[NodeId, ...]:
        """To whom we push what is new."""
        return tuple(name for name, peer in self._peers.items() if peer.is_listener)

    def subscribe(self, topic: str) -> list[Effect]:
        """Hear of a topic from now on."""
        self._topics |= {topic}
        message = Topics(tuple(sorted(self._topics)))
        return [Send(name, message) for name in self._peers]

    def peer_up(self, name: NodeId, now: float) -> list[Effect]:
        """A peer can be sent messages from now on."""
        self._peers[name] = _Peer(now)
        return self.greet(name) + self._fill(now)

    def greet(self, name: NodeId) -> list[Effect]:
        """Tell a peer what it has to know of us, again if messages to it may have been lost."""
        effects: list[Effect] = [Send(name, Topics(tuple(sorted(self._topics))))]
        if self._peers[name].is_provider:
            effects.append(Send(name, Graft()))
        return effects

    def peer_down(self, name: NodeId, now: float) -> list[Effect]:
        """A peer is gone."""
        self._peers.pop(name, None)
        return self._fill(now)

    def publish(self, topic: str, data: bytes, now: float) -> list[Effect]:
        """Push an item of our own to every peer that listens to its topic."""
        item = Item(topic, data)
        name = item_id(item)
        self._remember(name, now)
        self._keep(name, item)
        told = [peer for peer, one in self._peers.items() if topic in one.topics]
        self._tell_later(name, topic, [*told], now)  # to those who have not said yet what they hear
        push = Push((item,))
        return [Send(peer, push) for peer in told]

    def receive(
        self, name: NodeId, message: SpreadMessage, judge: Judge, now: float
    ) -> list[Effect]:
        """A peer said something."""
        peer = self._peers.get(name)
        if peer is None:
            return []
        match message:
            case Announce(ids):
                self._hear(name, ids, now)
            case Push(items):
                return self._take(name, peer, items, judge, now)
            case Pull(ids):
                return self._give(name, peer, ids, now)
            case Graft():
                peer.is_listener = peer.is_listener or self._has_place_for_listener()
            case Prune():
                peer.is_listener = False
            case Topics(names):
                peer.topics = frozenset(names)
        return []

    def tick(self, now: float) -> list[Effect]:
        """Do what is due."""
        effects: list[Effect] = []
        if self._flush_at <= now:
            for name, peer in self._peers.items():
                if peer.flush_at <= now:
                    effects += self._flush(name, peer, now)
            self._flush_at = min((peer.flush_at for peer in self._peers.values()), default=inf)
        if self._announce_at <= now:
            effects += self._announce()
        if self._wanted.due_at <= now:
            effects += self._pull(now)
        self._forget(now)
        return effects

    # --- items that come --------------------------------------------------------------------------

    def _take(
        self, name: NodeId, peer: _Peer, items: tuple[Item, ...], judge: Judge, now: float
    ) -> list[Effect]:
        effects: list[Effect] = []
        for item in items:
            key = item_id(item)
            peer.pending_bytes -= len(item.data) if peer.pending.pop(key, None) else 0
            if key in self._seen:
                self._note_knower(key, name)
                continue
            if item.topic not in self._topics or not peer.pace.take(now):
                continue
            verdict = judge(item.topic, name, item.data)
            if verdict is Verdict.REJECT:
                effects.append(Blame(name))
                break
            self._remember(key, now)
            wanted = self._wanted.fulfil(key)
            if verdict is Verdict.ACCEPT:
                peer.first_at = now
                if wanted is not None and wanted.is_pulled:
                    effects += self._promote(name, peer, now)
                self._keep(key, item)
                effects += self._pass_on(name, key, item, wanted, now)
        return effects

    def _pass_on(
        self, source: NodeId, key: bytes, item: Item, wanted: Wish | None, now: float
    ) -> list[Effect]:
        knowers = [source, *(wanted.announcers if wanted is not None else ())]
        effects: list[Effect] = []
        for name, peer in self._peers.items():
            is_to_hear = peer.is_listener and item.topic in peer.topics and name not in knowers
            if is_to_hear and _has_room(peer, item):  # else it is told the id, and pulls
                effects += self._push(name, peer, key, item, now)
                knowers.append(name)
        self._tell_later(key, item.topic, knowers, now)
        return effects

    def _tell_later(self, key: bytes, topic: str, knowers: list[NodeId], now: float) -> None:
        self._news.append((key, topic, knowers))
        self._knowers[key] = knowers
        self._announce_at = min(self._announce_at, now + GOSSIP_ANNOUNCE_SECONDS)

    def _note_knower(self, key: bytes, name: NodeId) -> None:
        knowers = self._knowers.get(key)
        if knowers is not None and name not in knowers:
            knowers.append(name)

    def _push(self, name: NodeId, peer: _Peer, key: bytes, item: Item, now: float) -> list[Effect]:
        """Queue for a peer; at once when nothing was sent to it lately."""
        if not _has_room(peer, item):
            return []
        if key not in peer.pending:
            peer.pending[key] = item
            peer.pending_bytes += len(item.data)
        is_idle = peer.flushed_at + GOSSIP_FLUSH_SECONDS <= now
        if is_idle or peer.pending_bytes >= GOSSIP_BATCH_BYTES_MAX:
            return self._flush(name, peer, now)
        peer.flush_at = min(peer.flush_at, peer.flushed_at + GOSSIP_FLUSH_SECONDS)
        self._flush_at = min(self._flush_at, peer.flush_at)
        return []

    def _flush(self, name: NodeId, peer: _Peer, now: float) -> list[Effect]:
        items = tuple(peer.pending.values())
        peer.pending = {}
        peer.pending_bytes = 0
        peer.flushed_at = now
        peer.flush_at = inf
        return [Send(name, Push(batch)) for batch in batches_of(items)]

    # --- ids --------------------------------------------------------------------------------------

    def _announce(self) -> list[Effect]:
        news, self._news, self._knowers = self._news, [], {}
        self._announce_at = inf
        effects: list[Effect] = []
        told: dict[tuple[bytes, ...], list[Announce]] = {}
        for name, peer in self._peers.items():
            topics = peer.topics
            ids = tuple(
                [key for key, topic, knowers in news if topic in topics and name not in knowers]
            )
            if ids:  # most peers are told the same
                messages = told.get(ids)
                if messages is None:
                    messages = told[ids] = [Announce(part) for part in parts_of(ids)]
                effects += [Send(name, message) for message in messages]
        return effects

    def _hear(self, name: NodeId, ids: tuple[bytes, ...], now: float) -> None:
        for key in ids:
            if key in self._seen:
                self._note_knower(key, name)
            else:
                self._wanted.hear(key, name, now)

    def _pull(self, now: float) -> list[Effect]:
        asked = self._wanted.pull(self._peers, now)
        return [Send(name, Pull(part)) for name, ids in asked.items() for part in parts_of(ids)]

    def _give(self, name: NodeId, peer: _Peer, ids: tuple[bytes, ...], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for key in ids:
            item = self._kept.get(key)
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

    def _graft(self, name: NodeId, peer: _Peer, now: float) -> list[Effect]:
        peer.is_provider = True
        peer.first_at = now
        return [Send(name, Graft())]

    def _promote(self, name: NodeId, peer: _Peer, now: float) -> list[Effect]:
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

    def _has_place_for_listener(self) -> bool:
        return len(self.listeners()) < GOSSIP_LISTENERS_MAX

    # --- memory -----------------------------------------------------------------------------------

    def _remember(self, key: bytes, now: float) -> None:
        self._seen.pop(key, None)
        self._seen[key] = now
        if len(self._seen) > GOSSIP_SEEN_MAX:
            del self._seen[next(iter(self._seen))]

    def _keep(self, key: bytes, item: Item) -> None:
        """For those who pull."""
        if key in self._kept:
            return
        self._kept[key] = item
        self._kept_bytes += len(item.data)
        while self._kept_bytes > GOSSIP_KEPT_BYTES_MAX:
            _, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.data)

    def _forget(self, now: float) -> None:
        """What everybody has by now."""
        while self._seen:
            key = next(iter(self._seen))
            if self._seen[key] + GOSSIP_SEEN_SECONDS > now:
                return
            del self._seen[key]
            old = self._kept.pop(key, None)
            self._kept_bytes -= len(old.data) if old is not None else 0


def _has_room(peer: _Peer, item: Item) -> bool:
    return peer.pending_bytes + len(item.data) <= GOSSIP_PENDING_BYTES_MAX
