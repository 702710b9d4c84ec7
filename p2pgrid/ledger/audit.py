"""Recomputes a whole ledger from its stored records, believing nothing that was checked before.

Every signature is checked again, those of operations too; the state is folded anew from the
genesis and compared with the one in use. Each check is named, with how much it looked at and
what it found wrong.

Pure: records come in as they rest, and may be fed from any thread.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from p2pgrid.errors import BrokenProtocol, PeerError
from p2pgrid.ledger.certificate import WitnessSet, verify_batch
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.epoch_operations import cut_of
from p2pgrid.ledger.evidence import evidence_id, verify_evidence
from p2pgrid.ledger.state import LedgerState
from p2pgrid.limits.ledger import AUDIT_FINDINGS_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation, TwoVotes
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId, RecordId, short
from p2pgrid.model.operation import Operation
from p2pgrid.wire.codec import decode
from p2pgrid.wire.signed import verify


@dataclass(slots=True)
class Check:
    """One rule: how often it was looked at, and where it does not hold."""

    rule: str
    count: int = 0
    findings: list[str] = field(default_factory=list)
    """The first AUDIT_FINDINGS_MAX."""
    wrong: int = 0

    def passed(self) -> None:
        """Count one that is as it should be."""
        self.count += 1

    def failed(self, finding: str) -> None:
        """Count one that is not, and keep what is wrong with it."""
        self.count += 1
        self.wrong += 1
        if len(self.findings) < AUDIT_FINDINGS_MAX:
            self.findings.append(finding)

    def note(self, holds: object, finding: str) -> None:
        """Count one; `finding` is what is wrong if it does not hold."""
        if holds:
            self.passed()
        else:
            self.failed(finding)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit looked at and found."""

    checks: tuple[Check, ...]
    supply: int
    """The sum of the genesis balances."""

    @property
    def is_sound(self) -> bool:
        """Whether every rule holds."""
        return not any(check.wrong for check in self.checks)


