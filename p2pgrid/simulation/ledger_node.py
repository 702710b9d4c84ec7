"""An honest node of a simulated ledger: archive, witness and entry node as the program has them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nacl.signing import SigningKey

from p2pgrid.errors import PeerError
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, WitnessSet
from p2pgrid.ledger.entry import Ask, Certified, Clash, Effect, Entry, Turned
from p2pgrid.ledger.epoch_books import EpochBooks
from p2pgrid.ledger.epoch_voter import Books
from p2pgrid.ledger.evidence import convict_account, evidence_id
from p2pgrid.ledger.messages import BatchItem, EpochItem, EvidenceItem, LedgerItem
from p2pgrid.ledger.rules import MAY_PASS
from p2pgrid.ledger.voting import answer_of
from p2pgrid.ledger.witness import Candidate, Judgement
from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.limits.ledger import REFUSED_RETRY_MS, SUBMIT_SECONDS_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation, Reason, VoteAnswer, VoteRequest
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.simulation.coroutines import result_of
from p2pgrid.simulation.disk import Disk, DiskStore
from p2pgrid.simulation.ledger_cast import CREATED_MS, SUPPLY, node_of
from p2pgrid.simulation.ledger_epochs import LedgerEpochs
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import decode
from p2pgrid.wire.signed import Signed

if TYPE_CHECKING:
    from p2pgrid.simulation.ledger_grid import LedgerGrid

Told = Callable[[RecordId], None]
"""A client: hears that its operation is certified."""


class LedgerNode:
    """One incarnation of a node: from a start to its death.

    Args:
        grid: the world around it.
        name: whose key it has.
        disk: outlives it.
        skew_ms: how wrong its clock is.
    """

    is_honest = True
    """Whether it keeps to the rules; a witness that does not counts against the bound."""

    def __init__(self, grid: "LedgerGrid", name: str, disk: Disk, skew_ms: int) -> None:
        self.grid, self.name, self.disk, self.skew_ms = grid, name, disk, skew_ms
        self.id = node_of(name)
        self.is_alive = True
        self.store = DiskStore(disk)
        self.archive = Archive(grid.genesis, self.store, self.id, self.now_ms)
        self.entry = Entry(self.archive.witnesses, self.archive.network)
        self._waiting: dict[RecordId, tuple[Signed[Operation], Told]] = {}
        self._asked: set[tuple[Entry, int, NodeId]] = set()
        self._wakes_at = 0.0
        self.epochs = LedgerEpochs(self)

    @property
    def disk_after_death(self) -> Disk:
        """What its next incarnation begins with."""
        return self.disk

    def now_ms(self) -> TimestampMs:
        """What its clock says."""
        return TimestampMs(CREATED_MS + round(self.grid.scheduler.now * SECOND_MS) + self.skew_ms)

    def after(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:  # noqa: ANN401 - whatever the action takes
        """Do something later, unless this incarnation is dead by then."""
        self.grid.scheduler.after(seconds, self._if_alive, action, arguments)

    def _if_alive(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.is_alive:
            action(*arguments)

    def when_durable(self, action: Callable[..., object], *arguments: Any) -> None:  # noqa: ANN401 - whatever the action takes
        """Do something once all that was written up to now is on the disk."""

        def commit() -> None:
            self.disk.commit(())
            action(*arguments)

        self.after(self.grid.random.uniform(0, limits.FSYNC_SECONDS), commit)

    # --- as an entry node -------------------------------------------------------------------------

    def submit(self, signed: Signed[Operation], tell: Told) -> None:
        """A client wants an operation certified."""
        if self.archive.is_kept(signed.id):
            tell(signed.id)
            return
        self._waiting[signed.id] = signed, tell
        if self.entry.has_room:
            self.entry.submit(signed, self.now_ms())
            self.after(SUBMIT_SECONDS_MAX, self._forget, signed.id)
            self._poll()

    def submit_again(self, signed: Signed[Operation]) -> None:
        """Have an operation certified that was certified in vain."""
        if signed.id not in self._waiting:
            self.submit(signed, _nobody)

    def renew(self) -> None:
        """Ask the witnesses of the epoch that has begun for all that has no certificate yet."""
        self.entry = Entry(self.archive.witnesses, self.archive.network)
        for signed, _ in self._waiting.values():
            self.entry.submit(signed, self.now_ms())
        self._poll()

    def _forget(self, operation: RecordId) -> None:
        self.entry.forget(operation)
        self._waiting.pop(operation, None)

    def _poll(self) -> None:
        self._perform(self.entry.poll(self.now_ms()))
        wake_at = self.entry.wake_at
        now = self.grid.scheduler.now
        if wake_at is not None and self._wakes_at <= now:
            pause = max((wake_at - self.now_ms()) / SECOND_MS, 0.005)
            self._wakes_at = now + pause
            self.after(pause, self._poll)

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask(proposal=proposal, witnesses=witnesses, request=request):
                    for witness in witnesses:
                        self._ask(proposal, witness, request)
                case Certified(batch=batch, operations=operations):
                    self.grid.court.certificate_made(batch, operations)
                    self.certified(batch)
                case Turned(operation=operation, reason=reason, conflict=conflict):
                    self._convict(operation, conflict)
                    if reason not in MAY_PASS:
                        self._forget(operation.id)
                case Clash(operation=operation, conflict=conflict):
                    self._convict(operation, conflict)

    def _ask(self, proposal: int, witness: NodeId, request: VoteRequest) -> None:
        about = self.entry, proposal
        self._asked.add((*about, witness))
        is_lost = self.grid.send(self.grid.ask, witness, request, self._hear_vote, about)
        wait = limits.LOST_ANSWER_SECONDS if is_lost else limits.LATE_ANSWER_SECONDS
        self.after(wait, self._give_up, about, witness)

    def _give_up(self, about: tuple[Entry, int], witness: NodeId) -> None:
        if (*about, witness) in self._asked:
            self._asked.discard((*about, witness))
            about[0].fail(about[1], witness, self.now_ms())
            self._poll()

    def _hear_vote(self, about: tuple[Entry, int], witness: NodeId, answer: VoteAnswer) -> None:
        entry, proposal = about
        if not self.is_alive or entry is not self.entry:
            return  # its epoch has ended, and all is asked anew
        self._asked.discard((entry, proposal, witness))
        try:
            for batch in answer.certified:
                self.admit(batch)
            self._perform(self.entry.receive(proposal, witness, answer, self.now_ms()))
        except PeerError:
            self.entry.fail(proposal, witness, self.now_ms())
        self._poll()

    def certified(self, batch: CertifiedBatch) -> None:
        """A certificate was put together here: durable first, then others hear of it."""
        self.after(self.grid.random.uniform(0, limits.FSYNC_SECONDS), self._keep, batch)

    def _keep(self, batch: CertifiedBatch) -> None:
        if batch.certificate.epoch < self.archive.epochs.settled:
            self.renew()  # the epoch ended while this was on its way: it is void
            return
        verified = self.grid.verified(batch, self)
        assert verified is not None, "its witnesses were asked"
        result_of(self.archive.keep(verified))
        self._settle(verified)
        self._stored(verified)
        self.grid.gossip(self, BatchItem(batch))

    def _settle(self, verified: Verified) -> None:
        self.grid.require(self.archive.state.total == SUPPLY, "money was made or lost")
        for identity, _ in verified.operations:
            if self.archive.is_kept(identity) and identity in self._waiting:
                self.entry.forget(identity)
                self._waiting.pop(identity)[1](identity)

    def _stored(self, verified: Verified) -> None:
        """A certificate is durable here: that is what a witness acknowledges."""
        epoch = verified.batch.certificate.epoch
        held = self.archive.epochs.operations_of(epoch)
        is_open = epoch == self.archive.epochs.chain.epoch and not held.is_closed
        if self.archive.is_witness and is_open:
            self.grid.court.acknowledged(self.id, epoch, (one for one, _ in verified.operations))

    # --- as a replica -----------------------------------------------------------------------------

    def receive(self, item: BatchItem | EvidenceItem | EpochItem) -> None:
        """Take what gossip brings."""
        if not self.is_alive:
            return
        match item:
            case BatchItem(batch=batch):
                self.admit(batch)
            case EvidenceItem(evidence=evidence):
                self._admit_evidence(evidence)
            case EpochItem(certificate=certificate):
                self.epochs.take_end(certificate)

    def admit(self, batch: CertifiedBatch) -> None:
        """Take in a certified batch, if it is known here who voted in its epoch."""
        verified = self.grid.verified(batch, self)
        if verified is None:
            return
        is_news = self.archive.wants_batch(verified)
        for evidence in self.archive.admit(verified):
            self.grid.gossip(self, EvidenceItem(evidence))
        self._settle(verified)
        if is_news:
            self.when_durable(self._stored, verified)

    def _admit_evidence(self, evidence: Equivocation) -> bool:
        if not self.archive.wants_evidence(evidence):
            return False
        self.grid.verify_evidence(evidence)
        return self.archive.admit_evidence(evidence)

    def _convict(self, operation: Signed[Operation], conflict: bytes | None) -> None:
        if conflict is None:
            return
        evidence = convict_account(operation, self.grid.open(conflict))
        if evidence is not None and self._admit_evidence(evidence):
            self.grid.gossip(self, EvidenceItem(evidence))

    def pull(self, other: "LedgerNode") -> None:
        """Take all that a peer has and we lack."""
        if self.is_alive and other.is_alive:
            self.epochs.follow(other)
            for identity in [one for one in other.archive.ids if one not in self.archive.ids]:
                self.receive(other.item(identity))
            self.epochs.settle()

    def item(self, identity: bytes) -> BatchItem | EvidenceItem:
        """A batch or proof that it holds, as it rests on its disk."""
        data = self.archive.record(identity)
        assert data is not None, "an id without its record"
        item = decode(LedgerItem, data).item
        assert not isinstance(item, EpochItem), "ends of epochs are not among them"
        return item

    def holds(self, operation: RecordId) -> bool:
        """Whether an operation counts here."""
        return self.archive.state.is_in_effect(operation)

    def holds_against(self, key: bytes) -> bool:
        """Whether it holds a proof against a key."""
        return evidence_id(key) in self.archive.ids

    # --- as a witness -----------------------------------------------------------------------------

    def vote(self, request: VoteRequest, answer_to: Callable[[NodeId, VoteAnswer], None]) -> None:
        """Answer an entry node, or whoever asks."""
        witnesses, key = self.archive.witnesses, self.epochs.voting_key(request)
        if key is None:
            return
        candidates = [
            Candidate(self.grid.open(one), has_usable_keys=True) for one in request.operations
        ]
        judged = self.archive.witness.judge(candidates, self.now_ms())
        self.store.write(judged.changes)
        if any(refusal.reason is Reason.BEHIND for refusal in judged.refusals):
            self.after(REFUSED_RETRY_MS / SECOND_MS / 2, self._catch_up)
        self.when_durable(self._answer, _Vote(candidates, judged, witnesses, key), answer_to)

    def _catch_up(self) -> None:
        self.pull(self.grid.any_node())

    def _answer(self, vote: "_Vote", answer_to: Callable[[NodeId, VoteAnswer], None]) -> None:
        if self.archive.witnesses.epoch != vote.witnesses.epoch:
            return  # the epoch that these votes were for has ended
        judged = vote.judged
        answer = answer_of(self.archive, vote.candidates, judged, vote.witnesses, vote.key)
        accepted = [one.signed for one in vote.candidates if one.signed.id in judged.accepted]
        self.grid.vote_leaves(self, vote.witnesses.epoch, accepted)
        self.grid.send(answer_to, self.id, answer)

    def leading_books(self, books: EpochBooks) -> Books:
        """What it proposes from when it leads a view."""
        return books


@dataclass(frozen=True, slots=True)
class _Vote:
    """Votes that are being made durable."""

    candidates: Sequence[Candidate]
    judged: Judgement
    witnesses: WitnessSet
    key: SigningKey


def _nobody(_: RecordId) -> None:
    """Nobody waits for it."""
