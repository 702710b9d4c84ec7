"""The view: the newest verified record of everyone, and what follows from all of them.

Rules, whatever a record came by:

1. A record from further ahead than clocks differ waits; it may come again later.
2. A record past its lease is refused, so what was dropped cannot come back.
3. In each register the newest stays; equal versions with different content are kept as evidence.
4. Each kind has its share of places and of memory, and one author a bounded number of
   registers; `shelf` says which of a kind make room. What protected authors (we) say stays.

Replicas that saw the same records, and have room for them, hold the same view. Nothing here does
input or output: `accept` and `expire` say what to change on the disk.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.register import (
    Contradiction,
    Outcome,
    RegisterKey,
    Registers,
    contradiction_of,
    register_key,
)
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.explorer.admission import TAKEN, Admission, Refusal
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.fresh_columns import FreshColumns
from p2pgrid.explorer.holders import Holders
from p2pgrid.explorer.memberships import Memberships
from p2pgrid.explorer.query import (
    ANY_NODE,
    NOBODY_NEAR,
    FarmView,
    NodeFilter,
    NodePage,
    NodeSort,
    NodeView,
    RoundTrips,
    is_named,
)
from p2pgrid.explorer.records import (
    QUOTAS,
    SENSE_OF,
    ExplorerRecord,
    lease_ms_of,
    memory_bytes_of,
)
from p2pgrid.explorer.rows import Looker, farm_view, node_view
from p2pgrid.explorer.selection import WHOLE, Cut, Rows, select
from p2pgrid.explorer.shelf import Quota, Shelf
from p2pgrid.limits.explorer import (
    EXPLORER_UNWANTED_MAX,
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
_Signed = Signed[ExplorerRecord]

_DEPENDENTS_OF = {
    sense: tuple(kind for kind, by in SENSE_OF.items() if by is sense)
    for sense in SENSE_OF.values()
}


class View:
    """All that is known of the grid's nodes, farms and flist names."""

    def __init__(self, quotas: Mapping[RecordKind, Quota] = QUOTAS) -> None:
        self.ids = HashTrie()
        """The ids of all records held: what peers reconcile with."""
        self.arrivals = ArrivalLog()
        """The same in the order in which they came."""
        self.unwanted = UnwantedIds(EXPLORER_UNWANTED_MAX)
        """Ids of records that others replaced or crowded out; not to be fetched again.

        Stale ones are not among them: it may be our clock that is wrong.
        """
        self.contradictions = Contradictions()
        self._registers: Registers[ExplorerRecord] = Registers()
        self._key_of: dict[bytes, RegisterKey] = {}
        self._protected: set[bytes] = set()
        self._shelves = {kind: Shelf(quota, self._protected) for kind, quota in quotas.items()}
        self._judged: tuple[_Signed, int, Refusal | None, _Signed | None] | None = None
        """The last answer of `refusal`, until something changes: mostly `accept` follows."""
        self._crowded_orphans: OrderedDict[RegisterKey, bytes] = OrderedDict()
        """Ids of orphans that made room: wanted again when what gives them sense comes."""
        self._holders = Holders()
        self._memberships = Memberships()
        self.columns = FreshColumns(self._registers, self.contradictions)

    # --- records ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._registers)

    def protect(self, author: bytes) -> None:
        """Never drop records of this author to make room."""
        self._judged = None
        self._protected.add(author)
        for shelf in self._shelves.values():
            shelf.protect(author)

    @property
    def memory_bytes(self) -> int:
        """About what all records held take of memory."""
        return sum(shelf.memory_bytes for shelf in self._shelves.values())

    def counts(self) -> dict[RecordKind, int]:
        """How many records of each kind are held."""
        return {kind: len(shelf) for kind, shelf in self._shelves.items()}

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
        refusal, contradicts = self._judge(register_key(signed), signed, now_ms)
        self._judged = signed, now_ms, refusal, contradicts
        return refusal

    def _judge(
        self, key: RegisterKey, signed: _Signed, now_ms: TimestampMs
    ) -> tuple[Refusal | None, _Signed | None]:
        """Why it is not taken, and what it contradicts."""
        time_ms = signed.record.time_ms
        if time_ms > now_ms + RECORD_AHEAD_MS_MAX:
            return Refusal.AHEAD, None
        if time_ms + lease_ms_of(key.kind) < now_ms:
            return Refusal.STALE, None
        merge = self._registers.compare(signed)
        if merge.outcome is not Outcome.NEWER:
            is_same = merge.outcome is Outcome.SAME
            return (Refusal.KNOWN if is_same else Refusal.OUTDATED), merge.contradicts
        is_new = merge.replaced is None and key.author not in self._protected
        if is_new and not self._shelves[key.kind].has_room_for(key.author):
            return Refusal.TOO_MANY, merge.contradicts
        return None, merge.contradicts

    def has_place_for(self, key: RegisterKey) -> bool:
        """Whether the author of a register may have it beside those it has."""
        is_held = self._registers.get(key) is not None
        return is_held or self._shelves[key.kind].has_room_for(key.author)

    def accept(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> Admission:
        """Take a verified record, unless a rule refuses it."""
        key = register_key(signed)
        judged = self._judged
        if judged is None or judged[0] is not signed or judged[1] != now_ms:
            judged = signed, now_ms, *self._judge(key, signed, now_ms)
        _, _, refusal, contradicts = judged
        contradicted = None
        if contradicts is not None:
            proof = contradiction_of(contradicts, signed)
            contradicted = key if self._keep_proof(key, proof) else None
        if refusal is not None:
            if refusal in (Refusal.OUTDATED, Refusal.TOO_MANY):
                self.unwanted.add(signed.id)
            return Admission(refusal, contradicted=contradicted)
        replaced = self._take_off(key)
        self._insert(key, signed)
        if replaced is not None:
            self.unwanted.add(replaced.id)
            if self._keeps_its_place(signed, replaced):
                return TAKEN if contradicted is None else Admission(None, (), contradicted)
        self._shelve(key, signed, is_renewed=replaced is not None)
        dropped = tuple(self._make_room(key.kind))
        return Admission(Refusal.CROWDED if key in dropped else None, dropped, contradicted)

    def wants_proof(self, key: RegisterKey) -> bool:
        """Whether a proof about this register is news, and about somebody who is here."""
        return self._registers.get(key) is not None and key not in self.contradictions

    def contradict(self, key: RegisterKey, proof: Contradiction) -> bool:
        """Keep a verified proof that came by itself; whether it is news and worth the room."""
        return self.wants_proof(key) and self._keep_proof(key, proof)

    def _keep_proof(self, key: RegisterKey, proof: Contradiction) -> bool:
        is_kept = self.contradictions.add(key, proof)
        if is_kept:
            self.columns.note_proof(key.author)
        return is_kept

    def expire(self, now_ms: TimestampMs) -> tuple[RegisterKey, ...]:
        """Drop every record past its lease. O(n)."""
        stale = [key for key, signed in self._registers if _is_stale(signed, now_ms)]
        for key in stale:
            self._remove(key)
        return tuple(stale)

    def _insert(self, key: RegisterKey, signed: _Signed) -> None:
        self._judged = None
        self._registers.put(key, signed)
        self.ids.add(signed.id)
        self.arrivals.append(signed.id)
        self.unwanted.discard(signed.id)
        self._key_of[signed.id] = key
        self.columns.note_record(key)
        self._holders.add(signed.record)

    def _keeps_its_place(self, signed: _Signed, replaced: _Signed) -> bool:
        """Whether nothing changes on the shelf: who stays keeps the place when renewing."""
        quota = self._shelves[kind_of(type(signed.record))].quota
        return quota.incumbents_stay and memory_bytes_of(signed) == memory_bytes_of(replaced)

    def _shelve(self, key: RegisterKey, signed: _Signed, *, is_renewed: bool) -> None:
        sense = SENSE_OF.get(key.kind)
        is_orphan = sense is not None and not self._gives_sense(sense, key.author)
        self._shelves[key.kind].put(key, memory_bytes_of(signed), is_orphan=is_orphan)
        if not is_renewed:
            self._tell_dependents(key, is_orphan=False)

    def _remove(self, key: RegisterKey) -> Signed[ExplorerRecord] | None:
        signed = self._take_off(key)
        if signed is not None:
            self._shelves[key.kind].remove(key)
            if self.contradictions.drop(key):
                self.columns.note_proof(key.author)
            self._tell_dependents(key, is_orphan=True)
        return signed

    def _take_off(self, key: RegisterKey) -> Signed[ExplorerRecord] | None:
        """Empty a register but keep its place on the shelf."""
        signed = self._registers.drop(key)
        if signed is None:
            return None
        self._judged = None
        self.ids.discard(signed.id)
        del self._key_of[signed.id]
        self.columns.note_record(key)
        self._holders.discard(signed.record)
        return signed

    def _gives_sense(self, kind: RecordKind, author: bytes) -> bool:
        return self._registers.get(RegisterKey(kind, author, b"")) is not None

    def _tell_dependents(self, key: RegisterKey, *, is_orphan: bool) -> None:
        """Records of the same author that a register gives sense to have it, or lost it."""
        for kind in _DEPENDENTS_OF.get(key.kind, ()):
            self._shelves[kind].adopt(key.author, is_orphan=is_orphan)
            if not is_orphan:
                crowded = self._crowded_orphans.pop(RegisterKey(kind, key.author, b""), None)
                if crowded is not None:
                    self.unwanted.discard(crowded)

    def _make_room(self, kind: RecordKind) -> Iterator[RegisterKey]:
        """Drop what is too much of one kind, so that a flood of it moves no other."""
        while (key := self._shelves[kind].next_to_go()) is not None:
            evicted = self._remove(key)
            assert evicted is not None
            self.unwanted.add(evicted.id)
            sense = SENSE_OF.get(kind)
            if sense is not None and not self._gives_sense(sense, key.author):
                self._crowded_orphans[key] = evicted.id
                if len(self._crowded_orphans) > EXPLORER_UNWANTED_MAX:
                    self._crowded_orphans.popitem(last=False)
            yield key

    # --- queries ----------------------------------------------------------------------------------

    def nodes(
        self,
        wanted: NodeFilter = ANY_NODE,
        *,
        now_ms: TimestampMs,
        sort: NodeSort = NodeSort.PRICE,
    ) -> tuple[NodeView, ...]:
        """The nodes that match, in order; those that said goodbye are down."""
        return self.page(wanted, Cut(sort), now_ms=now_ms).rows

    def page(
        self,
        wanted: NodeFilter = ANY_NODE,
        cut: Cut = WHOLE,
        *,
        now_ms: TimestampMs,
        round_trips: RoundTrips = NOBODY_NEAR,
    ) -> NodePage:
        """Some of the nodes that match, in order, and how many match in all."""
        found = select(self.rows(now_ms, round_trips), wanted, cut)
        nodes = (NodeId(one) for one in found.nodes)
        rows = (self.node(one, now_ms=now_ms, round_trips=round_trips) for one in nodes)
        return NodePage(tuple(row for row in rows if row is not None), found.total)

    def rows(self, now_ms: TimestampMs, round_trips: RoundTrips = NOBODY_NEAR) -> Rows:
        """All nodes in columns, for questions that `NodeFilter` cannot put; for use at once."""
        return Rows(self.columns.now(), now_ms, round_trips)

    def announced(self) -> list[NodeId]:
        """Nodes whose announcement is held, whatever it says."""
        return [NodeId(key.author) for key in self._shelves[RecordKind.NODE_ANNOUNCEMENT]]

    def node(
        self, node: NodeId, *, now_ms: TimestampMs, round_trips: RoundTrips = NOBODY_NEAR
    ) -> NodeView | None:
        """One node, if it is known."""
        signed = self._one(NodeAnnouncement, node, now_ms)
        if signed is None:
            return None
        farm = signed.record.farm
        return node_view(
            signed.record,
            self._record(CapacityUpdate, node, now_ms),
            self._record(FarmRecord, farm, now_ms),
            self._record(FarmMembers, farm, now_ms),
            Looker(now_ms, self.contradictions.convict, round_trips, self._memberships),
        )

    def farms(self, wanted: str = "", *, now_ms: TimestampMs) -> tuple[FarmView, ...]:
        """Farms by name; `wanted` is a name or the first hex digits of an id, empty for all."""
        looker = Looker(now_ms, self.contradictions.convict)
        rows = (
            farm_view(said, self._record(FarmMembers, said.farm, now_ms), looker)
            for said in (signed.record for signed in self._all(FarmRecord, now_ms))
            if is_named(wanted, said.title, said.farm)
        )
        return tuple(sorted(rows, key=lambda row: (row.title.casefold(), row.farm)))

    def farm(self, farm: FarmId, *, now_ms: TimestampMs) -> FarmView | None:
        """One farm, if its record is known."""
        said = self._record(FarmRecord, farm, now_ms)
        members = self._record(FarmMembers, farm, now_ms)
        looker = Looker(now_ms, self.contradictions.convict)
        return None if said is None else farm_view(said, members, looker)

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
            for node in self._holders.of(flist)
            if self._one(Holdings, node, now_ms) is not None and not self._is_gone(node)
        )

    def _all(self, cls: type[_R], now_ms: TimestampMs) -> Iterator[Signed[_R]]:
        for key in self._shelves[kind_of(cls)]:
            signed = self._registers.get(key)
            assert signed is not None
            if not _is_stale(signed, now_ms):
                yield cast(Signed[_R], signed)

    def _one(self, cls: type[_R], author: bytes, now_ms: TimestampMs) -> Signed[_R] | None:
        signed = self._registers.get(RegisterKey(kind_of(cls), author, b""))
        if signed is None or _is_stale(signed, now_ms):
            return None
        return cast(Signed[_R], signed)

    def _record(self, cls: type[_R], author: bytes, now_ms: TimestampMs) -> _R | None:
        signed = self._one(cls, author, now_ms)
        return None if signed is None else signed.record

    def _is_gone(self, node: NodeId) -> bool:
        held = self._registers.get(RegisterKey(RecordKind.NODE_ANNOUNCEMENT, node, b""))
        said = None if held is None else held.record
        return isinstance(said, NodeAnnouncement) and said.status is NodeStatus.GONE


def _is_stale(signed: Signed[_R], now_ms: TimestampMs) -> bool:
    return signed.record.time_ms + lease_ms_of(kind_of(type(signed.record))) < now_ms