class Audit:
    """One audit under way.

    Args:
        genesis: the grid's.
        witnesses_of: who voted in an epoch; None of one that is not known.
        counts: whether an operation that is certified in an epoch is in effect: that is not void,
            nor of an epoch that waits for one before.
    """

    def __init__(
        self,
        genesis: Genesis,
        witnesses_of: Callable[[int], WitnessSet | None],
        counts: Callable[[int, RecordId], bool] = lambda _epoch, _operation: True,
    ) -> None:
        self._genesis = genesis
        self._network = genesis.network
        self._witnesses_of = witnesses_of
        self._counts = counts
        self._held: dict[int, set[RecordId]] = {}
        self._state = LedgerState(genesis)
        self.roots: set[bytes] = set()
        """Of the batches looked at."""
        self._batches = Check("a quorum of witnesses signed each batch, under the id it is kept by")
        self._ends = Check("a quorum of its witnesses signed how each epoch ended, and with what")
        self._signatures = Check("each operation is signed by its account for this grid")
        self._evidence = Check("each proof of double signing proves it, under the id it is kept by")
        self._votes = Check("each vote kept here names an operation that is kept and uses its slot")

    @property
    def operation_count(self) -> int:
        """Different certified operations seen so far."""
        return self._state.operation_count

    # --- feeding ----------------------------------------------------------------------------------

    def take_batches(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Look at batches: (id, as it rests)."""
        for root, data in entries:
            if root not in self.roots:
                self.roots.add(root)
                self._take_batch(root, data)

    def _take_batch(self, root: bytes, data: bytes) -> None:
        try:
            batch = decode(CertifiedBatch, data)
            epoch = batch.certificate.epoch
            witnesses = self._witnesses_of(epoch)
            if witnesses is None:
                raise BrokenProtocol(f"epoch {epoch} is not known")
            verified = verify_batch(batch, witnesses, self._network)
        except PeerError as error:
            self._batches.failed(f"{_name(root)}: {error}")
            return
        self._batches.note(verified.id == root, f"{_name(root)}: kept under another id")
        for envelope in batch.operations:
            self._check_signature(envelope)
        counting = [one for one in verified.operations if self._counts(epoch, one[0])]
        self._held.setdefault(epoch, set()).update(identity for identity, _ in counting)
        self._state.add(counting)

    def take_ends(self, certificates: Iterable[EpochCertificate], settled: int) -> None:
        """Look at how epochs ended, after all batches of the settled ones."""
        chain = EpochChain(self._genesis)
        for certificate in certificates:
            proposal = certificate.proposal
            try:
                chain.append(certificate)
            except PeerError as error:
                self._ends.failed(f"epoch {proposal.epoch}: {error}")
                continue
            held = cut_of(self._held.get(proposal.epoch, ()))
            is_whole = proposal.epoch >= settled or held.root == proposal.operations_root
            self._ends.note(is_whole, f"epoch {proposal.epoch}: its operations are others")

    def _check_signature(self, envelope: bytes) -> None:
        try:
            verify(Operation, envelope, self._network)
        except PeerError as error:
            self._signatures.failed(str(error))
        else:
            self._signatures.passed()

    def take_evidence(self, entries: Iterable[tuple[bytes, bytes]]) -> None:
        """Look at proofs of double signing: (evidence id, as it rests)."""
        for identity, data in entries:
            try:
                evidence = decode(Equivocation, data)
                verify_evidence(evidence, self._witness_sets(evidence), self._network)
            except PeerError as error:
                self._evidence.failed(f"{_name(identity)}: {error}")
                continue
            is_at_home = evidence_id(evidence.culprit) == identity
            self._evidence.note(is_at_home, f"{_name(identity)}: of another key")

    def _witness_sets(self, evidence: Equivocation) -> list[WitnessSet]:
        if not isinstance(evidence.proof, TwoVotes):
            return []
        witnesses = self._witnesses_of(evidence.proof.first.vote.epoch)
        return [] if witnesses is None else [witnesses]

    def take_votes(
        self, operations: Iterable[tuple[bytes, bytes]], votes: Iterable[tuple[bytes, bytes]]
    ) -> None:
        """Look at what this witness voted for: (id, envelope) and (slot, id)."""
        slots: dict[bytes, frozenset[bytes]] = {}
        for identity, envelope in operations:
            try:
                signed = verify(Operation, envelope, self._network)
            except PeerError:
                continue  # its votes are left without an operation, and told of there
            if signed.id == identity:
                slots[identity] = frozenset(signed.record.slots)
        for slot, identity in votes:
            is_used = slot in slots.get(identity, ())
            self._votes.note(is_used, f"slot {_name(slot)}: not of operation {_name(identity)}")

    # --- the end ----------------------------------------------------------------------------------

    def conclude(
        self, in_use: LedgerState, convicted: Mapping[NodeId, Equivocation]
    ) -> AuditReport:
        """Compare with the state that the node works with, and report.

        Args:
            in_use: the state of the running node.
            convicted: keys that it holds proofs against.
        """
        state = self._state
        checks = [
            self._batches,
            *[self._ends] * (self._ends.count > 0),
            self._signatures,
            self._slots(),
            self._chains(),
            self._sums(),
        ]
        checks += [self._balances(convicted), self._escrows(), self._evidence, self._votes]
        same = Check("the state in use is what the stored records give")
        for what, ours, theirs in (
            ("accounts", in_use.accounts(), state.accounts()),
            ("escrows", in_use.escrows(), state.escrows()),
            ("what is burnt", in_use.burnt, state.burnt),
            ("operations", in_use.operation_count, state.operation_count),
            ("alarms", in_use.alarms, state.alarms),
        ):
            same.note(ours == theirs, f"{what} differ")
        supply = sum(amount for _, amount in self._genesis.balances)
        return AuditReport((*checks, same), supply)

    def _slots(self) -> Check:
        check = Check("no slot has two certified operations")
        alarms = self._state.alarms
        check.count = self._state.operation_count
        check.wrong = len(alarms)
        check.findings = [
            f"slot {_name(alarm.slot)}: {', '.join(map(_name, alarm.operations))}"
            for alarm in alarms[:AUDIT_FINDINGS_MAX]
        ]
        return check

    def _chains(self) -> Check:
        """What waits is no fault of the records: its predecessor has not arrived here."""
        check = Check("each operation follows the one before it in its account's chain")
        check.count = self._state.operation_count
        check.wrong = self._state.waiting_count
        if check.wrong:
            check.findings = [f"{check.wrong} operations wait for what is missing here"]
        return check

    def _sums(self) -> Check:
        supply = sum(amount for _, amount in self._genesis.balances)
        check = Check("balances, open escrows and what is burnt add up to the genesis balances")
        check.note(self._state.total == supply, f"{self._state.total} instead of {supply}")
        return check

    def _balances(self, convicted: Mapping[NodeId, Equivocation]) -> Check:
        check = Check("no account spent more than it had")
        for account, one in self._state.accounts().items():
            caught = ", convicted of double signing" if NodeId(account) in convicted else ""
            check.note(one.balance >= 0, f"{_name(account)}{caught}: {one.balance}")
        return check

    def _escrows(self) -> Check:
        check = Check("each closed escrow paid out its deposit, no more and no less")
        for escrow in self._state.escrows().values():
            end = escrow.closing
            if end is not None:
                paid = end.to_farm + end.refund
                deposit = escrow.terms.deposit
                check.note(paid == deposit, f"{_name(escrow.id)}: {paid} of {deposit}")
        return check


def _name(identity: bytes) -> str:
    return short(RecordId(identity))
