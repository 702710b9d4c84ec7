"""Where requests of peers wait until they may be worked on. Who may is decided in `fairness`."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from itertools import count

import trio

from p2pgrid.model.ids import NodeId
from p2pgrid.net.fairness import Budgets, Room, Turns, is_heavy, uncharged_ms
from p2pgrid.net.meter import Meter


class Desk:
    """One for a node."""

    def __init__(self, prefix_of_peer: Callable[[NodeId], str]) -> None:
        self._prefix_of_peer = prefix_of_peer
        self._budgets = Budgets()
        self._turns = Turns()
        self._room = Room()
        self._has_room = trio.Event()
        self._called: dict[int, trio.Event] = {}
        self._tickets = count()

    async def make_room(self, peer: NodeId, size: int) -> None:
        """Wait until `peer` may have a request of so many bytes here; see `give_back`."""
        while not self._room.take(peer, size):
            await self._has_room.wait()

    def give_back(self, peer: NodeId, size: int) -> None:
        """A request is done with."""
        self._room.give_back(peer, size)
        self._has_room.set()
        self._has_room = trio.Event()

    @asynccontextmanager
    async def turn(self, peer: NodeId, method: str) -> AsyncGenerator[Meter]:
        """Wait until a request may be worked on; it is, during the block, under the meter.

        What it takes beyond what its method takes as a rule is paid by what its peer asks next.
        """
        meter = Meter()
        try:
            async with self._turn(peer, method):
                yield meter
        finally:
            more_ms = uncharged_ms(method, meter.ms)
            if more_ms:
                now = trio.current_time()
                self._budgets.charge(peer, self._prefix_of_peer(peer), more_ms, now)

    @asynccontextmanager
    async def _turn(self, peer: NodeId, method: str) -> AsyncGenerator[None]:
        now = trio.current_time()
        delay = self._budgets.delay_seconds(peer, self._prefix_of_peer(peer), method, now)
        if delay:
            await trio.sleep(delay)
        if not is_heavy(method):
            yield
            return
        ticket = next(self._tickets)
        self._called[ticket] = trio.Event()
        self._turns.ask(ticket, peer)
        try:
            self._call()
            await self._called[ticket].wait()
            yield
        finally:
            del self._called[ticket]
            self._turns.give_up(ticket)
            self._call()

    def _call(self) -> None:
        """Let those start for whom there is a place."""
        while (ticket := self._turns.next()) is not None:
            self._called[ticket].set()
