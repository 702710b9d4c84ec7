"""Columns that follow the registers: what changed is put in before the next query, not before.

Those who never ask for nodes never pay for columns.
"""

from typing import TypeVar

from p2pgrid.crdt.register import RegisterKey, Registers
from p2pgrid.explorer.columns import NodeColumns
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.node import CapacityUpdate, NodeAnnouncement
from p2pgrid.wire.codec import kind_of
from p2pgrid.wire.kinds import RecordKind

_R = TypeVar("_R", bound=ExplorerRecord)

_NODE_KINDS = frozenset({RecordKind.NODE_ANNOUNCEMENT, RecordKind.CAPACITY_UPDATE})
_FARM_KINDS = frozenset({RecordKind.FARM_RECORD, RecordKind.FARM_MEMBERS})


class FreshColumns:
    """The columns of what some registers hold, and of who is proved to lie."""

    def __init__(
        self, registers: Registers[ExplorerRecord], contradictions: Contradictions
    ) -> None:
        self._registers = registers
        self._columns = NodeColumns(contradictions.convict)
        self._changed_nodes: dict[bytes, None] = {}
        self._changed_farms: dict[bytes, None] = {}

    def note_record(self, key: RegisterKey) -> None:
        """A register has changed."""
        if key.kind in _NODE_KINDS:
            self._changed_nodes[key.author] = None
        elif key.kind in _FARM_KINDS:
            self._changed_farms[key.author] = None

    def note_proof(self, author: bytes) -> None:
        """A proof about what this key says came or went: it may be that of a node or a farm."""
        self._changed_nodes[author] = None
        self._changed_farms[author] = None

    def now(self) -> NodeColumns:
        """The columns, brought up to date."""
        self.bring(len(self._changed_farms) + len(self._changed_nodes))
        return self._columns

    def bring(self, most: int) -> bool:
        """Bring some of what changed up to date; whether there is more.

        After a start that is the whole grid: whoever asks for others brings it by the slice.
        """
        for _ in range(most):
            if self._changed_farms:
                farm, _ = self._changed_farms.popitem()
                said, members = self._record(FarmRecord, farm), self._record(FarmMembers, farm)
                self._columns.put_farm(farm, said, members)
            elif self._changed_nodes:
                node, _ = self._changed_nodes.popitem()
                announced = self._record(NodeAnnouncement, node)
                self._columns.put_node(node, announced, self._record(CapacityUpdate, node))
            else:
                return False
        return bool(self._changed_farms or self._changed_nodes)

    def _record(self, cls: type[_R], author: bytes) -> _R | None:
        signed = self._registers.get(RegisterKey(kind_of(cls), author, b""))
        if signed is None:
            return None
        assert isinstance(signed.record, cls)
        return signed.record
