"""The epochs of one replica: which are over, what each holds, and what of it counts.

    chain     certificates of ends, as far as known: who votes now
    settled   epochs whose exact set of operations is here: what the state is folded from
    void      certified in an epoch that ended without them; free to be certified again

An epoch is settled in order. Until then the operations of later ones are stored, and wait: so
no certificate that turns out to be void ever stands beside the one that took its slot.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pgrid.ledger.epoch_chain import EPOCH_NUMBER_BYTES, end_change, epoch_number, read_chain
from p2pgrid.ledger.epoch_operations import Cut, EpochOperations
from p2pgrid.ledger.epoch_voter import AgreementMemory
from p2pgrid.ledger.snapshot import snapshot_root
from p2pgrid.ledger.state import LedgerState
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import RecordId
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.wire.codec import decode


@dataclass(frozen=True, slots=True)
class Settlement:
    """An epoch whose set is here now."""

    epoch: int
    void: tuple[RecordId, ...]
    """Operations of it that were certified in vain."""


@dataclass(slots=True)
class _Page:
    """One epoch."""

    operations: EpochOperations = field(default_factory=EpochOperations)
    late: set[RecordId] = field(default_factory=set)
    void: set[RecordId] = field(default_factory=set)


class EpochBooks:
    """All epochs; of the current one what `epoch_voter.Books` asks.

    Args:
        genesis: the grid's.
        store: where certificates of ends are.
        state: the fold of the settled epochs and the one after them, kept by the owner.
    """

    def __init__(self, genesis: Genesis, store: Store, state: LedgerState) -> None:
        self.chain = read_chain(genesis, store)
        self.settled = 0
        """How many epochs are settled; the next one is what new operations are folded into."""
        self._store = store
        self._state = state
        self._pages: dict[int, _Page] = {}
        self._snapshot: tuple[int, bytes, bytes] | None = None
        self._load()

    def _load(self) -> None:
        for table in (Table.LATE, Table.VOID):
            for key, _ in self._store.scan(table.value):
                epoch = int.from_bytes(key[1 : 1 + EPOCH_NUMBER_BYTES], "big")
                page, operation = self._page(epoch), RecordId(key[1 + EPOCH_NUMBER_BYTES :])
                (page.late if table is Table.LATE else page.void).add(operation)

    def _page(self, epoch: int) -> _Page:
        return self._pages.setdefault(epoch, _Page())

    # --- questions --------------------------------------------------------------------------------

    @property
    def is_settled(self) -> bool:
        """Whether all epochs that are over, as far as known, are settled here."""
        return self.settled == self.chain.epoch

    def operations_of(self, epoch: int) -> EpochOperations:
        """What is here of one epoch."""
        return self._page(epoch).operations

    def is_void(self, epoch: int, operation: RecordId) -> bool:
        """Whether an epoch ended without an operation that was certified in it."""
        return operation in self._page(epoch).void

    def is_final(self, operation: RecordId) -> bool:
        """Whether an epoch ended with an operation: whatever comes, it stays certified."""
        is_certified = self._state.operation(operation) is not None
        return is_certified and operation not in self.operations_of(self.settled)

    def voids(self) -> list[tuple[RecordId, bytes]]:
        """Every operation that was certified in vain, and its envelope."""
        return [
            (RecordId(key[1 + EPOCH_NUMBER_BYTES :]), envelope)
            for key, envelope in self._store.scan(Table.VOID.value)
        ]

    @property
    def unsettled(self) -> Cut | EpochCertificate | None:
        """What the first epoch that is over and not settled ended with; None: all are settled.

        The certificate when not even its list of operations is known.
        """
        certificate = self.chain.end_of(self.settled)
        if certificate is None:
            return None
        known = self.operations_of(self.settled).known(certificate.proposal.operations_root)
        return certificate if known is None else known

    # --- additions --------------------------------------------------------------------------------

    def note(self, epoch: int, operations: Iterable[RecordId]) -> list[Change]:
        """Note certificates of one epoch; gives what to store together with them."""
        page, operations = self._page(epoch), tuple(operations)
        fresh = [one for one in operations if one not in page.operations]
        page.operations.add(fresh)
        if not page.operations.is_closed or epoch < self.chain.epoch:
            return []
        page.late.update(fresh)
        number = epoch_number(epoch)
        return [(Table.LATE.key(number, one), b"") for one in fresh]

    def end(self, certificate: EpochCertificate) -> bool:
        """Note how the current epoch ended; whether that is news.

        Raises:
            PeerError: it is not the end of an epoch of this grid.
        """
        if not self.chain.append(certificate):
            return False
        self._store.write([end_change(certificate)])
        return True

    def settle(self) -> Settlement | None:
        """Settle the next epoch that is over, if all its operations are here."""
        cut = self.unsettled
        if not isinstance(cut, Cut):
            return None
        page = self._page(self.settled)
        if page.operations.missing(cut):
            return None
        void = tuple(page.operations.void(cut))
        page.operations.forget(void)
        page.void.update(void)
        self.settled += 1
        return Settlement(self.settled - 1, void)

    def settle_changes(
        self, settlement: Settlement, envelopes: dict[RecordId, bytes]
    ) -> list[Change]:
        """What to store of a settlement: what is void, and no more of what led to it."""
        page, number = self._page(settlement.epoch), epoch_number(settlement.epoch)
        late, page.late = page.late, set()
        return [
            (Table.AGREEMENT.key(number), None),
            *((Table.LATE.key(number, one), None) for one in late),
            *((Table.VOID.key(number, one), envelopes[one]) for one in settlement.void),
        ]

    def memory(self) -> AgreementMemory:
        """What this witness voted on the end of the current epoch."""
        stored = self._store.get(Table.AGREEMENT.key(epoch_number(self.chain.epoch)))
        return AgreementMemory() if stored is None else decode(AgreementMemory, stored)

    # --- the books of the current epoch -----------------------------------------------------------

    def close(self) -> None:
        """Close the books of the current epoch, if they are open."""
        page = self._page(self.chain.epoch)
        page.operations.close(page.late)

    @property
    def closed(self) -> Cut:
        """What was here when the books closed."""
        return self.operations_of(self.chain.epoch).closed

    @property
    def everything(self) -> Cut:
        """What is here now."""
        return self.operations_of(self.chain.epoch).everything

    def held(self, root: bytes) -> Cut | None:
        """The set of that name, if every operation of it is here."""
        operations = self.operations_of(self.chain.epoch)
        cut = operations.known(root)
        return None if cut is None or operations.missing(cut) else cut

    def snapshot_root(self, cut: Cut) -> bytes:
        """Of the state after a set, and all epochs before. 6 µs for each account."""
        assert self.is_settled, "the state is of this epoch"
        operations = self.operations_of(self.chain.epoch)
        known = self._snapshot
        if known is None or known[:2] != (self.chain.epoch, cut.root):
            extra = operations.void(cut)
            state = self._state.without(extra) if extra else self._state
            known = self.chain.epoch, cut.root, snapshot_root(state)
            self._snapshot = known
        return known[2]
