"""The leader of one view: asks the witnesses, and puts the end of the epoch together.

    Gather ─standings─> what each stored ─Learn─> all of it here ─┐
              ┌───────────────────────────────────────────────────┘
              └─> Prepare ─signatures of a quorum─> Commit ─signatures of a quorum─> Decided

A leader can choose which reports and which operations, and can be slow. Everything else is
checked by those who vote, so a leader that cheats wastes its view.

Pure: events come in with the time, effects go out. `wake_at` says when to call `poll`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pgrid.errors import BadSignature, BrokenProtocol
from p2pgrid.ledger.certificate import gather
from p2pgrid.ledger.epoch_messages import (
    Approval,
    Commit,
    Gather,
    Objection,
    Prepare,
    Standing,
)
from p2pgrid.ledger.epoch_rules import (
    Frame,
    epoch_quorum,
    epoch_vote,
    epoch_vote_message,
    proposal_id,
    propose,
    read_report,
    require_lock,
)
from p2pgrid.ledger.epoch_voter import Books
from p2pgrid.limits.epochs import EPOCH_PATIENCE_MS
from p2pgrid.model.epoch import (
    EpochCertificate,
    EpochLock,
    EpochPhase,
    EpochProposal,
    EpochReport,
    EpochVote,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed, is_signed_by


@dataclass(frozen=True, slots=True)
class AskWitnesses:
    """Effect: send this to each of these witnesses, which may be ourselves; bring answers back."""

    witnesses: tuple[NodeId, ...]
    question: Gather | Prepare | Commit


@dataclass(frozen=True, slots=True)
class Learn:
    """Effect: fetch what a witness stored that is not here; call `learnt` when it is."""

    witness: NodeId
    root: bytes


@dataclass(frozen=True, slots=True)
class Decided:
    """Effect: the epoch has ended like this. Store it, then tell everybody."""

    certificate: EpochCertificate


LeaderEffect = AskWitnesses | Learn | Decided


@dataclass
class EpochLeader:
    """One view of one epoch, led by us.

    Args:
        frame: the epoch.
        view: the view.
    """

    frame: Frame
    view: int
    _standings: dict[NodeId, Standing] = field(default_factory=dict)
    _reports: dict[NodeId, Signed[EpochReport]] = field(default_factory=dict)
    _learnt: set[NodeId] = field(default_factory=set)
    _lock: EpochLock | None = None
    _propose_at_ms: int | None = None
    _proposal: EpochProposal | None = None
    _phase: EpochPhase | None = None
    _signatures: dict[NodeId, bytes] = field(default_factory=dict)
    _is_done: bool = False

    def start(self) -> list[LeaderEffect]:
        """Ask everybody how they stand."""
        return [AskWitnesses(self._everybody, Gather(view=self.view))]

    @property
    def wake_at(self) -> TimestampMs | None:
        """When `poll` has something to do; None: when something comes."""
        is_waiting = self._phase is None and self._propose_at_ms is not None
        return TimestampMs(self._propose_at_ms or 0) if is_waiting else None

    @property
    def _everybody(self) -> tuple[NodeId, ...]:
        return tuple(node for node, _ in self.frame.witnesses.members)

    def receive(
        self,
        witness: NodeId,
        answer: Standing | Approval | Objection,
        books: Books,
        now_ms: TimestampMs,
    ) -> list[LeaderEffect]:
        """Take a witness's answer.

        Raises:
            PeerError: it is not an answer to what was asked; counts as no answer.
        """
        match answer:
            case Standing():
                return self._take_standing(witness, answer, books, now_ms)
            case Approval(signature=signature):
                return self._take_signature(witness, signature)
            case Objection():
                return []

    def learnt(self, witness: NodeId, books: Books, now_ms: TimestampMs) -> list[LeaderEffect]:
        """All that a witness stored is here now."""
        self._learnt.add(witness)
        return self.poll(books, now_ms)

    def poll(self, books: Books, now_ms: TimestampMs) -> list[LeaderEffect]:
        """Propose, once enough is here and the others had their time."""
        if self._phase is not None:
            return []
        if self._weight(self._learnt) < self.frame.witnesses.quorum:
            return []
        if self._propose_at_ms is None:
            self._propose_at_ms = now_ms + EPOCH_PATIENCE_MS
        if len(self._learnt) < len(self._everybody) and now_ms < self._propose_at_ms:
            return []
        return self._propose(books, now_ms)

    # --- gathering --------------------------------------------------------------------------------

    def _take_standing(
        self, witness: NodeId, standing: Standing, books: Books, now_ms: TimestampMs
    ) -> list[LeaderEffect]:
        if witness in self._standings:
            return []
        report = read_report(standing.report, self.frame)
        if report.record.node != witness:
            raise BrokenProtocol("a witness sent the report of another")
        self._note_lock(standing.lock)
        self._standings[witness] = standing
        self._reports[witness] = report
        if books.held(standing.closed_root) is None:
            return [Learn(witness, standing.closed_root)]
        return self.learnt(witness, books, now_ms)

    def _note_lock(self, lock: EpochLock | None) -> None:
        """The latest binds us."""
        if lock is None or self._phase is not None:
            return
        require_lock(lock, self.frame)
        if self._lock is None or lock.quorum.vote.view > self._lock.quorum.vote.view:
            self._lock = lock

    # --- proposing --------------------------------------------------------------------------------

    def _propose(self, books: Books, now_ms: TimestampMs) -> list[LeaderEffect]:
        self._phase = EpochPhase.PREPARE
        if self._lock is not None:
            self._proposal = self._lock.proposal
            question = Prepare(
                view=self.view, proposal=self._proposal, reports=(), lock=self._lock.quorum
            )
            return [AskWitnesses(self._everybody, question)]
        cut, chosen = books.everything, self._chosen_reports()
        self._proposal = propose(
            self.frame,
            [report.record for report in chosen],
            (cut.root, len(cut.operations)),
            books.snapshot_root(cut),
            TimestampMs(max(now_ms, self.frame.schedule.starts_ms + 1)),
        )
        reports = tuple(report.envelope for report in chosen)
        question = Prepare(view=self.view, proposal=self._proposal, reports=reports, lock=None)
        return [AskWitnesses(self._everybody, question)]

    def _chosen_reports(self) -> list[Signed[EpochReport]]:
        """Reports in order of their nodes, but those that want a key which another has."""
        taken = {seat.key: seat.node for seat in self.frame.seats}
        chosen: list[Signed[EpochReport]] = []
        for node in sorted(self._reports):
            report = self._reports[node]
            if taken.setdefault(report.record.next_key, node) == node:
                chosen.append(report)
        return chosen

    # --- votes ------------------------------------------------------------------------------------

    def _vote(self) -> EpochVote:
        assert self._proposal is not None, "something was proposed"
        assert self._phase is not None, "something was proposed"
        identity = proposal_id(self._proposal, self.frame.network)
        return epoch_vote(self.frame, self.view, self._phase, identity)

    def _take_signature(self, witness: NodeId, signature: bytes) -> list[LeaderEffect]:
        """Answers to the first vote may come while the second is gathered; they are left out."""
        if self._phase is None or self._proposal is None:
            raise BrokenProtocol("a witness votes for what was not proposed")
        vote, witnesses = self._vote(), self.frame.witnesses
        message = epoch_vote_message(vote, self.frame.network)
        key = witnesses.signing_keys.get(witness, b"")
        if not is_signed_by(key, message, signature):
            if self._phase is EpochPhase.COMMIT:
                return []
            raise BadSignature("a vote on the end of the epoch is not signed by its witness")
        self._signatures[witness] = signature
        gathered = gather(self._signatures, witnesses)
        if gathered is None or self._is_done:
            return []
        self._signatures = {}
        quorum = epoch_quorum(vote, gathered)
        if self._phase is EpochPhase.PREPARE:
            self._phase = EpochPhase.COMMIT
            lock = EpochLock(proposal=self._proposal, quorum=quorum)
            return [AskWitnesses(self._everybody, Commit(lock=lock))]
        self._is_done = True
        return [Decided(EpochCertificate(proposal=self._proposal, quorum=quorum))]

    def _weight(self, witnesses: Iterable[NodeId]) -> int:
        return sum(self.frame.witnesses.weight_of(one) for one in witnesses)
