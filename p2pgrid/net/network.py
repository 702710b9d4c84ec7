"""The network seam: what the rest of p2pgrid knows about the network, and every name on the wire.

Two adapters pass one contract suite: `libp2p` (TCP, Noise, Yamux) and `memory`
(trio's clock, so whole grids run in virtual time). Nothing above this folder
imports libp2p.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Protocol

import trio

from p2pgrid.errors import PeerError
from p2pgrid.model.ids import NodeId
from p2pgrid.net.links import Link

# Protocol ids. A number goes up when old peers could not follow.
CONTROL_PROTOCOL = "/p2pgrid/control/1"
"""The persistent stream that requests and answers travel on."""

BULK_PROTOCOL = "/p2pgrid/bulk/1"
"""The bulk lane where no TCP connection of its own is possible; see `libp2p_bulk`."""

SPREADING_PROTOCOL = "/p2pgrid/spreading/1"
"""The stream that records spread on, one for each direction; see `spread_messages`."""


class Topic(StrEnum):
    """Gossip topics, one for each class of records."""

    CAPACITY = "p2pgrid/capacity/1"
    LEDGER = "p2pgrid/ledger/1"
    HUB = "p2pgrid/hub/1"


class Method(StrEnum):
    """Every request that a peer may send. The body and answer are records of the feature named."""

    RECONCILE_EXPLORER = "explorer.reconcile"
    RECONCILE_LEDGER = "ledger.reconcile"
    EXPLORER_QUERY = "explorer.query"
    LEDGER_VOTE = "ledger.vote"
    LEDGER_SUBMIT = "ledger.submit"
    LEDGER_ACCOUNT = "ledger.account"
    LEDGER_ESCROW = "ledger.escrow"
    LEDGER_HISTORY = "ledger.history"
    LEDGER_EVIDENCE = "ledger.evidence"
    LEDGER_STATUS = "ledger.status"
    LEDGER_EPOCH = "ledger.epoch"
    """The leader of a view asks a witness; the others are questions of replicas."""
    LEDGER_EPOCHS = "ledger.epochs"
    LEDGER_EPOCH_OPERATIONS = "ledger.epoch-operations"
    LEDGER_BATCHES = "ledger.batches"
    LEDGER_ACKNOWLEDGE = "ledger.acknowledge"
    RESERVATION_REQUEST = "reservation.request"
    RESERVATION_FUNDED = "reservation.funded"
    RESERVATION_STATUS = "reservation.status"
    RESERVATION_CANCEL = "reservation.cancel"
    RESERVATION_LOGS = "reservation.logs"
    PEERS = "net.peers"
    """Name some of your peers; see `discovery`."""
    BULK_OPEN = "net.bulk"
    """Used by the libp2p adapter itself: hand out a token and a key for a bulk connection."""


class Verdict(Enum):
    """What a validator says of a gossip message."""

    ACCEPT = 1
    """Give it to the subscriber and forward it."""
    IGNORE = 2
    """Old or not for us: neither forwarded nor held against the sender."""
    REJECT = 3
    """Objectively invalid: counts against the peer it came from."""


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """One message of a topic."""

    forwarder: NodeId
    data: bytes


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A connection to this peer is open now."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The last connection to this peer is gone."""

    peer: NodeId


PeerEvent = PeerUp | PeerDown
Validator = Callable[[NodeId, bytes], Verdict]
"""(forwarder, data); quick, synchronous; one that raises counts as REJECT."""
RequestHandler = Callable[[NodeId, bytes], Awaitable[bytes]]
"""(peer, body) -> answer. A `GridError` it raises reaches the asker as the same class."""


class BulkStream(Protocol):
    """Encrypted frames between two peers, up to BULK_FRAME_BYTES each, apart from control."""

    async def send(self, frame: bytes) -> None:
        """Send one frame; waits while the other side does not read. Raises Unreachable."""
        ...

    async def receive(self) -> bytes:
        """The next frame; b"" after the other side closed. Raises Unreachable, BrokenProtocol."""
        ...

    async def aclose(self) -> None:
        """Close; safe to call twice."""
        ...


