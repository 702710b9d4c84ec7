"""Finding the first peers, keeping a few, and finding them again.

In this order: peers of earlier runs, the local network, addresses that the
operator gave, the seeds of the genesis. Once there is a peer, it is asked for
others: no node is special, not even a seed.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import trio

from p2pgrid import clock
from p2pgrid.errors import BadInput, GridError, InvalidRecord, MalformedRecord
from p2pgrid.limits.net import (
    ADDRESS_BYTES_MAX,
    DIAL_SECONDS_MAX,
    DISCOVERY_DIALS_MAX,
    DISCOVERY_ROUND_SECONDS,
    PEER_ADDRESSES_MAX,
    PEERS_REMEMBERED_MAX,
    PEERS_TOLD_MAX,
    PEERS_WANTED,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.candidates import Candidates, Origin
from p2pgrid.net.network import Method, Network, PeerDown, PeerEvent, PeerUp
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)

PEER_PREFIX = b"a"
"""`Table.PEER` of the store, which this layer cannot import."""


class Shelf(Protocol):
    """What discovery needs of a store."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix`."""
        ...

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store or (None) delete, without waiting for the disk."""
        ...


@dataclass(frozen=True, slots=True)
class RememberedPeer:
    """Value of `Table.PEER`."""

    seen_ms: TimestampMs
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeersTold:
    """Answer to PEERS: some that we are connected to."""

    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.addresses) > PEERS_TOLD_MAX:
            raise InvalidRecord(f"more than {PEERS_TOLD_MAX} addresses")
        if any(len(address) > ADDRESS_BYTES_MAX for address in self.addresses):
            raise InvalidRecord(f"an address is longer than {ADDRESS_BYTES_MAX} bytes")


class Discovery:
    """Keeps PEERS_WANTED peers connected, as far as there are so many."""

    def __init__(
        self,
        network: Network,
        shelf: Shelf,
        *,
        peers: Sequence[str],
        seeds: Sequence[str],
        random: Random,
        now_ms: Callable[[], TimestampMs] = clock.now_ms,
    ) -> None:
        """Raises BadInput: an address of `peers` makes no sense."""
        self._network = network
        self._shelf = shelf
        self._random = random
        self._now_ms = now_ms
        self._candidates = Candidates(network.id, random)
        self._woken = trio.Event()
        now = trio.current_time()
        for address in peers:
            self._candidates.add(address, Origin.GIVEN, now)
        for address in seeds:
            self._candidates.hear(address, Origin.SEED, now)
        network.serve(Method.PEERS, self._tell_peers)

    def suggest(self, addresses: Sequence[str]) -> None:
        """Consider addresses that were heard of elsewhere, say in announcements."""
        for address in addresses:
            self._candidates.hear(address, Origin.HEARD, trio.current_time())

    async def run(self) -> None:
        """Connect and reconnect, until cancelled."""
        self._recall()
        events = self._network.peer_events()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, events)
            while True:
                await self._round()
                with trio.move_on_after(DISCOVERY_ROUND_SECONDS * self._random.uniform(0.5, 1.5)):
                    await self._woken.wait()
                self._woken = trio.Event()

    # --- connecting -------------------------------------------------------------------------------

    async def _round(self) -> None:
        """Dial while peers are wanted and addresses are due."""
        while True:
            connected = self._network.peers()
            wanted = PEERS_WANTED - len(connected)
            for address in self._network.nearby():
                self._candidates.hear(address, Origin.NEARBY, trio.current_time())
            if wanted > 0:
                await self._ask_for_peers(connected)
            due = self._candidates.due(trio.current_time(), frozenset(connected))
            if wanted <= 0 or not due:
                return
            async with trio.open_nursery() as nursery:
                for address in due[: min(wanted, DISCOVERY_DIALS_MAX)]:
                    nursery.start_soon(self._dial, address)

    async def _dial(self, address: str) -> None:
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                await self._network.connect(address)
        except BadInput as error:
            log.warning("cannot dial: %s", error)
            self._candidates.failed(address, trio.current_time())
        except (GridError, trio.TooSlowError) as error:
            log.debug("%s did not answer: %s", address, error)
            self._candidates.failed(address, trio.current_time())
        else:
            self._candidates.reached(address)

    async def _ask_for_peers(self, connected: Sequence[NodeId]) -> None:
        """Let one of our peers name others."""
        if not connected:
            return
        peer = self._random.choice(connected)
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                told = decode(PeersTold, await self._network.request(peer, Method.PEERS, b""))
        except (GridError, trio.TooSlowError) as error:
            log.debug("%s names no peers: %s", short(peer), error)
            return
        self.suggest(told.addresses)

    async def _tell_peers(self, asker: NodeId, _body: bytes) -> bytes:
        others = [peer for peer in self._network.peers() if peer != asker]
        self._random.shuffle(others)
        firsts = [known[0] for peer in others if (known := self._network.addresses_of(peer))]
        return encode(PeersTold(tuple(firsts[:PEERS_TOLD_MAX])))

    # --- remembering ------------------------------------------------------------------------------

    async def _follow(self, events: trio.MemoryReceiveChannel[PeerEvent]) -> None:
        async for event in events:
            match event:
                case PeerUp(peer):
                    self._remember(peer)
                case PeerDown(peer):
                    for address in self._network.addresses_of(peer):
                        self._candidates.hear(address, Origin.REMEMBERED, trio.current_time())
                    self._woken.set()

    def _recall(self) -> None:
        """Consider the peers of earlier runs, those seen last first; forget the oldest."""
        remembered: list[tuple[TimestampMs, bytes, tuple[str, ...]]] = []
        for key, value in self._shelf.scan(PEER_PREFIX):
            try:
                one = decode(RememberedPeer, value)
            except MalformedRecord as error:
                log.warning("forgetting a peer whose record is damaged: %s", error)
                self._shelf.write([(key, None)])
            else:
                remembered.append((one.seen_ms, key, one.addresses))
        remembered.sort(reverse=True)
        self._shelf.write([(key, None) for _, key, _ in remembered[PEERS_REMEMBERED_MAX:]])
        for _, _, addresses in remembered[:PEERS_REMEMBERED_MAX]:
            for address in addresses:
                self._candidates.hear(address, Origin.REMEMBERED, trio.current_time())

    def _remember(self, peer: NodeId) -> None:
        addresses = self._network.addresses_of(peer)[:PEER_ADDRESSES_MAX]
        if addresses:
            value = encode(RememberedPeer(self._now_ms(), addresses))
            self._shelf.write([(PEER_PREFIX + peer, value)])
