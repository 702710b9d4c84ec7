"""One witness with its disk, asked directly."""

from dataclasses import dataclass, field

from p2pgrid.ledger.certificate import first_witnesses, verify_batch
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.witness import Candidate, Judgement, VoteBook, Witness, read_votes
from p2pgrid.model.certificate import Reason
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    Operation,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed, verify
from tests.ledger.grids import (
    NOW,
    certify,
    genesis_of,
)


@dataclass
class Booth:
    """One witness with its disk."""

    genesis: Genesis = field(default_factory=lambda: genesis_of(1))
    disk: MemoryStore = field(default_factory=MemoryStore)
    convicted: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.state = LedgerState(self.genesis)
        self.start()

    def start(self) -> None:
        """Also after a crash: nothing is kept but the disk and the certified set."""
        network = self.genesis.network
        book: VoteBook = read_votes(
            [verify(Operation, one, network) for _, one in self.disk.scan(Table.VOTED_OPERATION)],
            [(key[1:], RecordId(one)) for key, one in self.disk.scan(Table.VOTE)],
            [(RecordId(key[1:]), seen) for key, seen in self.disk.scan(Table.CANCEL_SEEN)],
        )
        self.witness = Witness(self.genesis, self.state, convicted=self.convicted, book=book)

    def ask(
        self, *operations: Signed[Operation], now_ms: int = NOW, has_usable_keys: bool | None = True
    ) -> Judgement:
        candidates = [Candidate(one, has_usable_keys) for one in operations]
        judged = self.witness.judge(candidates, TimestampMs(now_ms))
        self.disk.write(judged.changes)
        return judged

    def refusal(self, operation: Signed[Operation], *, now_ms: int = NOW) -> Reason | None:
        """Why it does not vote for one operation; None when it does."""
        judged = self.ask(operation, now_ms=now_ms)
        return judged.refusals[0].reason if judged.refusals else None

    def certify(self, *operations: Signed[Operation], now_ms: int = NOW) -> None:
        batch = certify(self.genesis, operations)
        witnesses = first_witnesses(self.genesis)
        verified = verify_batch(batch, witnesses, self.genesis.network)
        self.state.add(verified.operations)
        self.disk.write(self.witness.observe(verified.operations, TimestampMs(now_ms)))
