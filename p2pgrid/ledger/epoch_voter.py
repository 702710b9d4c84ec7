"""One witness's part in the end of an epoch: single-shot agreement in two locked votes.

Rule 1: votes and locks are on disk before an answer leaves, so a witness that
dies and comes back contradicts nothing that it said.
Rule 2: at most one proposal is prepared in a view, and none in an earlier view than the
last one voted in.
Rule 3: a witness that committed a proposal is locked on it. It prepares another only with
the proof that a quorum prepared that one in the same or a later view.
Rule 4, coverage: it prepares a proposal only if that holds every operation whose certificate
it stored before its books closed, and if it holds every operation of it itself. What a quorum
has prepared already needs no second look: see below.

With 1 to 3 no two proposals are committed while less than 2q-N of weight is faulty. With 4
no operation is lost whose certificate a quorum acknowledged: quorums share an honest witness,
which acknowledges nothing after its books closed. So whatever a quorum prepared holds all such
operations, and what it leaves out of our own books was acknowledged by no quorum. (To
insist on that as well would let one liar block the epoch: it helps to prepare what leaves out the
operation of one honest witness, and vanishes.)

Pure: the caller stores `changes` before `answer` leaves.
"""

from dataclasses import dataclass, field
from typing import Protocol

from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol, PeerError
from p2pgrid.ledger.epoch_chain import epoch_number
from p2pgrid.ledger.epoch_messages import (
    Approval,
    Commit,
    Demur,
    Gather,
    Objection,
    Prepare,
    Standing,
)
from p2pgrid.ledger.epoch_operations import Cut
from p2pgrid.ledger.epoch_rules import (
    Frame,
    epoch_vote,
    epoch_vote_message,
    proposal_id,
    require_lock,
    require_proposal,
)
from p2pgrid.ledger.epoch_schedule import leader_of
from p2pgrid.limits.epochs import EPOCH_VIEW_AHEAD
from p2pgrid.limits.ledger import CLOCK_AHEAD_MS_MAX
from p2pgrid.model.epoch import (
    NO_EPOCH,
    EpochLock,
    EpochPhase,
    EpochProposal,
    EpochQuorum,
    EpochReport,
)
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.store.store import Change, Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import sign_as, sign_message


