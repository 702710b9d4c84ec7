"""Addresses that might lead to a peer, and when each is worth another try; sans clock and IO."""

import logging
from dataclasses import dataclass
from enum import IntEnum
from random import Random

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import (
    CANDIDATES_MAX,
    DISCOVERY_RETRY_SECONDS_MAX,
    DISCOVERY_RETRY_SECONDS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import split_address

log = logging.getLogger(__name__)

_JITTER = 0.5
"""Each pause varies by half, so that nodes that lost a seed together do not all return at once."""


class Origin(IntEnum):
    """Who told us of an address; those first in the list are tried first."""

    REMEMBERED = 0
    """A peer of an earlier run, or one that we just lost."""
    NEARBY = 1
    """Announced on the local network."""
    GIVEN = 2
    """By the operator."""
    SEED = 3
    """In the genesis of the grid."""
    HEARD = 4
    """From other peers. Forgotten first."""


@dataclass(slots=True)
class _Candidate:
    peer: NodeId
    origin: Origin
    due_at: float
    pause_seconds: float = DISCOVERY_RETRY_SECONDS_MIN


class Candidates:
    """Which addresses to dial next."""

    def __init__(self, own: NodeId, random: Random) -> None:
        self._own = own
        self._random = random
        self._by_address: dict[str, _Candidate] = {}

    def add(self, address: str, origin: Origin, now: float) -> None:
        """Consider `address` from `now` (seconds) on.

        Raises BadInput: it is no address of a node.
        """
        _, peer = split_address(address)
        known = self._by_address.get(address)
        if known is not None:
            known.origin = min(known.origin, origin)
        elif peer != self._own:
            self._by_address[address] = _Candidate(peer, origin, now)
            self._make_room()

    def hear(self, address: str, origin: Origin, now: float) -> None:
        """Like `add` of what strangers said; nonsense is left out."""
        try:
            self.add(address, origin, now)
        except BadInput as error:
            log.info("not considered as a peer: %s", error)

    def due(self, now: float, connected: frozenset[NodeId]) -> list[str]:
        """Addresses worth a try now, best first; those of connected peers are not."""
        ready = [
            (one.origin, self._random.random(), address)
            for address, one in self._by_address.items()
            if one.due_at <= now and one.peer not in connected
        ]
        return [address for _, _, address in sorted(ready)]

    def failed(self, address: str, now: float) -> None:
        """Nobody answered: leave it alone for a while, longer each time."""
        one = self._by_address[address]
        one.due_at = now + one.pause_seconds * self._random.uniform(1 - _JITTER, 1 + _JITTER)
        one.pause_seconds = min(2 * one.pause_seconds, DISCOVERY_RETRY_SECONDS_MAX)

    def reached(self, address: str) -> None:
        """Its peer answered: once lost, it is tried at once again."""
        self._by_address[address].pause_seconds = DISCOVERY_RETRY_SECONDS_MIN

    def _make_room(self) -> None:
        if len(self._by_address) <= CANDIDATES_MAX:
            return
        # What was heard goes first, and of that what failed most often.
        worst = max(
            self._by_address, key=lambda one: (self._rank(one), self._by_address[one].due_at)
        )
        del self._by_address[worst]

    def _rank(self, address: str) -> tuple[int, float]:
        one = self._by_address[address]
        return one.origin, one.pause_seconds