BulkHandler = Callable[[NodeId, BulkStream], Awaitable[None]]
"""Serves one bulk connection. The stream ends when it returns, and breaks off when it raises."""


class Network(Protocol):
    """A node's way to its peers. Deadlines are the caller's cancel scopes."""

    @property
    def id(self) -> NodeId:
        """The node that this is."""
        ...

    def addresses(self) -> tuple[str, ...]:
        """Multiaddrs with peer id under which this node listens, best first."""
        ...

    def peers(self) -> tuple[NodeId, ...]:
        """Peers with an open connection, sorted."""
        ...

    def links(self) -> tuple[Link, ...]:
        """Open connections to peers, in the order of `peers`."""
        ...

    def round_trips_us(self) -> Mapping[NodeId, int]:
        """Microseconds to each connected peer and back, as far as known."""
        ...

    def prefix_of_peer(self, peer: NodeId) -> str:
        """`prefix_of` the address that a connected peer really speaks from; "" of any other."""
        ...

    def peer_events(self) -> trio.MemoryReceiveChannel[PeerEvent]:
        """A new channel of ups and downs from now on. A reader that stops reading is dropped."""
        ...

    def learn_addresses(self, peer: NodeId, addresses: Sequence[str]) -> None:
        """Remember where `peer` can be dialled, for `request` and `open_bulk`."""
        ...

    def addresses_of(self, peer: NodeId) -> tuple[str, ...]:
        """Where `peer` can be dialled as far as known, latest first: learnt, or told by itself."""
        ...

    def nearby(self) -> tuple[str, ...]:
        """Addresses of nodes of this grid that announced themselves on the local network."""
        ...

    async def connect(self, address: str) -> NodeId:
        """Open a connection to a multiaddr that ends in `/p2p/…`.

        Raises:
            Unreachable: nobody answers there within DIAL_SECONDS_MAX, or somebody else does.
            BadInput: not such an address.
        """
        ...

    async def disconnect(self, peer: NodeId) -> None:
        """Hang up on a peer, if it is connected; it may come back."""
        ...

    def blame(self, peer: NodeId) -> None:
        """Count against `peer` that it answered with what is objectively invalid.

        That is what `PeerError` says of an answer or a bulk transfer, never that it was late or
        refused. A peer that does so repeatedly is hung up on and refused for SHUN_SECONDS.
        Invalid gossip counts by its Verdict, and broken protocols by themselves.
        """
        ...

    async def publish(self, topic: Topic, data: bytes) -> None:
        """Give `data` to the other subscribers of a topic. Lossy by nature; paced.

        At most GOSSIP_BYTES_MAX; longer is a ValueError.
        """
        ...

    def subscribe(
        self, topic: Topic, validate: Validator
    ) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Messages of `topic` that `validate` accepts. Once per topic, before or after start."""
        ...

    async def request(self, peer: NodeId, method: Method, body: bytes) -> bytes:
        """Ask one peer, and give its answer; dials it when its addresses are known.

        Raises:
            Unreachable: no connection, or it broke before the answer came.
            BrokenProtocol: the peer answered garbage.
            GridError: what the peer's handler raised, as the same class (Refused, NotFound, …).
        """
        ...

    def serve(self, method: Method, handler: RequestHandler) -> None:
        """Answer requests of `method` from now on. Once per method."""
        ...

    async def open_bulk(self, peer: NodeId) -> BulkStream:
        """A new bulk connection to `peer`. Raises Unreachable."""
        ...

    def serve_bulk(self, handler: BulkHandler) -> None:
        """Serve bulk connections from now on. Once."""
        ...


class _Blaming(Protocol):
    def blame(self, peer: NodeId) -> None: ...


@contextmanager
def blaming(network: _Blaming, peer: NodeId) -> Generator[None]:
    """Blame `peer` for a `PeerError` of the block, which looks at what it answered.

    Not around `request` itself: what that raises may be the peer's word on our question.
    """
    try:
        yield
    except PeerError:
        network.blame(peer)
        raise
