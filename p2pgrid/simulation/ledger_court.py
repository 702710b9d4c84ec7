"""What must hold in every ledger, judged from outside: by whoever sees every vote that leaves.

It keeps its own books and its own threshold, and shares no code with the ledger.
"""

from collections.abc import Callable, Iterable

from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.epoch import EpochCertificate, EpochProposal
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
        third = (witness_count + 2) // 3
        self._enough = (witness_count + third + 1) // 2
        self._require = require
        self._left: dict[tuple[int, NodeId, bytes], RecordId] = {}
        self._voters: dict[tuple[int, RecordId], set[NodeId]] = {}
        self._decided: dict[tuple[int, bytes], RecordId] = {}
        self._certified: dict[tuple[int, bytes], RecordId] = {}
        self._slots: dict[RecordId, tuple[bytes, ...]] = {}
        self._ends: dict[int, EpochProposal] = {}
        self._settled: dict[int, frozenset[RecordId]] = {}
        self._final: dict[bytes, RecordId] = {}
        self._stored: dict[tuple[int, RecordId], set[NodeId]] = {}
        self._liars: frozenset[NodeId] = frozenset()

    @property
    def epochs(self) -> int:
        """How many epochs ended."""
        return len(self._ends)

    def suspect(self, witnesses: Iterable[NodeId]) -> None:
        """These are faulty: they acknowledge everything, and what they store means nothing."""
        self._liars = frozenset(witnesses)

    def vote_left(
        self,
        witness: NodeId,
        epoch: int,
        operations: Iterable[Signed[Operation]],
        *,
        is_honest: bool,
    ) -> None:
        """A witness signed for these operations, and its signature is on its way."""
        for one in operations:
            voters = self._voters.setdefault((epoch, one.id), set())
            voters.add(witness)
            for slot in one.record.slots:
                if is_honest:
                    before = self._left.setdefault((epoch, witness, slot), one.id)
                    self._require(before == one.id, "a witness contradicts a vote that left it")
                if len(voters) >= self._enough:
                    decided = self._decided.setdefault((epoch, slot), one.id)
                    self._require(decided == one.id, "two operations have a quorum in one slot")

    def certificate_made(
        self, batch: CertifiedBatch, operations: Iterable[Signed[Operation]]
    ) -> None:
        """Somebody put a certificate together, whether or not others see it."""
        epoch = batch.certificate.epoch
        for one in operations:
            self._slots[one.id] = one.record.slots
            for slot in one.record.slots:
                before = self._certified.setdefault((epoch, slot), one.id)
                self._require(before == one.id, "two operations are certified in one slot")

    # --- epochs -----------------------------------------------------------------------------------

    def acknowledged(self, witness: NodeId, epoch: int, operations: Iterable[RecordId]) -> None:
        """A witness has certificates of the current epoch on its disk, before its books closed."""
        for one in operations:
            self._stored.setdefault((epoch, one), set(self._liars)).add(witness)

    def certified_in(self, epoch: int) -> set[RecordId]:
        """Operations for which somebody put a certificate of that epoch together."""
        return {one for (at, _), one in self._certified.items() if at == epoch}

    def final_in(self, epoch: int) -> set[RecordId]:
        """Operations whose certificate a quorum has acknowledged, as far as liars say."""
        return {
            one
            for (at, one), witnesses in self._stored.items()
            if at == epoch and len(witnesses) >= self._enough
        }

    def epoch_ended(self, certificate: EpochCertificate) -> None:
        """A leader put the end of an epoch together."""
        proposal = certificate.proposal
        before = self._ends.setdefault(proposal.epoch, proposal)
        self._require(before == proposal, "an epoch has two ends")

    def epoch_settled(self, epoch: int, operations: frozenset[RecordId]) -> None:
        """A node knows what an epoch held."""
        if epoch in self._settled:
            self._require(
                self._settled[epoch] == operations, "replicas settle an epoch differently"
            )
            return
        self._settled[epoch] = operations
        is_covered = self.final_in(epoch) <= operations
        self._require(is_covered, "a final operation was lost at the end of its epoch")
        for one in operations:
            for slot in self._slots[one]:
                before = self._final.setdefault(slot, one)
                self._require(before == one, "two operations are final in one slot")
