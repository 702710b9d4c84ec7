"""What peers cost us, and whose turn it is; pure: time is an argument.

A peer may use so much of our CPU, a prefix so much more, and what goes beyond waits.
Nobody is blamed for asking much. Of those who wait for something heavy, whoever has
had least is next: one who asks all the time gets in nobody's way.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from p2pgrid.limits.net import (
    BUDGETS_MAX,
    HEAVY_MS_MIN,
    HEAVY_REQUESTS_AT_ONCE,
    MODEST_BURST_MS,
    MODEST_MS_PER_SECOND,
    PEER_BURST_MS,
    PEER_MS_PER_SECOND,
    PREFIX_BURST_MS,
    PREFIX_MS_PER_SECOND,
    REQUEST_BYTES_MAX,
    REQUEST_BYTES_PER_PEER_MAX,
    REQUEST_CHARGE_MS_MAX,
)
from p2pgrid.limits.spreading import (
    GOSSIP_PEER_BURST_MS,
    GOSSIP_PEER_MS_PER_SECOND,
    GOSSIP_PREFIX_BURST_MS,
    GOSSIP_PREFIX_MS_PER_SECOND,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Method

_COSTS_MS: dict[str, float] = {
    Method.RECONCILE_EXPLORER: 10,  # half a megabyte of records is read, or ids are compared
    Method.RECONCILE_LEDGER: 10,
    Method.EXPLORER_QUERY: 20,  # all nodes of the grid are looked at
    Method.LEDGER_SUBMIT: 4,  # signatures are checked; then a quorum is asked, which takes time
    Method.LEDGER_VOTE: 2,
    Method.LEDGER_HISTORY: 5,
    Method.LEDGER_EVIDENCE: 5,
    Method.RESERVATION_REQUEST: 4,  # a quote is signed and stored
    Method.RESERVATION_LOGS: 5,
}
_COST_MS = 1.0
"""Of any other request: reading it and writing the answer."""


def cost_ms(method: str) -> float:
    """CPU that a request of this method takes, in milliseconds, as a rule."""
    return _COSTS_MS.get(method, _COST_MS)


def uncharged_ms(method: str, taken_ms: float) -> float:
    """What to charge for a request that took so much, beside what was charged before it."""
    return max(0.0, min(taken_ms, REQUEST_CHARGE_MS_MAX) - cost_ms(method))


def is_heavy(method: str) -> bool:
    """Whether requests of this method take turns."""
    return cost_ms(method) >= HEAVY_MS_MIN


class _Kind(Enum):
    PEER = 1
    PREFIX = 2
    MODEST = 3


Allowances = Mapping[_Kind, tuple[float, float]]
"""CPU that each may use: milliseconds a second, and at once after a quiet time."""

REQUEST_ALLOWANCES: dict[_Kind, tuple[float, float]] = {
    _Kind.PEER: (PEER_MS_PER_SECOND, PEER_BURST_MS),
    _Kind.PREFIX: (PREFIX_MS_PER_SECOND, PREFIX_BURST_MS),
    _Kind.MODEST: (MODEST_MS_PER_SECOND, MODEST_BURST_MS),
}
GOSSIP_ALLOWANCES: Allowances = REQUEST_ALLOWANCES | {
    _Kind.PEER: (GOSSIP_PEER_MS_PER_SECOND, GOSSIP_PEER_BURST_MS),
    _Kind.PREFIX: (GOSSIP_PREFIX_MS_PER_SECOND, GOSSIP_PREFIX_BURST_MS),
}


@dataclass(slots=True)
class _Account:
    """Milliseconds that somebody may use; below zero after more than that."""

    per_second: float
    burst: float
    left: float
    updated_at: float

    def charge(self, amount: float, now: float) -> float:
        """Use `amount`; seconds until it is paid off."""
        gained = max(0.0, now - self.updated_at) * self.per_second
        self.left = min(self.burst, self.left + gained) - amount
        self.updated_at = now
        return max(0.0, -self.left / self.per_second)


class Budgets:
    """CPU used by peers and prefixes. Those who asked least recently are forgotten first."""

    def __init__(self, allowances: Allowances = REQUEST_ALLOWANCES) -> None:
        self._allowances = allowances
        self._accounts: OrderedDict[tuple[_Kind, NodeId | str], _Account] = OrderedDict()

    def delay_seconds(self, peer: NodeId, prefix: str, method: str, now: float) -> float:
        """Count a request; how long it has to wait before it is worked on."""
        return self.charge(peer, prefix, cost_ms(method), now)

    def charge(self, peer: NodeId, prefix: str, cost: float, now: float) -> float:
        """Count CPU in milliseconds; how many seconds the peer has to wait for it.

        Who asks little does not wait for what others of its prefix have asked.
        """
        own = self._charge(_Kind.PEER, peer, cost, now)
        shared = self._charge(_Kind.PREFIX, prefix, cost, now)
        asks_little = not self._charge(_Kind.MODEST, peer, cost, now)
        return own if asks_little else max(own, shared)

    def _charge(self, kind: _Kind, who: NodeId | str, cost: float, now: float) -> float:
        per_second, burst = self._allowances[kind]
        account = self._accounts.pop((kind, who), None) or _Account(per_second, burst, burst, now)
        self._accounts[kind, who] = account
        if len(self._accounts) > BUDGETS_MAX:
            self._accounts.popitem(last=False)
        return account.charge(cost, now)


class Turns:
    """Who may work on a heavy request now: HEAVY_REQUESTS_AT_ONCE, fair between peers."""

    def __init__(self) -> None:
        self._waiting: dict[int, NodeId] = {}
        self._running: set[int] = set()
        self._had: OrderedDict[NodeId, int] = OrderedDict()
        """How many turns each had, of those who wait or had one lately."""

    def ask(self, ticket: int, peer: NodeId) -> None:
        """Get in line with a number that nobody else has."""
        if peer not in self._had:  # whoever comes new is no better than those who are here
            here = [self._had[one] for one in self._waiting.values()]
            self._had[peer] = min(here, default=0)
        self._waiting[ticket] = peer

    def give_up(self, ticket: int) -> None:
        """Leave the line, or the place that one had."""
        self._waiting.pop(ticket, None)
        self._running.discard(ticket)

    def next(self) -> int | None:
        """The ticket that may start now; None while there is no room, or nobody waits."""
        if len(self._running) >= HEAVY_REQUESTS_AT_ONCE:
            return None
        if not self._waiting:
            return None
        ticket = min(self._waiting, key=lambda one: (self._had[self._waiting[one]], one))
        peer = self._waiting.pop(ticket)
        self._running.add(ticket)
        self._had[peer] += 1
        self._had.move_to_end(peer)
        while len(self._had) > BUDGETS_MAX:
            self._had.popitem(last=False)
        return ticket


class Room:
    """Bytes of requests that are worked on or wait."""

    def __init__(self) -> None:
        self._held: dict[NodeId, int] = {}

    def take(self, peer: NodeId, count: int) -> bool:
        """Hold `count` bytes for a peer, if it may have so many; one request it always may."""
        held = self._held.get(peer, 0)
        share = REQUEST_BYTES_MAX // max(1, len(self._held))
        if held and held + count > min(REQUEST_BYTES_PER_PEER_MAX, share):
            return False
        self._held[peer] = held + count
        return True

    def give_back(self, peer: NodeId, count: int) -> None:
        """They are of no more use."""
        left = self._held[peer] - count
        if left:
            self._held[peer] = left
        else:
            del self._held[peer]
