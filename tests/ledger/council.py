"""Witnesses at the end of an epoch: the real leader and voters, a disk each, and no network."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from nacl.signing import SigningKey

from p2pgrid.ledger.certificate import assemble, gather, vote_for, vote_message
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.epoch_leader import AskWitnesses, Decided, EpochLeader, LeaderEffect, Learn
from p2pgrid.ledger.epoch_messages import (
    Approval,
    Commit,
    Gather,
    Objection,
    Prepare,
    Standing,
)
from p2pgrid.ledger.epoch_operations import Cut, EpochOperations
from p2pgrid.ledger.epoch_rules import (
    Frame,
    commitment_to,
    epoch_quorum,
    epoch_vote,
    epoch_vote_message,
    proposal_id,
)
from p2pgrid.ledger.epoch_voter import AgreementMemory, EpochVoter, Fresh
from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.epoch import EpochCertificate, EpochLock, EpochPhase, EpochProposal
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode
from p2pgrid.wire.signed import Signed, sign_message
from tests.ledger.grids import genesis_of, key_of, node_of, witness_names

Question = Gather | Prepare | Commit


def operation_id(number: int) -> RecordId:
    """The id of some operation; nobody looks at more than that here."""
    return RecordId(blake2b(b"operation %d" % number, digest_size=32).digest())


def secret_of(name: str, epoch: int) -> bytes:
    """What a witness commits itself to for an epoch."""
    return blake2b(f"{name} secret {epoch}".encode(), digest_size=32).digest()


def epoch_key_of(name: str, epoch: int) -> SigningKey:
    """What it signs with in an epoch."""
    return key_of(name) if epoch == 0 else key_of(f"{name} in epoch {epoch}")


@dataclass
class Shelf:
    """Books without a ledger behind them: the snapshot is as good as its root."""

    operations: EpochOperations = field(default_factory=EpochOperations)

    @property
    def closed(self) -> Cut:
        return self.operations.closed

    @property
    def everything(self) -> Cut:
        return self.operations.everything

    def held(self, root: bytes) -> Cut | None:
        cut = self.operations.known(root)
        return None if cut is None or self.operations.missing(cut) else cut

    def snapshot_root(self, cut: Cut) -> bytes:
        return cut.root


class Councillor:
    """One witness: its books, its disk, and its voter, which may die."""

    def __init__(self, name: str, chain: EpochChain) -> None:
        self.name, self.id = name, node_of(name)
        self.chain = chain
        self.disk = MemoryStore()
        self.books = Shelf()
        self.start()

    def start(self) -> None:
        """Also after a crash: nothing is kept but the disk."""
        frame = self.chain.frame
        epoch = frame.epoch
        stored = self.disk.get(Table.AGREEMENT.key(epoch.to_bytes(8, "big")))
        self.voter = EpochVoter(
            frame,
            self.id,
            epoch_key_of(self.name, epoch),
            Fresh(
                next_key=bytes(epoch_key_of(self.name, epoch + 1).verify_key),
                commitment=commitment_to(secret_of(self.name, epoch + 1)),
                reveal=secret_of(self.name, epoch) if epoch else b"",
            ),
            AgreementMemory() if stored is None else decode(AgreementMemory, stored),
        )

    def store(self, *numbers: int) -> None:
        self.books.operations.add(map(operation_id, numbers))

    def ask(
        self, leader: NodeId, question: Question, now_ms: TimestampMs
    ) -> Standing | Approval | Objection:
        judged = self.voter.answer(leader, question, self.books, now_ms)
        self.disk.write(judged.changes)
        return judged.answer


Filter = Callable[[NodeId, Question], bool]


class Council:
    """The witnesses of one epoch, and a clock."""

    def __init__(self, count: int, chain: EpochChain | None = None) -> None:
        self.genesis: Genesis = genesis_of(count)
        self.chain = EpochChain(self.genesis) if chain is None else chain
        self.members = {
            node_of(name): Councillor(name, self.chain) for name in witness_names(count)
        }
        self.now = TimestampMs(self.frame.schedule.closes_ms)

    @property
    def frame(self) -> Frame:
        return self.chain.frame

    def __getitem__(self, place: int) -> Councillor:
        return list(self.members.values())[place]

    def close(self) -> None:
        for one in self.members.values():
            one.books.operations.close()

    def leader(self, view: int) -> Councillor:
        return self[(self.frame.epoch + view) % len(self.members)]

    def at_view(self, view: int) -> None:
        self.now = self.frame.schedule.view_starts_ms(view)

    def lead(
        self, view: int, reaches: Filter = lambda _node, _question: True
    ) -> EpochCertificate | None:
        """Let one view happen; gives what it decided.

        Args:
            view: which.
            reaches: whether a question gets to a witness; who is not reached does not answer.
        """
        self.at_view(view)
        who = self.leader(view)
        leader = EpochLeader(self.frame, view)
        todo = leader.start()
        decided = None
        while todo:
            match todo.pop(0):
                case AskWitnesses(witnesses=witnesses, question=question):
                    for node in witnesses:
                        if reaches(node, question):
                            answer = self.members[node].ask(who.id, question, self.now)
                            todo += leader.receive(node, answer, who.books, self.now)
                case Learn(witness=witness):
                    todo += self._learn(leader, who, witness)
                case Decided(certificate=certificate):
                    decided = certificate
            if not todo and leader.wake_at is not None:
                self.now = max(self.now, leader.wake_at)
                todo += leader.poll(who.books, self.now)
        return decided

    def _learn(self, leader: EpochLeader, who: Councillor, witness: NodeId) -> list[LeaderEffect]:
        who.books.operations.add(self.members[witness].books.closed.operations)
        who.books.operations.learn(self.members[witness].books.closed)
        return leader.learnt(witness, who.books, self.now)

    def end_with(self, operations: Iterable[RecordId]) -> EpochCertificate:
        """End the epoch with this set."""
        for member in self.members.values():
            member.books.operations.add(operations)
        self.close()
        decided = self.lead(0)
        assert decided is not None, "all are here"
        return decided

    # --- by hand ----------------------------------------------------------------------------------

    def share(self) -> None:
        """Let all hold the same, and know all sets by their names."""
        everything = {
            one for member in self.members.values()
            for one in member.books.everything.operations
        }  # fmt: skip
        for member in self.members.values():
            member.books.operations.add(everything)
            for other in self.members.values():
                member.books.operations.learn(other.books.everything)
                member.books.operations.learn(other.books.closed)

    def prepared(
        self, proposal: EpochProposal, view: int, signers: Iterable[Councillor]
    ) -> EpochLock:
        """A lock that these signed, whatever they think of it."""
        identity = proposal_id(proposal, self.frame.network)
        vote = epoch_vote(self.frame, view, EpochPhase.PREPARE, identity)
        message = epoch_vote_message(vote, self.frame.network)
        signatures = {one.id: sign_message(message, one.voter.key) for one in signers}
        gathered = gather(signatures, self.frame.witnesses)
        assert gathered is not None, "too few signers"
        return EpochLock(proposal=proposal, quorum=epoch_quorum(vote, gathered))


def certify_in(chain: EpochChain, operations: Sequence[Signed[Operation]]) -> CertifiedBatch:
    """A batch with the votes of all witnesses of the current epoch of `chain`."""
    witnesses, network = chain.witnesses, chain.frame.network
    envelopes = tuple(one.envelope for one in operations)
    vote = vote_for(envelopes, witnesses)
    names = {node_of(name): name for name in witness_names(len(witnesses.members))}
    signatures = {
        node: sign_message(vote_message(vote, network), epoch_key_of(names[node], chain.epoch))
        for node, _ in witnesses.members
    }
    certificate = assemble(vote, signatures, witnesses)
    assert certificate is not None, "everybody signed"
    return CertifiedBatch(operations=envelopes, certificate=certificate)
