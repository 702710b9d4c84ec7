"""Whose answer is read into memory next, of all peers that are served. Pure.

Room for answers is scarce when peers take them in slowly. Who holds least of it
goes first, so that nobody waits for a peer that does not read what it asked for.
"""

from collections import Counter
from typing import Generic, TypeVar

from p2pgrid.model.ids import NodeId

_Ticket = TypeVar("_Ticket")


class Turns(Generic[_Ticket]):
    """Room for so many answers at once, and for so many of one peer."""

    def __init__(self, room: int, *, room_per_peer: int) -> None:
        self._room = room
        self._room_per_peer = room_per_peer
        self._held: Counter[NodeId] = Counter()
        self._waiting: dict[_Ticket, NodeId] = {}

    def wait(self, peer: NodeId, ticket: _Ticket) -> None:
        """An answer for `peer` wants room."""
        self._waiting[ticket] = peer

    def withdraw(self, ticket: _Ticket) -> bool:
        """It does not want room any more; gives whether it was still waiting."""
        return self._waiting.pop(ticket, None) is not None

    def release(self, peer: NodeId) -> None:
        """One of its answers is gone."""
        self._held[peer] -= 1
        if not self._held[peer]:
            del self._held[peer]

    def admit(self) -> _Ticket | None:
        """Who gets room now; None when nobody may. Call until it is None, after every change."""
        if self.held_count >= self._room:
            return None
        fitting = [
            (self._held[peer], number, ticket)
            for number, (ticket, peer) in enumerate(self._waiting.items())
            if self._held[peer] < self._room_per_peer
        ]
        if not fitting:
            return None
        _, _, ticket = min(fitting, key=lambda one: one[:2])
        self._held[self._waiting.pop(ticket)] += 1
        return ticket

    @property
    def held_count(self) -> int:
        """Answers that are in memory."""
        return self._held.total()