class Books(Protocol):
    """What the agreement needs of a replica's ledger; of the epoch that ends."""

    @property
    def closed(self) -> Cut:
        """What was here when the books closed."""
        ...

    @property
    def everything(self) -> Cut:
        """What is here now."""
        ...

    def held(self, root: bytes) -> Cut | None:
        """The set of that name, if every operation of it is here."""
        ...

    def snapshot_root(self, cut: Cut) -> bytes:
        """Of the state after the operations of a set, and those of all epochs before."""
        ...


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a witness has made for the next epoch, and reveals of this one."""

    next_key: bytes
    commitment: bytes
    reveal: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementMemory:
    """What a witness must not forget of one agreement; at rest."""

    view: int = 0
    """The last view voted in."""
    prepared: RecordId = NO_EPOCH
    """The proposal prepared in that view, if one was."""
    lock: EpochLock | None = None
    """The last proposal committed, with the quorum that prepared it."""


@dataclass(frozen=True, slots=True)
class EpochJudgement:
    """What a witness makes of one question."""

    answer: Standing | Approval | Objection
    changes: tuple[Change, ...] = ()
    """To be durable before the answer leaves."""


class _Objects(Exception):
    def __init__(self, demur: Demur) -> None:
        super().__init__(demur.name)
        self.demur = demur


@dataclass
class EpochVoter:
    """Votes of one witness on the end of one epoch.

    Args:
        frame: the epoch.
        me: this witness.
        key: its key of this epoch.
        fresh: for its report.
        memory: what it voted before.
    """

    frame: Frame
    me: NodeId
    key: SigningKey
    fresh: Fresh
    memory: AgreementMemory = field(default_factory=AgreementMemory)

    def answer(
        self, leader: NodeId, question: Gather | Prepare | Commit, books: Books, now_ms: TimestampMs
    ) -> EpochJudgement:
        """Answer the leader of a view.

        Raises:
            PeerError: the leader sent what no honest one sends.
        """
        try:
            match question:
                case Gather(view=view):
                    self._require_view(view, leader, now_ms)
                    return EpochJudgement(self._standing(books))
                case Prepare():
                    self._require_view(question.view, leader, now_ms)
                    return self._prepare(question, books, now_ms)
                case Commit(lock=lock):
                    return self._commit(lock, now_ms)
        except _Objects as objection:
            return EpochJudgement(Objection(demur=objection.demur, lock=self.memory.lock))

    def _standing(self, books: Books) -> Standing:
        fresh, closed = self.fresh, books.closed
        report = EpochReport(
            epoch=self.frame.epoch,
            node=self.me,
            next_key=fresh.next_key,
            commitment=fresh.commitment,
            reveal=fresh.reveal,
        )
        return Standing(
            report=sign_as(report, self.key, self.frame.network).envelope,
            closed_root=closed.root,
            closed_count=len(closed.operations),
            lock=self.memory.lock,
        )

    def _require_view(self, view: int, leader: NodeId, now_ms: int) -> None:
        current = self.frame.schedule.view_at(now_ms)
        if current is None or not self.memory.view <= view <= current + EPOCH_VIEW_AHEAD:
            raise _Objects(Demur.NOT_NOW)
        if leader != leader_of(view, self.frame.witnesses):
            raise _Objects(Demur.NOT_LEADER)

    # --- first vote -------------------------------------------------------------------------------

    def _prepare(self, question: Prepare, books: Books, now_ms: int) -> EpochJudgement:
        proposal, view = question.proposal, question.view
        identity = proposal_id(proposal, self.frame.network)
        if view == self.memory.view and self.memory.prepared not in (NO_EPOCH, identity):
            raise _Objects(Demur.NOT_NOW)
        self._require_unlocked(proposal, identity, question.lock, view)
        if question.lock is None:
            self._require_new(question, now_ms)
            self._require_covering(proposal, books)
        self.memory = AgreementMemory(view=view, prepared=identity, lock=self.memory.lock)
        return self._approve(view, EpochPhase.PREPARE, identity)

    def _require_unlocked(
        self, proposal: EpochProposal, identity: RecordId, quorum: EpochQuorum | None, view: int
    ) -> None:
        if quorum is not None:
            require_lock(EpochLock(proposal=proposal, quorum=quorum), self.frame)
            if quorum.vote.view >= view:
                raise BrokenProtocol("a proposal was prepared before it was proposed")
        lock = self.memory.lock
        if lock is None or lock.quorum.vote.proposal == identity:
            return
        if quorum is None or quorum.vote.view < lock.quorum.vote.view:
            raise _Objects(Demur.LOCKED)

    def _require_new(self, question: Prepare, now_ms: int) -> None:
        proposal, schedule = question.proposal, self.frame.schedule
        try:
            require_proposal(proposal, self.frame, question.reports)
        except PeerError as error:
            raise _Objects(Demur.INVALID) from error
        is_after_end = proposal.time_ms >= schedule.ends_ms - CLOCK_AHEAD_MS_MAX
        is_after_start = proposal.time_ms > schedule.starts_ms
        is_now = abs(proposal.time_ms - now_ms) <= CLOCK_AHEAD_MS_MAX
        if not (is_after_end and is_after_start and is_now):
            raise _Objects(Demur.INVALID)

    def _require_covering(self, proposal: EpochProposal, books: Books) -> None:
        cut = books.held(proposal.operations_root)
        if cut is None:
            raise _Objects(Demur.UNKNOWN)
        if not books.closed.operations <= cut.operations:
            raise _Objects(Demur.UNCOVERED)
        count, snapshot = len(cut.operations), books.snapshot_root(cut)
        if (proposal.operation_count, proposal.snapshot_root) != (count, snapshot):
            raise _Objects(Demur.INVALID)

    # --- second vote ------------------------------------------------------------------------------

    def _commit(self, lock: EpochLock, now_ms: int) -> EpochJudgement:
        view = lock.quorum.vote.view
        current = self.frame.schedule.view_at(now_ms)
        if current is None or view < self.memory.view:
            raise _Objects(Demur.NOT_NOW)
        identity = require_lock(lock, self.frame)
        prepared = self.memory.prepared if view == self.memory.view else NO_EPOCH
        self.memory = AgreementMemory(view=view, prepared=prepared, lock=lock)
        return self._approve(view, EpochPhase.COMMIT, identity)

    def _approve(self, view: int, phase: EpochPhase, identity: RecordId) -> EpochJudgement:
        vote = epoch_vote(self.frame, view, phase, identity)
        signature = sign_message(epoch_vote_message(vote, self.frame.network), self.key)
        key = Table.AGREEMENT.key(epoch_number(self.frame.epoch))
        return EpochJudgement(Approval(signature=signature), ((key, encode(self.memory)),))
