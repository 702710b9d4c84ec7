"""The view: the newest verified record of everyone, and what follows from all of them.

Rules, whatever a record came by:

1. A record from further ahead than clocks differ waits; it may come again later.
2. A record past its lease is refused, so what was dropped cannot come back.
3. In each register the newest stays; equal versions with different content are kept as evidence.
4. One author has a bounded number of registers; of all registers, those not
   renewed for longest make room. Records of protected authors (our own) stay.

Replicas that saw the same records hold the same view. Nothing here does input
or output: `accept` and `expire` say what to change on the disk.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar, cast

from p2pgrid.crdt.reconcile import IdSet
from p2pgrid.crdt.register import Outcome, RegisterKey, Registers, register_key
from p2pgrid.explorer.query import (
    ANY_NODE,
    FarmView,
    NodeFilter,
    NodeSort,
    NodeView,
    Presence,
    is_named,
    select_nodes,
)
from p2pgrid.explorer.records import ExplorerRecord, lease_ms_of
from p2pgrid.limits.explorer import (
    EXPLORER_REGISTERS_MAX,
    EXPLORER_REGISTERS_PER_AUTHOR_MAX,
    EXPLORER_UNWANTED_MAX,
    NODE_FRESH_MS,
    RECORD_AHEAD_MS_MAX,
)
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.flist import FlistName, Holdings
from p2pgrid.model.ids import FarmId, FlistId, NodeId
from p2pgrid.model.node import CapacityUpdate, NodeAnnouncement, NodeStatus
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import kind_of
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed

_R = TypeVar("_R", bound=ExplorerRecord)


class Refusal(Enum):
    """Why a verified record is not taken. None of these is the forwarder's fault."""

    KNOWN = 1
    OUTDATED = 2
    """There is a newer one."""
    STALE = 3
    """Its lease is over."""
    AHEAD = 4
    """Its time has not come yet."""
    TOO_MANY = 5
    """Its author has as many registers as one may have."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two records of one author with the same version: whoever signed them lies to somebody."""

    first: bytes
    """An envelope."""
    second: bytes


@dataclass(frozen=True, slots=True)
class Admission:
    """What `View.accept` did."""

    refusal: Refusal | None
    dropped: tuple[RegisterKey, ...] = ()
    """Registers that made room."""


