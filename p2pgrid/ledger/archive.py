"""The ledger together with its disk: batches, evidence and votes, and what follows from them.

On start the state is folded anew from what is stored; nothing of it is kept apart.
"""

import logging
from collections.abc import Callable, Iterable
from itertools import combinations

from p2pgrid.collector import uncollected
from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.errors import MalformedRecord, StoreFailed, Unusable
from p2pgrid.ledger.certificate import (
    Verified,
    first_witnesses,
    prove,
    read_operation,
)
from p2pgrid.ledger.evidence import convict_witnesses, evidence_id
from p2pgrid.ledger.messages import BatchItem, EvidenceItem, LedgerItem
from p2pgrid.ledger.rules import named_accounts
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.witness import VoteBook, Witness, read_votes
from p2pgrid.limits.ledger import ACCOUNT_EVIDENCE_MAX, LEDGER_UNWANTED_MAX
from p2pgrid.model.certificate import (
    CertifiedBatch,
    CertifiedOperation,
    Equivocation,
    TwoOperations,
)
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import AccountId, NodeId, RecordId, short
from p2pgrid.model.operation import Operation
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed

log = logging.getLogger(__name__)


class Archive:
    """Everything certified that this node knows, in memory and on disk. An `answerer.Replica`."""

    def __init__(
        self, genesis: Genesis, store: Store, own: NodeId, now_ms: Callable[[], TimestampMs]
    ) -> None:
        self.genesis = genesis
        self.network = genesis.network
        self.witnesses = first_witnesses(genesis)
        self.is_witness = self.witnesses.weight_of(own) > 0
        self.state = LedgerState(genesis)
        self.ids = HashTrie()
        self.arrivals = ArrivalLog()
        self.convicted: dict[NodeId, Equivocation] = {}
        self.unwanted = UnwantedIds(LEDGER_UNWANTED_MAX)
        """Ids of what peers may hold and we refuse, the latest last."""
        self._account_evidence = 0
        self._store = store
        self._now_ms = now_ms
        self._batch_of: dict[RecordId, bytes] = {}
        """Operation to the root of a batch that holds it."""
        self._unstored: dict[bytes, bytes] = {}
        """Batches whose commit is under way."""
        with uncollected():
            self._load_evidence()
            stored = self._load_batches()
        self.witness = Witness(
            genesis,
            self.state,
            convicted=self.convicted,
            book=self._load_votes(),
            envelope_of=self.envelope_of,
        )
        self._store.write(self.witness.observe(stored, now_ms()))

    # --- questions --------------------------------------------------------------------------------

    @property
    def batch_count(self) -> int:
        """Certified batches held."""
        return len(self.ids) - len(self.convicted)

    def is_kept(self, operation: RecordId) -> bool:
        """Whether the certificate of an operation is here, and not only in memory."""
        root = self._batch_of.get(operation)
        return root is not None and root not in self._unstored

    def batch_with(self, operation: RecordId) -> CertifiedBatch | None:
        """A certified batch that holds an operation."""
        root = self._batch_of.get(operation)
        return None if root is None else self._read_batch(root)

    def wants_batch(self, verified: Verified) -> bool:
        """Whether a batch brings an operation that was not certified here before.

        What is certified can be in any number of batches: whoever has operations
        under way gets votes for them in every order. Only what brings news is kept.
        """
        if verified.root in self.ids:
            return False
        return any(self.state.operation(identity) is None for identity, _ in verified.operations)

    def wants_evidence(self, evidence: Equivocation) -> bool:
        """Whether a proof, not verified yet, is worth the room.

        Keys that could never pay for an operation cost nothing, so that proofs
        against them would fill every disk of the grid; they harm nobody.
        """
        if evidence.culprit in self.convicted:
            return False
        if not isinstance(evidence.proof, TwoOperations):
            return True  # of a witness: there are few
        account = self.state.account(AccountId(evidence.culprit))
        is_real = account.sequence > 0 or account.received >= self.genesis.pricing.fee
        return is_real and self._account_evidence < ACCOUNT_EVIDENCE_MAX

    def refuse(self, identity: bytes) -> None:
        """Remember not to fetch something again, for as long as there is room."""
        self.unwanted.add(identity)

    def record(self, identity: bytes) -> bytes | None:
        """A batch by its root or a proof by its id, as it travels."""
        batch = self._read_batch(identity)
        if batch is not None:
            return encode(LedgerItem(BatchItem(batch)))
        evidence = self._store.get(Table.EVIDENCE.key(identity))
        if evidence is None:
            return None
        return encode(LedgerItem(EvidenceItem(decode(Equivocation, evidence))))

    def proof(self, operation: RecordId) -> CertifiedOperation | None:
        """What proves to a light peer that an operation is certified."""
        root = self._batch_of.get(operation)
        batch = None if root is None else self._read_batch(root)
        if root is None or batch is None:
            return None
        return prove(Verified(root, self._operations_of(batch), batch), operation)

    def envelope_of(self, operation: RecordId) -> bytes | None:
        """A certified operation with its signature, as the batch brought it."""
        proof = self.proof(operation)
        return None if proof is None else proof.operation

    def _read_batch(self, root: bytes) -> CertifiedBatch | None:
        data = self._unstored.get(root) or self._store.get(Table.BATCH.key(root))
        return None if data is None else decode(CertifiedBatch, data)

    def _operations_of(self, batch: CertifiedBatch) -> tuple[tuple[RecordId, Operation], ...]:
        return tuple(read_operation(one, self.network) for one in batch.operations)

    # --- additions --------------------------------------------------------------------------------

    def admit(self, verified: Verified) -> list[Equivocation]:
        """Take in a batch that a peer sent.

        Returns:
            Evidence against witnesses, when it clashes with what is known.
        """
        if not self.wants_batch(verified):
            return []
        changes = self._fold(verified)
        try:
            self._store.write(changes)
        except StoreFailed as error:
            # Memory is right and peers have the batch: after a restart it comes back.
            log.warning("the ledger cannot store what it hears: %s", error)
        return self._accuse(verified)

    async def keep(self, verified: Verified) -> None:
        """Take in a batch that was certified here; durable on return.

        Nobody else may have it yet. Raises StoreFailed.
        """
        changes = self._fold(verified)
        self._unstored[verified.root] = encode(verified.batch)
        try:
            await self._store.commit(changes)
        finally:
            del self._unstored[verified.root]

    def admit_evidence(self, evidence: Equivocation) -> bool:
        """Take in a verified proof; whether its culprit is convicted by it."""
        if not self.wants_evidence(evidence):
            return False
        self._convict(evidence)
        identity = evidence_id(evidence.culprit)
        self._note(identity)
        try:
            self._store.write([(Table.EVIDENCE.key(identity), encode(evidence))])
        except StoreFailed as error:
            log.warning("the ledger cannot store evidence: %s", error)
        return True

    def _convict(self, evidence: Equivocation) -> None:
        self.convicted[evidence.culprit] = evidence
        self._account_evidence += isinstance(evidence.proof, TwoOperations)

    def _fold(self, verified: Verified) -> list[Change]:
        """Let a batch take effect in memory; gives what to store, all or nothing."""
        self._enter(verified.root, verified.operations)
        votes = self.witness.observe(verified.operations, self._now_ms())
        return [(Table.BATCH.key(verified.root), encode(verified.batch)), *votes]

    def _enter(self, root: bytes, operations: Iterable[tuple[RecordId, Operation]]) -> None:
        operations = tuple(operations)
        self._note(root)
        for identity, operation in operations:
            self._batch_of.setdefault(identity, root)
            if self.unwanted:  # a proof against who was a nobody may count from now on
                for account in named_accounts(operation):
                    self.unwanted.discard(evidence_id(account))
        was_alarmed = self.state.is_alarmed
        self.state.add(operations)
        if self.state.is_alarmed and not was_alarmed:
            slot = self.state.alarms[0].slot
            log.error(
                "ALARM: slot %s has two certificates, so a third of the witnesses cheat; "
                "no witness votes any more; see: p2pgrid ledger evidence",
                slot.hex(),
            )

    def _note(self, identity: bytes) -> None:
        if self.ids.add(identity):
            self.arrivals.append(identity)

    def _accuse(self, verified: Verified) -> list[Equivocation]:
        """Proofs against the witnesses of two batches that exclude each other."""
        mine = {identity for identity, _ in verified.operations}
        found: dict[NodeId, Equivocation] = {}
        for alarm in self.state.alarms:
            for pair in combinations(alarm.operations, 2):
                if mine.isdisjoint(pair):
                    continue
                one, other = (self._verified(self._batch_of[identity]) for identity in pair)
                if one is not None and other is not None:
                    found |= {
                        evidence.culprit: evidence
                        for evidence in convict_witnesses(one, other, self.witnesses)
                    }
        return [evidence for evidence in found.values() if self.admit_evidence(evidence)]

    def _verified(self, root: bytes) -> Verified | None:
        batch = self._read_batch(root)
        return None if batch is None else Verified(root, self._operations_of(batch), batch)

    # --- start ------------------------------------------------------------------------------------

    def _load_batches(self) -> list[tuple[RecordId, Operation]]:
        """Fold what is stored: it was verified before. What cannot be read is fetched anew."""
        loaded: list[tuple[RecordId, Operation]] = []
        broken: list[Change] = []
        for key, data in self._store.scan(Table.BATCH.value):
            try:
                operations = self._operations_of(decode(CertifiedBatch, data))
            except MalformedRecord as error:
                log.warning("the ledger's store holds a broken batch, dropped: %s", error)
                broken.append((key, None))
                continue
            self._enter(key[1:], operations)
            loaded += operations
        self._store.write(broken)
        return loaded

    def _load_evidence(self) -> None:
        for key, data in self._store.scan(Table.EVIDENCE.value):
            try:
                evidence = decode(Equivocation, data)
            except MalformedRecord as error:
                log.warning("the ledger's store holds broken evidence, fetched anew: %s", error)
                continue
            self._convict(evidence)
            self._note(key[1:])
            log.info("%s is convicted of equivocation", short(evidence.culprit))

    def _load_votes(self) -> VoteBook:
        """The votes given; a witness that cannot read one must not vote again."""
        try:
            operations = [
                Signed(operation, identity, envelope)
                for _, envelope in self._store.scan(Table.VOTED_OPERATION.value)
                for identity, operation in [read_operation(envelope, self.network)]
            ]
        except MalformedRecord as error:
            raise Unusable(
                f"the votes that this witness gave are damaged on disk ({error}); "
                "start it with an empty data directory and a new key"
            ) from error
        votes = ((key[1:], RecordId(one)) for key, one in self._store.scan(Table.VOTE.value))
        cancels = (
            (RecordId(key[1:]), seen) for key, seen in self._store.scan(Table.CANCEL_SEEN.value)
        )
        return read_votes(operations, votes, cancels)
