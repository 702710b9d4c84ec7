"""What the control API can reach of a running node."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nacl.signing import SigningKey

from p2pgrid.api.explorer_access import ExplorerAccess
from p2pgrid.chunks.keeper import ChunkKeeper
from p2pgrid.flist.fetching import OnProgress
from p2pgrid.flist.pulls import Pulled
from p2pgrid.flist.service import FlistService
from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.net.network import Network
from p2pgrid.reservation.consumer import ConsumerService
from p2pgrid.reservation.service import HostService
from p2pgrid.units import TimestampMs


class PulledImages(Protocol):
    """What brings images here for people."""

    def holders_of(self, flist: FlistId) -> Sequence[NodeId]:
        """Whom to ask for an image, the best first; how to reach them is known from then on."""
        ...

    async def pull(self, flist: FlistId, on_progress: OnProgress, *, is_seeded: bool) -> Pulled:
        """Bring all of an image here, and keep it if it is to be seeded. Raises GridError."""
        ...

    async def stop(self, flist: FlistId) -> bool:
        """Seed it no more; gives whether it was seeded. Raises StoreFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of one node, as its control API uses them."""

    data: Path
    key: SigningKey
    genesis: Genesis
    network: Network
    explorer: ExplorerAccess
    ledger: LedgerService | RemoteLedger
    consumer: ConsumerService
    flists: FlistService | None
    """None on a light peer: it keeps no chunks."""
    pulled: PulledImages | None
    """None on a light peer, likewise."""
    chunks: ChunkKeeper | None
    """None on a light peer, likewise."""
    host: HostService | None
    """None on a light peer: it runs nothing."""
    containers_missing: Callable[[], str | None]
    """Why no containers run here; None: they do."""
    farm_text: Callable[[], str]
    """The farm that this node claims, in hex; empty for none of its own choice."""
    claim_farm: Callable[[FarmRecord], Awaitable[None]]
    """Make this node a member of a farm from now on, also after a restart."""
    holds_changed: Callable[[], None]
    """An flist came or went: tell the grid what is held."""
    peer_role: Callable[[NodeId], str]
    """What a connected peer is to us: `anchor`, `chosen`, or empty for any other."""
    now_ms: Callable[[], TimestampMs]
    started_ms: TimestampMs

    @property
    def node(self) -> NodeId:
        """The node that this is."""
        return NodeId(bytes(self.key.verify_key))

    @property
    def is_light(self) -> bool:
        """Whether this is a light peer."""
        return self.host is None
