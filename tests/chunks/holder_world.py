"""Holders that are fast, slow, lying, dying, mute, or hold only a part, in virtual time."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pgrid.chunks.swarm import Ask, Swarm
from p2pgrid.limits.chunks import (
    CHUNKS_PER_REQUEST_MAX,
    HOLDER_SILENCE_SECONDS_MAX,
    TRANSFER_TICK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId

CHUNK_BYTES = 1000
HOUR_SECONDS = 3600.0


def node(number: int) -> NodeId:
    return NodeId(bytes((number,)) * 32)


def chunk(number: int) -> ChunkId:
    return ChunkId(number.to_bytes(32, "big"))


@dataclass
class Peer:
    """How one holder behaves. The plainest is honest, whole and fast."""

    bytes_per_second: float = 100_000.0
    lies: float = 0.0
    """Part of the chunks that are served bad."""
    lacks: frozenset[ChunkId] = frozenset()
    dies_at: float = HOUR_SECONDS
    revives_at: float = HOUR_SECONDS
    is_mute: bool = False
    queue: list[ChunkId] = field(default_factory=list)
    connection: int = 0
    is_sending: bool = False

    def is_dead(self, now: float) -> bool:
        return self.dies_at <= now < self.revives_at

    @property
    def is_reliable(self) -> bool:
        return not self.lies and not self.is_mute and self.dies_at == HOUR_SECONDS


class Simulation:
    """Plays the shell: sends asks, delivers answers in order of virtual time."""

    def __init__(self, seed: int, peers: dict[NodeId, Peer], wanted: list[ChunkId]) -> None:
        self.random = random.Random(seed)
        self.peers = peers
        self.swarm = Swarm(wanted, peers)
        self.now = 0.0
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = itertools.count()
        self.stored: list[ChunkId] = []
        self.asked: list[tuple[NodeId, ChunkId, float]] = []
        self.liars: set[NodeId] = set()

    def run(self) -> None:
        """Until it is done or given up; an hour is for ever."""
        self.after(0.0, self.tick)
        while not self.swarm.is_done and self.swarm.failure() is None:
            self.now, _, happen = heapq.heappop(self.events)
            assert self.now < HOUR_SECONDS, "neither done nor given up"
            happen()
            self.send(self.swarm.asks(self.now))

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.numbers), happen))

    def tick(self) -> None:
        self.after(TRANSFER_TICK_SECONDS, self.tick)

    def send(self, asks: list[Ask]) -> None:
        for ask in asks:
            peer = self.peers[ask.holder]
            assert 0 < len(ask.chunks) <= CHUNKS_PER_REQUEST_MAX
            assert ask.holder not in self.liars, "asked a liar again"
            assert not set(ask.chunks) & set(peer.queue), "asked twice for the same"
            peer.queue += ask.chunks
            self.asked += [(ask.holder, one, self.now) for one in ask.chunks]
            if peer.is_mute or peer.is_dead(self.now):
                wait = HOLDER_SILENCE_SECONDS_MAX if peer.is_mute else 0.1
                self.after(wait, self.failing(ask.holder, peer.connection))
            elif not peer.is_sending:
                self.serve_next(ask.holder)

    def failing(self, holder: NodeId, connection: int) -> Callable[[], None]:
        def fail() -> None:
            peer = self.peers[holder]
            if peer.connection == connection and not self.swarm.is_out(holder):
                peer.connection += 1
                peer.queue.clear()
                peer.is_sending = False
                self.swarm.failed(holder, self.now)

        return fail

    def serve_next(self, holder: NodeId) -> None:
        peer = self.peers[holder]
        peer.is_sending = bool(peer.queue)
        if peer.queue:
            count = min(len(peer.queue), self.random.randrange(1, 5))
            seconds = count * CHUNK_BYTES / peer.bytes_per_second * self.random.uniform(0.5, 2)
            self.after(seconds, self.answering(holder, peer.connection, count))

    def answering(self, holder: NodeId, connection: int, count: int) -> Callable[[], None]:
        def answer() -> None:
            peer = self.peers[holder]
            if peer.connection != connection or self.swarm.is_out(holder):
                return
            if peer.is_dead(self.now):
                self.failing(holder, connection)()
                return
            served, peer.queue = peer.queue[:count], peer.queue[count:]
            self.receive(holder, peer, served)
            self.serve_next(holder)

        return answer

    def receive(self, holder: NodeId, peer: Peer, served: list[ChunkId]) -> None:
        assert all(self.swarm.is_asked(holder, one) for one in served)
        here = dict.fromkeys((one for one in served if one not in peer.lacks), CHUNK_BYTES)
        self.swarm.absent(holder, [one for one in served if one in peer.lacks], self.now)
        fresh = self.swarm.arrived(holder, here, self.now)
        is_bad = any(self.random.random() < peer.lies for _ in fresh)
        self.after(self.random.uniform(0, 0.2), lambda: self.store(holder, fresh, is_bad=is_bad))

    def store(self, holder: NodeId, fresh: list[ChunkId], *, is_bad: bool) -> None:
        if is_bad:
            self.liars.add(holder)
            self.peers[holder].queue.clear()
            self.swarm.lied(holder, fresh)
            return
        for one in fresh:
            self.swarm.stored(one)
            self.stored.append(one)


def random_peer(choice: random.Random, wanted: list[ChunkId]) -> Peer:
    peer = Peer(bytes_per_second=choice.choice([500.0, 1_000.0, 20_000.0, 100_000.0, 1e6]))
    match choice.choice(["honest", "honest", "liar", "dying", "reviving", "mute", "partial"]):
        case "honest":
            pass
        case "liar":
            peer.lies = choice.choice([0.01, 0.3, 1.0])
        case "dying":
            peer.dies_at = choice.uniform(0, 5)
        case "reviving":
            peer.dies_at = choice.uniform(0, 3)
            peer.revives_at = peer.dies_at + choice.uniform(0, 4)
        case "mute":
            peer.is_mute = True
        case _:
            peer.lacks = frozenset(one for one in wanted if choice.random() < 0.5)
    return peer
