"""Addresses that might lead to a peer, and when each is worth another try; sans clock and IO.

Anybody can name any number of addresses, but has only so many prefixes. So a prefix
is chosen first and an address of it second, and those who name most lose first
when there is no room.
"""

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import (
    CANDIDATE_FAILURES_MAX,
    CANDIDATES_MAX,
    DISCOVERY_RETRY_SECONDS_MAX,
    DISCOVERY_RETRY_SECONDS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import split_address
from p2pgrid.net.prefix import prefix_of

log = logging.getLogger(__name__)

_JITTER = 0.5
"""Each pause varies by half, so that nodes that lost a seed together do not all return at once."""


class Origin(IntEnum):
    """Who told us of an address; those first in the list are tried first."""

    ANCHOR = 0
    """A neighbour that had lasted longest when we last ran."""
    REMEMBERED = 1
    """We reached a peer there before."""
    NEARBY = 2
    """Announced on the local network."""
    GIVEN = 3
    """By the operator."""
    SEED = 4
    """In the genesis of the grid."""
    HEARD = 5
    """From other peers. Forgotten first."""


@dataclass(slots=True)
class _Pause:
    """When somebody who did not answer is worth another try."""

    due_at: float
    failures: int = 0

    def lengthen(self, now: float, random: Random) -> None:
        seconds = min(DISCOVERY_RETRY_SECONDS_MIN * 2.0**self.failures, DISCOVERY_RETRY_SECONDS_MAX)
        self.due_at = now + seconds * random.uniform(1 - _JITTER, 1 + _JITTER)
        self.failures += 1


@dataclass(slots=True)
class _Candidate:
    peer: NodeId
    prefix: str
    origin: Origin
    teller: str
    pause: _Pause


class Candidates:
    """Which addresses to dial next."""

    def __init__(self, own: NodeId, random: Random) -> None:
        self._own = own
        self._random = random
        self._by_address: dict[str, _Candidate] = {}
        self._peers: dict[NodeId, _Pause] = {}
        """Of peers that failed at some address: more addresses are not more tries."""

    def __len__(self) -> int:
        return len(self._by_address)

    def add(self, address: str, origin: Origin, now: float, teller: str = "") -> None:
        """Consider `address` from `now` (seconds) on.

        Args:
            address: of a node.
            origin: how we know it.
            now: seconds.
            teller: prefix of the peer that named it.

        Raises:
            BadInput: it is no address of a node.
        """
        transport, peer = split_address(address)
        known = self._by_address.get(address)
        if known is not None:
            known.origin = min(known.origin, origin)
        elif peer != self._own:
            self._by_address[address] = _Candidate(
                peer, prefix_of(transport), origin, teller, _Pause(now)
            )
            self._make_room()

    def hear(self, address: str, origin: Origin, now: float, teller: str = "") -> None:
        """Like `add` of what strangers said; nonsense is left out."""
        try:
            self.add(address, origin, now, teller)
        except BadInput as error:
            log.info("not considered as a peer: %s", error)

    def choose(
        self,
        count: int,
        now: float,
        *,
        without: Collection[NodeId],
        taken: Collection[str],
        only_new: bool = False,
        of_any_origin: bool = False,
    ) -> list[str]:
        """Addresses worth a try now, best first, each of another peer.

        Args:
            count: at most so many.
            now: seconds.
            without: peers that are connected already.
            taken: prefixes that have a neighbour already; others are preferred.
            only_new: whether addresses of taken prefixes are no choice at all.
            of_any_origin: whether it matters who named them.
        """
        ready = [
            (address, one)
            for address, one in self._by_address.items()
            if one.pause.due_at <= now and one.peer not in without and self._is_due(one.peer, now)
        ]
        prefixes, chosen = set(taken), list[str]()
        while len(chosen) < count:
            pool = [pair for pair in ready if pair[1].prefix not in prefixes]
            if not pool and not only_new:
                pool = ready
            if not pool:
                break
            if not of_any_origin:
                best = min(one.origin for _, one in pool)
                pool = [pair for pair in pool if pair[1].origin == best]
            address, one = self._pick(pool)
            chosen.append(address)
            prefixes.add(one.prefix)
            ready = [pair for pair in ready if pair[1].peer != one.peer]
        return chosen

    def failed(self, address: str, now: float) -> None:
        """Nobody answered, or hung up soon: leave it alone for a while, longer each time."""
        one = self._by_address.get(address)
        if one is None:  # there was no room for it meanwhile
            return
        one.pause.lengthen(now, self._random)
        self._peers.setdefault(one.peer, _Pause(now)).lengthen(now, self._random)
        if one.origin is Origin.HEARD and one.pause.failures >= CANDIDATE_FAILURES_MAX:
            self._remove(address)

    def reached(self, address: str, prefix: str, now: float) -> None:
        """Its peer answered, and speaks from `prefix`: it is kept before what was only heard."""
        self.hear(address, Origin.REMEMBERED, now)
        if address in self._by_address:
            self._by_address[address].prefix = prefix or self._by_address[address].prefix

    def lasted(self, address: str) -> None:
        """Its peer stayed for a good while: once lost, it is tried at once again."""
        one = self._by_address.get(address)
        if one is not None:
            one.pause.failures = 0
            self._peers.pop(one.peer, None)

    def _is_due(self, peer: NodeId, now: float) -> bool:
        pause = self._peers.get(peer)
        return pause is None or pause.due_at <= now

    def _pick(self, pool: list[tuple[str, _Candidate]]) -> tuple[str, _Candidate]:
        """Any prefix, and of that any address."""
        prefix = self._random.choice(sorted({one.prefix for _, one in pool}))
        return self._random.choice([pair for pair in pool if pair[1].prefix == prefix])

    def _make_room(self) -> None:
        if len(self._by_address) <= CANDIDATES_MAX:
            return
        tellers = Counter(one.teller for one in self._by_address.values())
        prefixes = Counter(one.prefix for one in self._by_address.values())

        def weight(address: str) -> tuple[float, ...]:
            """What was only heard goes first; of that whatever there is most of."""
            one = self._by_address[address]
            is_heard = one.origin is Origin.HEARD
            crowd = (tellers[one.teller], prefixes[one.prefix]) if is_heard else (0, 0)
            return one.origin, *crowd, one.pause.failures, self._random.random()

        self._remove(max(self._by_address, key=weight))

    def _remove(self, address: str) -> None:
        peer = self._by_address.pop(address).peer
        if all(one.peer != peer for one in self._by_address.values()):
            self._peers.pop(peer, None)
