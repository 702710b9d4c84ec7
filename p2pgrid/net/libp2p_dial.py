"""Reaching a peer at one of several addresses.

libp2p's own `connect` tries two addresses, leaves loopback out, refuses for 60 s
to retry a peer that was down, and blocks over 100 s on one that stays mute.
"""

import logging
from collections.abc import Iterable

import trio
from libp2p.abc import IHost
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from p2pgrid.errors import Unreachable
from p2pgrid.limits.net import DIAL_SECONDS_MAX, DIAL_STAGGER_SECONDS
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.address import peer_id_bytes
from p2pgrid.net.libp2p_host import swarm_of

log = logging.getLogger(__name__)


class Dialler:
    """Dials; one peer only once at a time."""

    def __init__(self, host: IHost) -> None:
        self._swarm = swarm_of(host)
        self._under_way: dict[NodeId, trio.Event] = {}

    async def dial(self, peer: NodeId, transports: Iterable[str]) -> None:
        """Return with a connection to `peer`, ours or one that somebody else asked for.

        Raises:
            Unreachable: nobody answers at `transports` within DIAL_SECONDS_MAX, or
                somebody else does.
        """
        while (others := self._under_way.get(peer)) is not None:
            await others.wait()
        peer_id = ID(peer_id_bytes(peer))
        if any(not one.is_closed for one in self._swarm.get_connections(peer_id)):
            return
        done = self._under_way[peer] = trio.Event()
        try:
            await self._race(peer_id, peer, list(transports))
        finally:
            del self._under_way[peer]
            done.set()

    async def _race(self, peer_id: ID, peer: NodeId, transports: list[str]) -> None:
        reached = trio.Event()
        failures: list[str] = []
        with trio.move_on_after(DIAL_SECONDS_MAX):
            async with trio.open_nursery() as nursery:
                for transport in transports:
                    failed = trio.Event()
                    nursery.start_soon(self._attempt, peer_id, transport, reached, failed, failures)
                    with trio.move_on_after(DIAL_STAGGER_SECONDS):
                        await failed.wait()
                    if reached.is_set():
                        break
        if not reached.is_set():
            reasons = "; ".join(failures) or "no answer" if transports else "no address is known"
            raise Unreachable(f"cannot reach {short(peer)}: {reasons}")

    async def _attempt(
        self,
        peer_id: ID,
        transport: str,
        reached: trio.Event,
        failed: trio.Event,
        failures: list[str],
    ) -> None:
        try:
            await self._swarm.dial_addr(Multiaddr(transport), peer_id)
        except Exception as error:  # noqa: BLE001 - libp2p raises what its layers raise
            log.debug("%s did not answer: %r", transport, error)
            failures.append(f"{transport} did not answer")
        else:
            reached.set()
        failed.set()
