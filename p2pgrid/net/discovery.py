"""Finding the first peers, keeping a few, and finding them again.

In this order: anchors and other peers of earlier runs, the local network, addresses
that the operator gave, the seeds of the genesis. Once there is a peer, it is asked for
others: no node is special, not even a seed. What to do is decided in `neighbours`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

import trio

from p2pgrid import clock
from p2pgrid.errors import BadInput, GridError, InvalidRecord, MalformedRecord
from p2pgrid.limits.net import (
    ADDRESS_BYTES_MAX,
    ANCHORS_MAX,
    ANCHORS_STORED_SECONDS,
    DIAL_SECONDS_MAX,
    DISCOVERY_ROUND_SECONDS,
    PEERS_REMEMBERED_MAX,
    PEERS_TOLD_MAX,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.candidates import Origin
from p2pgrid.net.neighbours import Anchor, Neighbours
from p2pgrid.net.network import Method, Network, PeerDown, PeerEvent
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)

_R = TypeVar("_R")

PEER_PREFIX = b"a"
"""`Table.PEER` of the store, which this layer cannot import."""

ANCHOR_PREFIX = b"y"
"""`Table.ANCHOR`."""


class Shelf(Protocol):
    """What discovery needs of a store."""

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix`."""
        ...

    def write(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Store or (None) delete, without waiting for the disk."""
        ...

    async def commit(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        """The same, durable on return."""
        ...


@dataclass(frozen=True, slots=True)
class RememberedPeer:
    """Value of `Table.PEER`."""

    seen_ms: TimestampMs
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RememberedAnchor:
    """Value of `Table.ANCHOR`."""

    address: str
    lasted_seconds: int


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
    """Keeps the neighbours that `Neighbours` wants."""

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
        self._woken = trio.Event()
        now = trio.current_time()
        self._neighbours = Neighbours(network.id, random, now)
        for address in peers:
            self._neighbours.add(address, Origin.GIVEN, now)
        for address in seeds:
            self._neighbours.hear(address, Origin.SEED, now)
        network.serve(Method.PEERS, self._tell_peers)

    @property
    def wants_more(self) -> bool:
        """Whether fresh addresses would be of use."""
        return self._neighbours.wants_more(trio.current_time())

    def suggest(self, addresses: Sequence[str]) -> None:
        """Consider addresses that were heard of elsewhere, say in announcements."""
        self._hear(addresses, teller="")

    def role_of(self, peer: NodeId) -> str:
        """What a connected peer is to us, in a word: anchor, chosen, or nothing of the kind."""
        if not self._neighbours.is_chosen(peer):
            return ""
        return "anchor" if self._neighbours.is_anchor(peer) else "chosen"

    async def run(self) -> None:
        """Connect and reconnect, until cancelled."""
        self._recall()
        events = self._network.peer_events()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, events)
            nursery.start_soon(self._store_anchors)
            while True:
                await self._round(nursery)
                with trio.move_on_after(DISCOVERY_ROUND_SECONDS * self._random.uniform(0.5, 1.5)):
                    await self._woken.wait()
                self._woken = trio.Event()

    # --- connecting -------------------------------------------------------------------------------

    async def _round(self, nursery: trio.Nursery) -> None:
        """Do what is planned; dials and questions take their time elsewhere."""
        now = trio.current_time()
        for address in self._network.nearby():
            self._neighbours.hear(address, Origin.NEARBY, now)
        plan = self._neighbours.plan(self._network.links(), now)
        for address in plan.dial:
            nursery.start_soon(self._dial, address)
        if plan.ask is not None:
            nursery.start_soon(self._ask_for_peers, plan.ask)
        for peer in plan.close:
            log.info("hanging up on %s to make room", short(peer))
            await self._network.disconnect(peer)

    async def _dial(self, address: str) -> None:
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                peer = await self._network.connect(address)
        except BadInput as error:
            log.warning("cannot dial: %s", error)
            self._neighbours.failed(address, trio.current_time())
        except (GridError, trio.TooSlowError) as error:
            log.debug("%s did not answer: %s", address, error)
            self._neighbours.failed(address, trio.current_time())
        else:
            prefix = self._network.prefix_of_peer(peer)
            self._neighbours.reached(address, prefix, trio.current_time())
            self._remember(peer, address)
        self._woken.set()

    async def _ask_for_peers(self, peer: NodeId) -> None:
        """Let one of our peers name others."""
        prefix = self._network.prefix_of_peer(peer)
        try:
            with trio.fail_after(DIAL_SECONDS_MAX):
                told = decode(PeersTold, await self._network.request(peer, Method.PEERS, b""))
        except (GridError, trio.TooSlowError) as error:
            log.debug("%s names no peers: %s", short(peer), error)
            return
        self._hear(told.addresses, teller=prefix)
        self._woken.set()

    def _hear(self, addresses: Sequence[str], *, teller: str) -> None:
        for address in addresses:
            self._neighbours.hear(address, Origin.HEARD, trio.current_time(), teller)

    async def _tell_peers(self, asker: NodeId, _body: bytes) -> bytes:
        others = [peer for peer in self._network.peers() if peer != asker]
        self._random.shuffle(others)
        firsts = [known[0] for peer in others if (known := self._network.addresses_of(peer))]
        return encode(PeersTold(tuple(firsts[:PEERS_TOLD_MAX])))

    async def _follow(self, events: trio.MemoryReceiveChannel[PeerEvent]) -> None:
        async for event in events:
            if isinstance(event, PeerDown):
                self._hear(self._network.addresses_of(event.peer), teller="")
            self._woken.set()

    # --- remembering ------------------------------------------------------------------------------

    def _recall(self) -> None:
        """Consider the peers of earlier runs, those seen last first; forget the oldest."""
        now = trio.current_time()
        anchors = [
            Anchor(NodeId(key[len(ANCHOR_PREFIX) :]), one.address, float(one.lasted_seconds))
            for key, one in self._stored(ANCHOR_PREFIX, RememberedAnchor)
        ]
        self._neighbours.recall(anchors[:ANCHORS_MAX], now)
        remembered = [
            (one.seen_ms, key, one) for key, one in self._stored(PEER_PREFIX, RememberedPeer)
        ]
        remembered.sort(key=lambda row: row[:2], reverse=True)
        self._shelf.write([(key, None) for _, key, _ in remembered[PEERS_REMEMBERED_MAX:]])
        for _, _, one in remembered[:PEERS_REMEMBERED_MAX]:
            for address in one.addresses:
                self._neighbours.hear(address, Origin.REMEMBERED, now)

    def _stored(self, prefix: bytes, cls: type[_R]) -> list[tuple[bytes, _R]]:
        """Records of one table; the damaged are forgotten."""
        found: list[tuple[bytes, _R]] = []
        for key, value in self._shelf.scan(prefix):
            try:
                found.append((key, decode(cls, value)))
            except MalformedRecord as error:
                log.warning("forgetting a peer whose record is damaged: %s", error)
                self._shelf.write([(key, None)])
        return found

    def _remember(self, peer: NodeId, address: str) -> None:
        """Only where we reached it: what a peer says of itself anybody can say."""
        value = encode(RememberedPeer(self._now_ms(), (address,)))
        self._shelf.write([(PEER_PREFIX + peer, value)])

    async def _store_anchors(self) -> None:
        """A restart at any time finds the latest; so a crash brought about gains nobody a thing."""
        while True:
            await trio.sleep(ANCHORS_STORED_SECONDS)
            anchors = self._neighbours.anchors(self._network.links(), trio.current_time())
            stored = {key: None for key, _ in self._shelf.scan(ANCHOR_PREFIX)}
            fresh = {
                ANCHOR_PREFIX + one.peer: encode(
                    RememberedAnchor(one.address, int(one.lasted_seconds))
                )
                for one in anchors
            }
            if stored or fresh:
                await self._shelf.commit([*{**stored, **fresh}.items()])
