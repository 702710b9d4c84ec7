"""A grid of routers under one seeded scheduler: latency, silent peers, no trio."""

from heapq import heappop, heappush
from itertools import count, pairwise
from math import exp, inf, log
from random import Random

from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Verdict
from p2pgrid.net.spread_messages import Push, SpreadMessage
from p2pgrid.net.spreading import Blame, Effect, Judge, Router

TOPIC = "topic"
LATENCY_SECONDS = 0.04
LATENCY_SIGMA = 0.5


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


class SpreadModel:
    """Routers 0 to n - 1 on a random graph; silent ones take everything and say nothing."""

    def __init__(
        self, n: int, *, degree: int, seed: int, silent: frozenset[int] = frozenset()
    ) -> None:
        self.random = Random(seed)
        self.now = 0.0
        self.silent = {node(number) for number in silent}
        self.routers = {node(one): Router(Random(seed + one), [TOPIC]) for one in range(n)}
        self.arrived: dict[bytes, dict[NodeId, float]] = {}
        self.copies = 0
        self.blamed: list[NodeId] = []
        self.neighbours: dict[NodeId, set[NodeId]] = {name: set() for name in self.routers}
        self._events: list[tuple[float, int, NodeId, NodeId | None, SpreadMessage | None]] = []
        self._order = count()
        self._wakes = dict.fromkeys(self.routers, inf)
        for _ in range(degree // 2):  # as many random rings: everybody has `degree` neighbours
            ring = list(self.routers)
            self.random.shuffle(ring)
            for left, right in pairwise([*ring, ring[0]]):
                self.connect(left, right)

    def connect(self, left: NodeId, right: NodeId) -> None:
        if left == right or right in self.neighbours[left]:
            return
        for one, other in ((left, right), (right, left)):
            self.neighbours[one].add(other)
            self._act(one, self.routers[one].peer_up(other, self.now))

    def disconnect(self, left: NodeId, right: NodeId) -> None:
        for one, other in ((left, right), (right, left)):
            self.neighbours[one].discard(other)
            self._act(one, self.routers[one].peer_down(other, self.now))

    def publish(self, name: NodeId, data: bytes) -> None:
        self.arrived[data] = {name: self.now}
        self._act(name, self.routers[name].publish(TOPIC, data, self.now))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, name, source, message = heappop(self._events)
            router = self.routers[name]
            if message is None:
                if self._wakes[name] == self.now:
                    self._wakes[name] = inf
                    self._act(name, router.tick(self.now))
            elif source is not None and source in self.neighbours[name]:
                self.copies += len(message.items) if isinstance(message, Push) else 0
                effects = router.receive(source, message, self._judge_of(name), self.now)
                self._act(name, effects)
        self.now = end

    def reached(self, data: bytes) -> float:
        """The share of honest nodes that have it."""
        honest = len(self.routers) - len(self.silent)
        return sum(one not in self.silent for one in self.arrived[data]) / honest

    def delays(self, data: bytes) -> list[float]:
        times = self.arrived[data]
        published_at = min(times.values())
        return sorted(
            time - published_at for name, time in times.items() if name not in self.silent
        )

    def _judge_of(self, name: NodeId) -> Judge:
        def judge(topic: str, forwarder: NodeId, data: bytes) -> Verdict:
            if data.startswith(b"bad"):
                return Verdict.REJECT
            self.arrived[data].setdefault(name, self.now)
            return Verdict.ACCEPT

        return judge

    def _act(self, name: NodeId, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Blame):
                self.blamed.append(effect.peer)
            elif name not in self.silent or not isinstance(effect.message, Push):
                delay = exp(self.random.gauss(log(LATENCY_SECONDS), LATENCY_SIGMA))
                event = (self.now + delay, next(self._order), effect.peer, name, effect.message)
                heappush(self._events, event)
        wake_at = self.routers[name].wake_at
        if wake_at < self._wakes[name]:
            self._wakes[name] = wake_at
            heappush(self._events, (wake_at, next(self._order), name, None, None))
