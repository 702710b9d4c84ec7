"""The transfer ends whenever honest holders can end it, and says so when they cannot.

A seeded simulation of holders that are fast, slow, lying, dying, mute, or hold only a part.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from p2pgrid.chunks.swarm import Ask, Swarm
from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.limits.chunks import (
    CHUNKS_PER_REQUEST_MAX,
    DUPLICATES_PERMILLE_MAX,
    HOLDER_SILENCE_SECONDS_MAX,
    HOLDERS_AT_ONCE_MAX,
    LATE_CHUNK_SECONDS,
    TRANSFER_TICK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId

SEEDS = range(300)
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

    def prompt_count(self) -> int:
        """Peers that owe something, and nothing for so long that it is late."""
        since = {(holder, chunk): now for holder, chunk, now in self.asked}
        return sum(
            bool(peer.queue)
            and all(self.now - since[node, one] < LATE_CHUNK_SECONDS for one in peer.queue)
            for node, peer in self.peers.items()
        )

    def send(self, asks: list[Ask]) -> None:
        for ask in asks:
            peer = self.peers[ask.holder]
            assert 0 < len(ask.chunks) <= CHUNKS_PER_REQUEST_MAX
            assert ask.holder not in self.liars, "asked a liar again"
            assert not set(ask.chunks) & set(peer.queue), "asked twice for the same"
            if not peer.queue:
                assert self.prompt_count() < HOLDERS_AT_ONCE_MAX
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
            self.swarm.stored(one, CHUNK_BYTES)
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


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_done_when_reliable_holders_have_everything_and_gives_up_otherwise(
    seed: int,
) -> None:
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(choice.choice([1, 3, 20, 200, 600]))]
    peers = {node(number): random_peer(choice, wanted) for number in range(choice.randrange(1, 12))}
    simulation = Simulation(seed, peers, wanted)
    simulation.run()
    reliable = [peer for peer in peers.values() if peer.is_reliable]
    is_possible = all(any(one not in peer.lacks for peer in reliable) for one in wanted)
    if is_possible:
        assert simulation.swarm.is_done, simulation.swarm.failure()
    if simulation.swarm.is_done:
        assert sorted(simulation.stored) == wanted
        assert simulation.swarm.progress.done_bytes == CHUNK_BYTES * len(wanted)
    else:
        assert "nobody gives chunk" in str(simulation.swarm.failure())
        assert len(set(simulation.stored)) == len(simulation.stored) < len(wanted)


@pytest.mark.parametrize("seed", range(40))
def test_one_fast_holder_is_not_held_up_by_any_company(seed: int) -> None:
    """The rest may be as bad as it likes: the time is that of the fast one, and one timeout."""
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(500)]
    company = {node(number): random_peer(choice, wanted) for number in range(6)}
    simulation = Simulation(seed, {**company, node(99): Peer(bytes_per_second=50_000.0)}, wanted)
    simulation.run()
    alone_seconds = 500 * CHUNK_BYTES / 50_000.0 * 1.25
    assert simulation.swarm.is_done
    assert simulation.now < alone_seconds + LATE_CHUNK_SECONDS + 5


@pytest.mark.parametrize("seed", range(40))
def test_at_most_a_twentieth_is_asked_twice_unless_it_is_late(seed: int) -> None:
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(400)]
    speeds = [5_000.0, 50_000.0, 200_000.0]
    peers = {node(number): Peer(bytes_per_second=choice.choice(speeds)) for number in range(5)}
    simulation = Simulation(seed, peers, wanted)
    simulation.run()
    asked_at: dict[ChunkId, float] = {}
    early_repeats = 0
    for _, one, now in simulation.asked:
        early_repeats += one in asked_at and now - asked_at[one] < LATE_CHUNK_SECONDS
        asked_at[one] = now
    assert early_repeats <= len(wanted) * DUPLICATES_PERMILLE_MAX // 1000


def test_three_equal_holders_are_thrice_as_fast() -> None:
    wanted = [chunk(number) for number in range(1000)]
    seconds = []
    for count in (1, 3):
        simulation = Simulation(1, {node(number): Peer() for number in range(count)}, wanted)
        simulation.run()
        seconds.append(simulation.now)
    assert seconds[0] / seconds[1] > 2.7


def test_a_faster_holder_is_asked_for_more_and_several_are_in_flight() -> None:
    swarm = Swarm([chunk(number) for number in range(1000)], [node(1)])
    (first,) = swarm.asks(0.0)
    assert 1 < len(first.chunks) < 20
    swarm.arrived(node(1), dict.fromkeys(first.chunks, CHUNK_BYTES), 0.01)
    (second,) = swarm.asks(0.01)
    assert len(second.chunks) == CHUNKS_PER_REQUEST_MAX
    assert swarm.asks(0.01) == []


def test_without_holders_it_gives_up_at_once_and_with_nothing_wanted_it_is_done() -> None:
    assert isinstance(Swarm([chunk(1)], []).failure(), NotFound)
    assert "no holder is known" in str(Swarm([chunk(1)], []).failure())
    assert Swarm([], []).is_done
    assert Swarm([], []).failure() is None


def test_giving_up_names_each_holder_and_its_fault() -> None:
    swarm = Swarm([chunk(1)], [node(1), node(2), node(3), node(4)])
    swarm.asks(0.0)
    swarm.absent(node(1), [chunk(1)], 1.0)
    swarm.asks(2.0)
    swarm.lied(node(2), swarm.arrived(node(2), {chunk(1): 5}, 3.0))
    swarm.asks(4.0)
    swarm.broke_protocol(node(3))
    for minute in range(3):
        assert swarm.failure() is None
        swarm.asks(60.0 * minute)
        swarm.failed(node(4), 60.0 * minute)
    failure = swarm.failure()
    assert isinstance(failure, Unreachable)
    for reason in (
        "01010101 does not have it",
        "02020202 served a bad chunk",
        "03030303 broke the protocol",
        "04040404 does not answer",
    ):
        assert reason in str(failure)


def test_a_chunk_that_was_bad_is_taken_from_who_was_asked_for_it_besides() -> None:
    swarm = Swarm([chunk(1)], [node(1), node(2)])
    swarm.asks(0.0)
    repeats = swarm.asks(LATE_CHUNK_SECONDS)
    assert repeats == [Ask(node(2), (chunk(1),))]
    fresh = swarm.arrived(node(1), {chunk(1): 5}, 11.0)
    swarm.lied(node(1), fresh)
    assert swarm.asks(11.0) == []
    assert swarm.arrived(node(2), {chunk(1): 5}, 12.0) == [chunk(1)]
    swarm.stored(chunk(1), 5)
    assert swarm.is_done


def test_who_is_late_keeps_no_other_from_being_asked() -> None:
    crowd = [node(number) for number in range(HOLDERS_AT_ONCE_MAX)]
    swarm = Swarm([chunk(number) for number in range(500)], [*crowd, node(99)])
    assert {ask.holder for ask in swarm.asks(0.0)} == set(crowd)
    assert node(99) not in {ask.holder for ask in swarm.asks(LATE_CHUNK_SECONDS - 1)}
    assert node(99) in {ask.holder for ask in swarm.asks(LATE_CHUNK_SECONDS)}


def test_who_failed_is_asked_again_after_those_who_were_not_asked_yet() -> None:
    crowd = [node(number) for number in range(HOLDERS_AT_ONCE_MAX)]
    others = [node(100 + number) for number in range(HOLDERS_AT_ONCE_MAX)]
    swarm = Swarm([chunk(number) for number in range(500)], [*crowd, *others])
    swarm.asks(0.0)
    for holder in crowd:
        swarm.failed(holder, 1.0)
    assert {ask.holder for ask in swarm.asks(60.0)} == set(others)