class View:
    """All that is known of the grid's nodes, farms and flist names."""

    def __init__(
        self,
        *,
        registers_max: int = EXPLORER_REGISTERS_MAX,
        per_author_max: int = EXPLORER_REGISTERS_PER_AUTHOR_MAX,
    ) -> None:
        self.ids = IdSet()
        """The ids of all records held: what peers reconcile with."""
        self.unwanted: OrderedDict[bytes, None] = OrderedDict()
        """Ids of records that others replaced or crowded out; not to be fetched again.

        Stale ones are not among them: it may be our clock that is wrong.
        """
        self.contradictions: dict[RegisterKey, Contradiction] = {}
        self._registers: Registers[ExplorerRecord] = Registers()
        self._key_of: dict[bytes, RegisterKey] = {}
        self._of_kind: dict[RecordKind, dict[RegisterKey, None]] = {}
        self._of_author: Counter[bytes] = Counter()
        self._least_renewed: OrderedDict[RegisterKey, None] = OrderedDict()
        self._holders: dict[FlistId, set[NodeId]] = {}
        self._protected: set[bytes] = set()
        self._registers_max = registers_max
        self._per_author_max = per_author_max

    # --- records ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._registers)

    def protect(self, author: bytes) -> None:
        """Never drop records of this author to make room."""
        self._protected.add(author)

    def get(self, key: RegisterKey) -> Signed[ExplorerRecord] | None:
        """The newest record of a register."""
        return self._registers.get(key)

    def record(self, identity: bytes) -> bytes | None:
        """The envelope of a record that is held."""
        key = self._key_of.get(identity)
        signed = None if key is None else self._registers.get(key)
        return None if signed is None else signed.envelope

    def refusal(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> Refusal | None:
        """Why `accept` would not take this record; None when it would."""
        key = register_key(signed)
        if signed.record.time_ms > now_ms + RECORD_AHEAD_MS_MAX:
            return Refusal.AHEAD
        if _is_stale(signed, now_ms):
            return Refusal.STALE
        outcome = self._registers.compare(signed).outcome
        if outcome is not Outcome.NEWER:
            return Refusal.KNOWN if outcome is Outcome.SAME else Refusal.OUTDATED
        is_new_register = self._registers.get(key) is None
        if is_new_register and self._of_author[key.author] >= self._per_author_max:
            return Refusal.TOO_MANY
        return None

    def accept(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> Admission:
        """Take a verified record, unless a rule refuses it."""
        key = register_key(signed)
        refusal = self.refusal(signed, now_ms)
        if refusal not in (Refusal.AHEAD, Refusal.STALE):
            self._keep_evidence(key, signed)
        if refusal is not None:
            if refusal in (Refusal.OUTDATED, Refusal.TOO_MANY):
                self._forget(signed.id)
            return Admission(refusal)
        replaced = self._remove(key)
        if replaced is not None:
            self._forget(replaced.id)
        self._registers.merge(signed)
        self._insert(key, signed)
        return Admission(None, tuple(self._make_room()))

    def expire(self, now_ms: TimestampMs) -> tuple[RegisterKey, ...]:
        """Drop every record past its lease. O(n)."""
        stale = [key for key, signed in self._registers if _is_stale(signed, now_ms)]
        for key in stale:
            self._remove(key)
        return tuple(stale)

    def _keep_evidence(self, key: RegisterKey, signed: Signed[ExplorerRecord]) -> None:
        other = self._registers.compare(signed).contradicts
        if other is not None and len(self.contradictions) < self._registers_max:
            self.contradictions.setdefault(key, Contradiction(other.envelope, signed.envelope))

    def _insert(self, key: RegisterKey, signed: Signed[ExplorerRecord]) -> None:
        self.ids.add(signed.id)
        self.unwanted.pop(signed.id, None)
        self._key_of[signed.id] = key
        self._of_kind.setdefault(key.kind, {})[key] = None
        self._of_author[key.author] += 1
        self._least_renewed[key] = None
        if isinstance(signed.record, Holdings):
            for flist in signed.record.flists:
                self._holders.setdefault(flist, set()).add(signed.record.node)

    def _remove(self, key: RegisterKey) -> Signed[ExplorerRecord] | None:
        signed = self._registers.drop(key)
        if signed is None:
            return None
        self.ids.discard(signed.id)
        del self._key_of[signed.id], self._of_kind[key.kind][key], self._least_renewed[key]
        self._of_author[key.author] -= 1
        if not self._of_author[key.author]:
            del self._of_author[key.author]
        if isinstance(signed.record, Holdings):
            for flist in signed.record.flists:
                self._holders.get(flist, set()).discard(signed.record.node)
                if not self._holders.get(flist):
                    self._holders.pop(flist, None)
        return signed

    def _make_room(self) -> Iterator[RegisterKey]:
        while len(self._registers) > self._registers_max:
            oldest = next(
                (key for key in self._least_renewed if key.author not in self._protected), None
            )
            if oldest is None:
                return
            evicted = self._remove(oldest)
            if evicted is not None:
                self._forget(evicted.id)
            yield oldest

    def _forget(self, identity: bytes) -> None:
        self.unwanted[identity] = None
        if len(self.unwanted) > EXPLORER_UNWANTED_MAX:
            self.unwanted.popitem(last=False)

    # --- queries ----------------------------------------------------------------------------------

    def nodes(
        self,
        wanted: NodeFilter = ANY_NODE,
        *,
        now_ms: TimestampMs,
        sort: NodeSort = NodeSort.PRICE,
    ) -> tuple[NodeView, ...]:
        """The nodes that match, in order; those that said goodbye are left out."""
        rows = (self._node_view(one, now_ms) for one in self._all(NodeAnnouncement, now_ms))
        return select_nodes((row for row in rows if row is not None), wanted, sort)

    def node(self, node: NodeId, *, now_ms: TimestampMs) -> NodeView | None:
        """One node, if it is known and has not said goodbye."""
        announcement = self._one(NodeAnnouncement, node, now_ms)
        return None if announcement is None else self._node_view(announcement, now_ms)

    def farms(self, wanted: str = "", *, now_ms: TimestampMs) -> tuple[FarmView, ...]:
        """Farms by name; `wanted` is a name or the first hex digits of an id, empty for all."""
        rows = (
            self._farm_view(signed, now_ms)
            for signed in self._all(FarmRecord, now_ms)
            if is_named(wanted, signed.record.title, signed.record.farm)
        )
        return tuple(sorted(rows, key=lambda row: (row.title.casefold(), row.farm)))

    def flist_names(self, title: str = "", *, now_ms: TimestampMs) -> tuple[FlistName, ...]:
        """Published names that are not withdrawn, of all publishers; `title` empty for all."""
        names = (signed.record for signed in self._all(FlistName, now_ms))
        return tuple(
            sorted(
                (name for name in names if name.flist is not None and title in ("", name.title)),
                key=lambda name: (name.title, name.tag, name.publisher),
            )
        )

    def holders(self, flist: FlistId, *, now_ms: TimestampMs) -> tuple[NodeId, ...]:
        """Nodes that say they can serve every chunk of `flist`, sorted by id."""
        return tuple(
            node
            for node in sorted(self._holders.get(flist, ()))
            if self._one(Holdings, node, now_ms) is not None and not self._is_gone(node)
        )

    def _all(self, cls: type[_R], now_ms: TimestampMs) -> Iterator[Signed[_R]]:
        for key in self._of_kind.get(kind_of(cls), ()):
            signed = self._registers.get(key)
            assert signed is not None
            if not _is_stale(signed, now_ms):
                yield cast(Signed[_R], signed)

    def _one(self, cls: type[_R], author: bytes, now_ms: TimestampMs) -> Signed[_R] | None:
        signed = self._registers.get(RegisterKey(kind_of(cls), author, b""))
        if signed is None or _is_stale(signed, now_ms):
            return None
        return cast(Signed[_R], signed)

    def _is_gone(self, node: NodeId) -> bool:
        announcement = self._registers.get(RegisterKey(RecordKind.NODE_ANNOUNCEMENT, node, b""))
        return (
            announcement is not None
            and isinstance(announcement.record, NodeAnnouncement)
            and announcement.record.status is NodeStatus.GONE
        )

    def _node_view(self, signed: Signed[NodeAnnouncement], now_ms: TimestampMs) -> NodeView | None:
        said = signed.record
        if said.status is NodeStatus.GONE:
            return None
        update = self._one(CapacityUpdate, said.node, now_ms)
        farm = self._one(FarmRecord, said.farm, now_ms)
        members = self._one(FarmMembers, said.farm, now_ms)
        heard_ms = max(said.time_ms, update.record.time_ms if update else 0)
        return NodeView(
            node=said.node,
            farm=said.farm,
            farm_name=farm.record.title if farm else "",
            is_confirmed=members is not None and said.node in members.record.nodes,
            payout=farm.record.payout if farm else None,
            status=_presence(said.status, max(0, now_ms - heard_ms)),
            age_ms=max(0, now_ms - heard_ms),
            free=update.record.free if update else said.total.less(said.system),
            total=said.total,
            system=said.system,
            reservations=update.record.reservations if update else 0,
            price_permille=said.price_permille,
            features=said.features,
            location=said.location or (farm.record.location if farm else None),
            hardware=said.hardware,
            addresses=said.addresses,
            reachability=said.reachability,
            overlay_address=said.overlay_address,
            version=said.version,
            boot_ms=said.boot_ms,
        )

    def _farm_view(self, signed: Signed[FarmRecord], now_ms: TimestampMs) -> FarmView:
        said = signed.record
        members = self._one(FarmMembers, FarmId(said.farm), now_ms)
        return FarmView(
            farm=said.farm,
            title=said.title,
            payout=said.payout,
            location=said.location,
            price_permille=said.price_permille,
            public_ranges=said.public_ranges,
            nodes=members.record.nodes if members else (),
            age_ms=max(0, now_ms - said.time_ms),
        )


def _is_stale(signed: Signed[_R], now_ms: TimestampMs) -> bool:
    return signed.record.time_ms + lease_ms_of(kind_of(type(signed.record))) < now_ms


def _presence(said: NodeStatus, age_ms: int) -> Presence:
    if age_ms > NODE_FRESH_MS:
        return Presence.DOWN
    return Presence.STANDBY if said is NodeStatus.STANDBY else Presence.UP
