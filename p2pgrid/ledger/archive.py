"""The ledger together with its disk: batches, evidence and votes, and what follows from them.

On start the state is folded anew from what is stored; nothing of it is kept apart.
"""

import logging
from collections.abc import Callable
from itertools import combinations

from p2pgrid.collector import uncollected
from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.errors import MalformedRecord, StoreFailed, Unusable
from p2pgrid.ledger.certificate import Verified, WitnessSet, prove, read_operation
from p2pgrid.ledger.epoch_books import EpochBooks, Settlement
from p2pgrid.ledger.epoch_chain import epoch_number
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

_Operations = tuple[tuple[RecordId, Operation], ...]


class Archive:
    """Everything certified that this node knows, in memory and on disk. An `answerer.Replica`."""

    def __init__(
        self, genesis: Genesis, store: Store, own: NodeId, now_ms: Callable[[], TimestampMs]
    ) -> None:
        self.genesis = genesis
        self.network = genesis.network
        self.state = LedgerState(genesis)
        self.epochs = EpochBooks(genesis, store, self.state)
        self.ids = HashTrie()
        self.arrivals = ArrivalLog()
        self.convicted: dict[NodeId, Equivocation] = {}
        self.frozen: set[NodeId] = set()
        """Those of them that get no vote: accounts until the epoch ends, witnesses for good."""
        self.unwanted = UnwantedIds(LEDGER_UNWANTED_MAX)
        """Ids of what peers may hold and we refuse, the latest last."""
        self._account_evidence = 0
        self._own = own
        self._store = store
        self._now_ms = now_ms
        self._batch_of: dict[RecordId, bytes] = {}
        """Operation to the id of a batch that holds it."""
        self._unstored: dict[bytes, bytes] = {}
        """Batches whose commit is under way."""
        self._ahead: dict[int, list[tuple[bytes, _Operations]]] = {}
        """Batches of epochs after the first that is not settled here."""
        self._load_evidence()
        self.witness = Witness(
            genesis,
            self.state,
            convicted=self.frozen,
            book=self._load_votes(),
            envelope_of=self.envelope_of,
        )
        with uncollected():
            self._load_batches()

    # --- questions --------------------------------------------------------------------------------

    @property
    def witnesses(self) -> WitnessSet:
        """Who votes now, as far as is known here."""
        return self.epochs.chain.witnesses

    @property
    def is_witness(self) -> bool:
        """Whether this node does."""
        return self.witnesses.weight_of(self._own) > 0

    @property
    def batch_count(self) -> int:
        """Certified batches held."""
        return len(self.ids) - len(self.convicted)

    def is_kept(self, operation: RecordId) -> bool:
        """Whether the certificate of an operation is here, and not only in memory."""
        batch_id = self._batch_of.get(operation)
        return batch_id is not None and batch_id not in self._unstored

    def batch_with(self, operation: RecordId) -> CertifiedBatch | None:
        """A certified batch that holds an operation."""
        batch_id = self._batch_of.get(operation)
        return None if batch_id is None else self.batch(batch_id)

    def wants_batch(self, verified: Verified) -> bool:
        """Whether a batch brings an operation that was not certified here before.

        What is certified can be in any number of batches: whoever has operations
        under way gets votes for them in every order. Only what brings news is kept.
        """
        epoch = verified.batch.certificate.epoch
        if verified.id in self.ids or epoch < self.epochs.settled:
            return False
        held = self.epochs.operations_of(epoch)
        return any(identity not in held for identity, _ in verified.operations)

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

    def ids_in(self, batch: CertifiedBatch) -> list[RecordId]:
        """The operations that a batch holds."""
        return [identity for identity, _ in self._operations_of(batch)]

    def refuse(self, identity: bytes) -> None:
        """Remember not to fetch something again, for as long as there is room."""
        self.unwanted.add(identity)

    def record(self, identity: bytes) -> bytes | None:
        """A batch or a proof by its id, as it travels."""
        batch = self.batch(identity)
        if batch is not None:
            return encode(LedgerItem(BatchItem(batch)))
        evidence = self._store.get(Table.EVIDENCE.key(identity))
        if evidence is None:
            return None
        return encode(LedgerItem(EvidenceItem(decode(Equivocation, evidence))))

    def proof(self, operation: RecordId) -> CertifiedOperation | None:
        """What proves to a light peer that an operation is certified."""
        batch_id = self._batch_of.get(operation)
        batch = None if batch_id is None else self.batch(batch_id)
        if batch_id is None or batch is None:
            return None
        return prove(Verified(batch_id, self._operations_of(batch), batch), operation)

    def envelope_of(self, operation: RecordId) -> bytes | None:
        """A certified operation with its signature, as the batch brought it."""
        proof = self.proof(operation)
        return None if proof is None else proof.operation

    def batch(self, batch_id: bytes) -> CertifiedBatch | None:
        """A certified batch by its id."""
        data = self._unstored.get(batch_id) or self._store.get(Table.BATCH.key(batch_id))
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
        self._unstored[verified.id] = encode(verified.batch)
        try:
            await self._store.commit(changes)
        finally:
            del self._unstored[verified.id]

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
        self.frozen.add(evidence.culprit)
        self._account_evidence += isinstance(evidence.proof, TwoOperations)

    def _fold(self, verified: Verified) -> list[Change]:
        """Let a batch take effect in memory; gives what to store, all or nothing."""
        changes = self._enter(verified.id, verified.operations, verified.batch.certificate.epoch)
        return [(Table.BATCH.key(verified.id), encode(verified.batch)), *changes]

    def _enter(self, batch_id: bytes, operations: _Operations, epoch: int) -> list[Change]:
        """Note a batch; it takes effect when the epochs before its own are settled."""
        self._note(batch_id)
        live = tuple(one for one in operations if not self.epochs.is_void(epoch, one[0]))
        changes = self.epochs.note(epoch, (identity for identity, _ in live))
        if epoch > self.epochs.settled:
            self._ahead.setdefault(epoch, []).append((batch_id, live))
            return changes
        return [*changes, *self._apply(batch_id, live)]

    def _apply(self, batch_id: bytes, operations: _Operations) -> list[Change]:
        for identity, operation in operations:
            self._batch_of.setdefault(identity, batch_id)
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
        return self.witness.observe(operations, self._now_ms())

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
                        for evidence in convict_witnesses(one, other, self._voters_of(one))
                    }
        return [evidence for evidence in found.values() if self.admit_evidence(evidence)]

    def _voters_of(self, verified: Verified) -> WitnessSet:
        frame = self.epochs.chain.frame_of(verified.batch.certificate.epoch)
        assert frame is not None, "its certificate was checked"
        return frame.witnesses

    def _verified(self, batch_id: bytes) -> Verified | None:
        batch = self.batch(batch_id)
        return None if batch is None else Verified(batch_id, self._operations_of(batch), batch)

    # --- epochs -----------------------------------------------------------------------------------

    def settle(self) -> None:
        """Settle every epoch that is over and all here."""
        while (settlement := self.epochs.settle()) is not None:
            self._settled(settlement)

    def _settled(self, settlement: Settlement) -> None:
        envelopes = {one: self.envelope_of(one) or b"" for one in settlement.void}
        changes = self._drop(settlement.void)
        self.state.remove(settlement.void)
        number = epoch_number(self.epochs.settled)
        if number > (self._store.get(Table.SETTLED.key()) or epoch_number(0)):
            # Votes of the epoch that is over: what they were for is certified, or free again.
            changes += [*self.witness.forget_votes(), (Table.SETTLED.key(), number)]
            self._release()
        for batch_id, operations in self._ahead.pop(self.epochs.settled, ()):
            changes += self._apply(batch_id, operations)
        self._store.write([*self.epochs.settle_changes(settlement, envelopes), *changes])
        log.info("epoch %d is settled; %d void", settlement.epoch, len(settlement.void))

    def _release(self) -> None:
        """Let accounts that signed twice go on: the place that they blocked is free again."""
        is_account = {
            culprit
            for culprit in self.frozen
            if isinstance(self.convicted[culprit].proof, TwoOperations)
        }
        self.frozen -= is_account

    def _drop(self, void: tuple[RecordId, ...]) -> list[Change]:
        """Forget batches that hold nothing else, and what they proved."""
        gone = set(void)
        dropped: list[Change] = []
        for batch_id in sorted({self._batch_of.pop(one) for one in void if one in self._batch_of}):
            batch = self.batch(batch_id)
            if batch is None or any(one not in gone for one, _ in self._operations_of(batch)):
                continue
            self.ids.discard(batch_id)
            self.refuse(batch_id)
            dropped.append((Table.BATCH.key(batch_id), None))
        return dropped

    # --- start ------------------------------------------------------------------------------------

    def _load_batches(self) -> None:
        """Fold what is stored: it was verified before. What cannot be read is fetched anew."""
        changes: list[Change] = []
        for key, data in self._store.scan(Table.BATCH.value):
            try:
                batch = decode(CertifiedBatch, data)
                operations = self._operations_of(batch)
            except MalformedRecord as error:
                log.warning("the ledger's store holds a broken batch, dropped: %s", error)
                changes.append((key, None))
                continue
            changes += self._enter(key[1:], operations, batch.certificate.epoch)
        self._store.write(changes)
        self.settle()

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
