"""Records of an imagined grid, and a network of peers in one process."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.explorer.announce import NodeFacts, Stamp, announcement_of
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.flist import FlistName, Holdings
from p2pgrid.model.ids import AccountId, FarmId, FlistId, NetworkId, NodeId
from p2pgrid.model.node import CapacityUpdate, Feature, Hardware, Location, NodeAnnouncement
from p2pgrid.net.network import (
    BulkHandler,
    BulkStream,
    GossipMessage,
    Method,
    PeerDown,
    PeerEvent,
    PeerUp,
    RequestHandler,
    Topic,
    Validator,
    Verdict,
)
from p2pgrid.units import GIB, TimestampMs
from p2pgrid.wire.signed import Signed, sign

GRID = NetworkId(b"a grid for tests")
NOW = TimestampMs(1_800_000_000_000)
FARM_KEY = SigningKey(b"farm".ljust(32, b"."))
FARM = FarmId(bytes(FARM_KEY.verify_key))
TOTAL = Capacity(millicores=8000, memory_bytes=32 * GIB, ssd_bytes=500 * GIB)
HARDWARE = Hardware(board="board", cpu_model="cpu", gpus=(), secure_boot=None, virtualized=None)


def key_of(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def node_of(number: int) -> NodeId:
    return NodeId(bytes(key_of(number).verify_key))


def facts(number: int, **changes: Any) -> NodeFacts:
    plain = NodeFacts(
        node=node_of(number),
        farm=FARM,
        total=TOTAL,
        system=Capacity(memory_bytes=4 * GIB),
        addresses=(f"/ip4/10.0.0.{number % 250}/tcp/4001",),
        features=(Feature.CONTAINER,),
        hardware=HARDWARE,
        boot_ms=NOW,
        version="0.1.0",
    )
    return replace(plain, **changes)


def announced(
    number: int,
    *,
    incarnation: int = 1,
    sequence: int = 0,
    time_ms: int = NOW,
    grid: NetworkId = GRID,
    **changes: Any,
) -> Signed[ExplorerRecord]:
    stamp = Stamp(incarnation, sequence, TimestampMs(time_ms))
    said: NodeAnnouncement = announcement_of(facts(number, **changes), stamp)
    return sign(said, key_of(number), grid)


def updated(
    number: int,
    free: Capacity,
    *,
    incarnation: int = 1,
    sequence: int = 0,
    time_ms: int = NOW,
    reservations: int = 0,
) -> Signed[ExplorerRecord]:
    update = CapacityUpdate(
        node=node_of(number),
        incarnation=incarnation,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        free=free,
        reservations=reservations,
    )
    return sign(update, key_of(number), GRID)


def farm_record(
    title: str = "Acme", *, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    farm = FarmRecord(
        farm=FARM,
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        title=title,
        payout=AccountId(FARM),
        location=Location(
            country="Belgium",
            city="Ghent",
            latitude_microdegrees=141_000_000,
            longitude_microdegrees=183_700_000,
        ),
        price_permille=1000,
        public_ranges=(),
    )
    return sign(farm, FARM_KEY, GRID)


def farm_members(*numbers: int, sequence: int = 0) -> Signed[ExplorerRecord]:
    members = FarmMembers(
        farm=FARM,
        incarnation=1,
        sequence=sequence,
        time_ms=NOW,
        nodes=tuple(node_of(number) for number in numbers),
    )
    return sign(members, FARM_KEY, GRID)


def flist_name(
    number: int, title: str, flist: FlistId | None, *, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    name = FlistName(
        publisher=AccountId(node_of(number)),
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        title=title,
        tag="1",
        flist=flist,
        flist_bytes=1,
        content_bytes=1,
        description="",
    )
    return sign(name, key_of(number), GRID)


def holdings(
    number: int, *flists: FlistId, sequence: int = 0, time_ms: int = NOW
) -> Signed[ExplorerRecord]:
    held = Holdings(
        node=node_of(number),
        incarnation=1,
        sequence=sequence,
        time_ms=TimestampMs(time_ms),
        flists=flists,
    )
    return sign(held, key_of(number), GRID)


class Switchboard:
    """Peers in one process that hear each other at once, unless they are kept apart."""

    def __init__(self) -> None:
        self.peers: dict[NodeId, SwitchboardNetwork] = {}
        self.apart: set[frozenset[NodeId]] = set()
        self.is_gossip_lost = False

    def join(self, number: int) -> "SwitchboardNetwork":
        peer = SwitchboardNetwork(self, node_of(number))
        self.peers[peer.id] = peer
        for other in peer.peers():
            self.peers[other].tell(PeerUp(peer.id))
            peer.tell(PeerUp(other))
        return peer

    def keep_apart(self, *numbers: int, of: Sequence[int]) -> None:
        for one in numbers:
            for other in of:
                self.apart.add(frozenset((node_of(one), node_of(other))))

    def heal(self) -> None:
        pairs, self.apart = self.apart, set()
        for one, other in map(sorted, pairs):
            self.peers[NodeId(one)].tell(PeerUp(NodeId(other)))
            self.peers[NodeId(other)].tell(PeerUp(NodeId(one)))


class SwitchboardNetwork:
    """One peer of a switchboard."""

    def __init__(self, board: Switchboard, identity: NodeId) -> None:
        self.id = identity
        self.heard: list[tuple[NodeId, Verdict]] = []
        self._board = board
        self._validators: dict[Topic, Validator] = {}
        self._handlers: dict[Method, RequestHandler] = {}
        self._readers: list[trio.MemorySendChannel[PeerEvent]] = []

    def addresses(self) -> tuple[str, ...]:
        return ()

    def peers(self) -> tuple[NodeId, ...]:
        others = sorted(set(self._board.peers) - {self.id})
        return tuple(one for one in others if frozenset((one, self.id)) not in self._board.apart)

    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        send, receive = trio.open_memory_channel[PeerEvent](100)
        self._readers.append(send)
        return receive

    def tell(self, event: PeerUp | PeerDown) -> None:
        for reader in self._readers:
            reader.send_nowait(event)

    def addresses_of(self, peer: NodeId) -> tuple[str, ...]:
        return ()

    def learn_addresses(self, peer: NodeId, addresses: Sequence[str]) -> None:
        pass

    async def connect(self, address: str) -> NodeId:
        raise Unreachable(address)

    async def publish(self, topic: Topic, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._forward(topic, data, {self.id})

    def _forward(self, topic: Topic, data: bytes, reached: set[NodeId]) -> None:
        for other in self.peers():
            peer = self._board.peers[other]
            if other in reached or topic not in peer._validators or self._board.is_gossip_lost:
                continue
            reached.add(other)
            verdict = peer._validators[topic](self.id, data)
            peer.heard.append((self.id, verdict))
            if verdict is Verdict.ACCEPT:
                peer._forward(topic, data, reached)

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        self._validators[topic] = validate
        return trio.open_memory_channel[GossipMessage](0)[1]

    async def request(self, peer: NodeId, method: Method, body: bytes) -> bytes:
        await trio.sleep(0.01)
        if peer not in self.peers():
            raise Unreachable("no connection")
        handler = self._board.peers[peer]._handlers.get(method)
        if handler is None:
            raise NotFound(f"{method} is not served")
        return await handler(self.id, body)

    def serve(self, method: Method, handler: Callable[[NodeId, bytes], Awaitable[bytes]]) -> None:
        self._handlers[method] = handler

    async def open_bulk(self, peer: NodeId) -> BulkStream:
        raise Unreachable("no bulk here")

    def serve_bulk(self, handler: BulkHandler) -> None:
        pass
