"""What must hold in every ledger, judged from outside: by whoever sees every vote that leaves.

It keeps its own books and its own threshold, and shares no code with the ledger.
"""

from collections.abc import Callable, Iterable

from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.wire.signed import Signed

Requires = Callable[[object, str], None]
"""Called with whether a rule holds, and the rule."""


class Court:
    """Sees every vote and every certificate.

    Args:
        witness_count: each of weight 1.
        require: notes that a rule does not hold.
    """

    def __init__(self, witness_count: int, require: Requires) -> None:
        self._enough = 2 * witness_count // 3 + 1
        self._require = require
        self._left: dict[tuple[NodeId, bytes], RecordId] = {}
        self._voters: dict[RecordId, set[NodeId]] = {}
        self._decided: dict[bytes, RecordId] = {}
        self._certified: dict[bytes, RecordId] = {}
        self.roots: set[bytes] = set()
        """Of all certificates made."""

    def vote_left(
        self, witness: NodeId, operations: Iterable[Signed[Operation]], *, is_honest: bool
    ) -> None:
        """A witness signed for these operations, and its signature is on its way."""
        for one in operations:
            voters = self._voters.setdefault(one.id, set())
            voters.add(witness)
            for slot in one.record.slots:
                if is_honest:
                    before = self._left.setdefault((witness, slot), one.id)
                    self._require(before == one.id, "a witness contradicts a vote that left it")
                if len(voters) >= self._enough:
                    decided = self._decided.setdefault(slot, one.id)
                    self._require(decided == one.id, "two operations have a quorum in one slot")

    def certificate_made(
        self, batch: CertifiedBatch, operations: Iterable[Signed[Operation]]
    ) -> None:
        """Somebody put a certificate together, whether or not others see it."""
        self.roots.add(batch.certificate.root)
        for one in operations:
            for slot in one.record.slots:
                before = self._certified.setdefault(slot, one.id)
                self._require(before == one.id, "two operations are certified in one slot")
