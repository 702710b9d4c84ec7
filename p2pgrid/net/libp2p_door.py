"""The way in: what libp2p does with a connection that somebody opened to us, replaced.

Who is let in is decided in `admission`.
"""

import logging
from collections.abc import Iterable
from itertools import count
from typing import Any

import trio
from libp2p.abc import IMuxedConn, INetConn
from libp2p.network import swarm
from libp2p.network.connection.raw_connection import RawConnection

from p2pgrid.net.admission import Admission

log = logging.getLogger(__name__)

_CLOSE_SECONDS_MAX = 1.0


class Door:
    """One for a swarm."""

    def __init__(self) -> None:
        self._admission = Admission(trio.current_time())
        self._scopes: dict[int, trio.CancelScope] = {}
        self._numbers: dict[int, int] = {}
        """By the identity of a connection that has been upgraded."""
        self._next = count()

    async def let_in(self, network: swarm.Swarm, stream: Any, maddr: Any) -> None:  # noqa: ANN401 - libp2p's own union
        """Upgrade a connection and stay with it until it is closed, or has to make place."""
        remote = stream.get_remote_address()
        host = remote[0] if remote is not None else ""
        number = next(self._next)
        if not self._admission.arrive(number, host, trio.current_time()):
            await _close(stream)
            return
        raw = RawConnection(stream, False)  # noqa: FBT003 - libp2p's
        try:
            with trio.CancelScope() as scope:
                self._scopes[number] = scope
                self._make_place()
                await self._stay(network, raw, maddr, number)
            if scope.cancelled_caught:
                await _close(raw)
        except Exception as error:  # noqa: BLE001 - whatever the other side did, we go on
            log.debug("inbound connection from %s failed: %r", host, error)
            await _close(raw)
        finally:
            del self._scopes[number]
            self._admission.leave(number)

    def settle(self, connections: Iterable[INetConn]) -> None:
        """Their peer has greeted: they need not make place for others who have not."""
        for connection in connections:
            number = self._numbers.get(id(connection.muxed_conn))
            if number is not None:
                self._admission.settle(number)

    async def _stay(
        self,
        network: swarm.Swarm,
        raw: RawConnection,
        maddr: Any,  # noqa: ANN401 - libp2p's
        number: int,
    ) -> None:
        muxed = await network.upgrade_inbound_raw_conn(raw, maddr)
        self._numbers[id(muxed)] = number
        try:
            await _wait_closed(network, muxed)
        finally:
            del self._numbers[id(muxed)]

    def _make_place(self) -> None:
        number = self._admission.whom_to_drop()
        if number is not None:
            self._admission.leave(number)
            self._scopes[number].cancel()


def door_of(network: swarm.Swarm) -> Door:
    """The door of a swarm, made at its first use."""
    door = network.__dict__.setdefault("_p2pgrid_door", None) or Door()
    network.__dict__["_p2pgrid_door"] = door
    return door


async def handle_inbound_connection(
    self: swarm.Swarm,
    read_write_closer: Any,  # noqa: ANN401 - libp2p's own union
    maddr: Any,  # noqa: ANN401 - libp2p's
    failure_event: Any,  # noqa: ANN401, ARG001 - metrics are off
) -> None:
    """B1: the slot of an inbound connection was held for the life of the swarm, not its own."""
    await door_of(self).let_in(self, read_write_closer, maddr)


async def _wait_closed(network: swarm.Swarm, muxed: IMuxedConn) -> None:
    for connection in network.get_connections(muxed.peer_id):
        if connection.muxed_conn is muxed:
            await connection.event_closed.wait()  # type: ignore[attr-defined]  # SwarmConn


async def _close(stream: Any) -> None:  # noqa: ANN401 - a raw connection or what is below it
    with trio.CancelScope(deadline=trio.current_time() + _CLOSE_SECONDS_MAX, shield=True):
        try:
            await stream.close()
        except Exception as error:  # noqa: BLE001 - it is gone already, then
            log.debug("a connection could not be closed: %r", error)
