"""What this node got certified and who has it: once a quorum stores a certificate, it is final.

One certificate alone can get lost with the node that holds it; then the epoch ends without it.
Witnesses of the weight of a quorum that store it share an honest one with those who decide
how the epoch ends, and that one votes for nothing that leaves it out (see `epoch_voter`).

Pure. Lost with the process: after a restart it is final again when the epoch has ended.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from p2pgrid.ledger.certificate import Verified, WitnessSet
from p2pgrid.ledger.epoch_operations import EpochOperations
from p2pgrid.limits.epochs import (
    ACKNOWLEDGED_MAX,
    ACKNOWLEDGEMENTS_ASKED_MAX,
    UNACKNOWLEDGED_MAX,
)
from p2pgrid.model.ids import NodeId, RecordId


@dataclass(slots=True)
class _Open:
    """A batch that no quorum is known to store."""

    operations: tuple[RecordId, ...]
    by: set[NodeId] = field(default_factory=set)


class Acknowledgements:
    """The tally of one epoch."""

    def __init__(self, witnesses: WitnessSet) -> None:
        self._witnesses = witnesses
        self._open: dict[bytes, _Open] = {}
        self._final: dict[RecordId, None] = {}

    @property
    def epoch(self) -> int:
        """Whose certificates are asked for."""
        return self._witnesses.epoch

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to ask for."""
        return bool(self._open)

    def is_final(self, operation: RecordId) -> bool:
        """Whether a quorum is known to store the certificate of an operation."""
        return operation in self._final

    def begin(self, witnesses: WitnessSet) -> None:
        """A new epoch: those before have their end, which is better than any tally."""
        self._witnesses = witnesses
        self._open.clear()
        self._final.clear()

    def add(self, verified: Verified) -> None:
        """Ask for a batch that was certified here; the oldest gives way when there are too many."""
        if verified.batch.certificate.epoch == self.epoch:
            operations = tuple(identity for identity, _ in verified.operations)
            self._open[verified.id] = _Open(operations)
        while len(self._open) > UNACKNOWLEDGED_MAX:
            del self._open[next(iter(self._open))]

    def questions(self) -> dict[NodeId, tuple[bytes, ...]]:
        """What to ask each witness for, some of it."""
        asked: dict[NodeId, tuple[bytes, ...]] = {}
        for witness, _ in self._witnesses.members:
            lacking = [one for one, batch in self._open.items() if witness not in batch.by]
            if lacking:
                asked[witness] = tuple(sorted(lacking[:ACKNOWLEDGEMENTS_ASKED_MAX]))
        return asked

    def acknowledge(self, witness: NodeId, epoch: int, batches: Iterable[bytes]) -> None:
        """A witness says that it stores these."""
        if epoch != self.epoch:
            return
        for identity in batches:
            batch = self._open.get(identity)
            if batch is None:
                continue
            batch.by.add(witness)
            if sum(map(self._witnesses.weight_of, batch.by)) >= self._witnesses.quorum:
                del self._open[identity]
                self._final.update(dict.fromkeys(batch.operations))
        while len(self._final) > ACKNOWLEDGED_MAX:
            del self._final[next(iter(self._final))]


def may_acknowledge(operations: EpochOperations, batch: Sequence[RecordId]) -> bool:
    """Whether a witness stands up for a batch that it stores, when the epoch ends.

    After its books are closed it does so for nothing that came later.
    """
    stood_up_for = operations.closed.operations if operations.is_closed else operations
    return all(one in stood_up_for for one in batch)
