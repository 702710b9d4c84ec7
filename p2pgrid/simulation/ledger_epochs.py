"""Takes a simulated node from epoch to epoch, as `ledger/rotation.py` does over the network.

The cores are the program's: voter, leader, books and keys. Here is only what carries
questions, answers and batches between them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from p2pgrid.errors import PeerError
from p2pgrid.ledger.certificate import read_operation
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.ledger.epoch_leader import (
    AskWitnesses,
    Decided,
    EpochLeader,
    LeaderEffect,
    Learn,
)
from p2pgrid.ledger.epoch_messages import (
    Approval,
    Commit,
    Gather,
    Objection,
    Prepare,
    Standing,
)
from p2pgrid.ledger.epoch_schedule import leader_of
from p2pgrid.ledger.epoch_voter import Books, EpochVoter
from p2pgrid.ledger.messages import EpochItem
from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.model.certificate import VoteRequest
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import NodeId
from p2pgrid.simulation.ledger_cast import key_of
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.signed import Signed

if TYPE_CHECKING:
    from p2pgrid.simulation.ledger_node import LedgerNode

Question = Gather | Prepare | Commit
Answer = Standing | Approval | Objection
Hear = Callable[[NodeId, Answer], None]


class LedgerEpochs:
    """The epochs of one incarnation of a node."""

    def __init__(self, node: "LedgerNode") -> None:
        self._node, self._grid = node, node.grid
        self.books = node.archive.epochs
        self._keys = EpochKeys(key_of(node.name), node.store, self._grid.random.randbytes)
        self._voter: EpochVoter | None = None
        self._leader: EpochLeader | None = None
        self._begun = self.books.chain.epoch
        self._told = 0
        """Settlements that the court knows of."""
        node.after(limits.LOOK_SECONDS, self._look)
        self._tell_court()

    # --- following --------------------------------------------------------------------------------

    def _look(self) -> None:
        """What `Rotation` does every now and then: follow, settle, lead when it is our turn."""
        node = self._node
        other = self._grid.any_node()
        if other.is_alive and other is not node:
            self.follow(other)
        self.settle()
        self._certify_voids()
        frame = self.books.chain.frame
        view = frame.schedule.view_at(node.now_ms())
        if view is not None and leader_of(view, frame.witnesses) == node.id:
            self._lead(view)
        node.after(limits.LOOK_SECONDS, self._look)

    def follow(self, other: "LedgerNode") -> None:
        """Take the ends of epochs that a peer knows, and what they held."""
        for end in other.epochs.books.chain.certificates[self.books.chain.epoch :]:
            self.take_end(end)
        settled = self.books.settled
        end_here = self.books.chain.end_of(settled)
        if end_here is not None:
            self.fetch(other, settled, end_here.proposal.operations_root)

    def take_end(self, certificate: EpochCertificate) -> None:
        """Go on to the next epoch, if this ends the current one."""
        if certificate.proposal.epoch <= self.books.chain.epoch:
            self.books.end(certificate)
            self.settle()

    def fetch(self, other: "LedgerNode", epoch: int, root: bytes) -> bool:
        """Have every operation of a set here, from one peer; whether that succeeded."""
        ours = self.books.operations_of(epoch)
        cut = ours.known(root) or other.epochs.books.operations_of(epoch).known(root)
        if cut is None or not other.is_alive:
            return False
        ours.learn(cut)
        for operation in ours.missing(cut):
            batch = other.archive.batch_with(operation)
            if batch is not None and batch.certificate.epoch == epoch:
                self._node.admit(batch)
        return not ours.missing(cut)

    def settle(self) -> None:
        """Let what is over take effect, as far as it is here."""
        self._node.archive.settle()
        self._tell_court()
        epoch = self.books.chain.epoch
        if epoch != self._begun:
            self._begun, self._voter, self._leader = epoch, None, None
            seat = self.books.chain.frame.seat_of(self._node.id)
            self._node.store.write(self._keys.retire(epoch, seat))
            self._node.renew()

    def _tell_court(self) -> None:
        while self._told < self.books.settled:
            held = self.books.operations_of(self._told).everything
            self._grid.court.epoch_settled(self._told, held.operations)
            self._told += 1

    def _certify_voids(self) -> None:
        """Have operations certified again whose epoch ended without them."""
        if self.books.is_settled:
            for identity, envelope in self.books.voids():
                if self._node.archive.state.operation(identity) is None:
                    _, operation = read_operation(envelope, self._node.archive.network)
                    self._node.submit_again(Signed(operation, identity, envelope))

    # --- voting for operations --------------------------------------------------------------------

    def voting_key(self, request: VoteRequest) -> SigningKey | None:
        """What to sign votes with; None when this witness does not vote now, as `Ballot` has it."""
        frame, witnesses = self.books.chain.frame, self.books.chain.witnesses
        seat = frame.seat_of(self._node.id)
        if seat is None or not self.books.is_settled:
            return None
        if (request.epoch, request.witness_set_hash) != (witnesses.epoch, witnesses.hash):
            return None
        if frame.schedule.is_frozen(self._node.now_ms()):
            return None
        return self._keys.key_of(seat)

    def any_key(self) -> SigningKey | None:
        """Its key of the current epoch, whether it may vote now or not."""
        seat = self.books.chain.frame.seat_of(self._node.id)
        return None if seat is None else self._keys.key_of(seat)

    # --- voting for the end of an epoch -----------------------------------------------------------

    def answer(self, leader: NodeId, epoch: int, question: Question, hear: Hear) -> None:
        """Answer the leader of a view; its votes are durable before."""
        voter = self._voter_of(epoch)
        if voter is None:
            return
        if isinstance(question, Prepare) and question.lock is None:
            root = question.proposal.operations_root
            if self.books.held(root) is None:
                self.fetch(self._grid.nodes[leader], epoch, root)
        try:
            judged = voter.answer(leader, question, self.books, self._node.now_ms())
        except PeerError:
            return
        self._node.store.write(judged.changes)
        self._node.when_durable(self._grid.send, hear, self._node.id, judged.answer)

    def _voter_of(self, epoch: int) -> EpochVoter | None:
        frame = self.books.chain.frame
        seat = frame.seat_of(self._node.id)
        if epoch != frame.epoch or not self.books.is_settled or seat is None:
            return None
        if not frame.schedule.is_closed(self._node.now_ms()):
            return None
        if self._voter is None:
            self._node.store.write(self._keys.make(epoch + 1))
            self._node.disk.commit(())
            self.books.close()
            key, fresh = self._keys.key_of(seat), self._keys.fresh(epoch + 1, seat)
            if key is None or fresh is None:
                return None
            self._voter = EpochVoter(frame, self._node.id, key, fresh, self.books.memory())
        return self._voter

    # --- leading ----------------------------------------------------------------------------------

    def books_to_lead(self) -> Books:
        """What this leader proposes from."""
        return self._node.leading_books(self.books)

    def _lead(self, view: int) -> None:
        frame = self.books.chain.frame
        is_led = self._leader is not None and self._leader.view == view
        if not is_led and self._voter_of(frame.epoch) is not None:
            self._leader = EpochLeader(frame, view)
            self._perform(self._leader, self._leader.start())

    def _perform(self, leader: EpochLeader, effects: list[LeaderEffect]) -> None:
        for effect in effects:
            match effect:
                case AskWitnesses(witnesses=witnesses, question=question):
                    for witness in witnesses:
                        self._ask(leader, witness, question)
                case Learn(witness=witness, root=root):
                    self._learn(leader, witness, root)
                case Decided(certificate=certificate):
                    self._grid.court.epoch_ended(certificate)
                    self.take_end(certificate)
                    self._grid.gossip(self._node, EpochItem(certificate))
        wake_at = leader.wake_at
        if wake_at is not None and leader is self._leader:
            pause = max((wake_at - self._node.now_ms()) / SECOND_MS, 0.005)
            self._node.after(pause, self._poll, leader)

    def _poll(self, leader: EpochLeader) -> None:
        if leader is self._leader:
            self._perform(leader, leader.poll(self.books_to_lead(), self._node.now_ms()))

    def _ask(self, leader: EpochLeader, witness: NodeId, question: Question) -> None:
        """Ask until there is an answer, or the view is over."""
        if leader is not self._leader:
            return
        is_answered = False

        def hear(_: NodeId, answer: Answer) -> None:
            nonlocal is_answered
            if self._node.is_alive and not is_answered and leader is self._leader:
                is_answered = True
                self._hear(leader, witness, answer)

        def again() -> None:
            if not is_answered:
                self._ask(leader, witness, question)

        self._grid.send(
            self._grid.ask_epoch, witness, self._node.id, leader.frame.epoch, question, hear
        )
        self._node.after(limits.LOOK_SECONDS, again)

    def _hear(self, leader: EpochLeader, witness: NodeId, answer: Answer) -> None:
        books, now_ms = self.books_to_lead(), self._node.now_ms()
        try:
            effects = leader.receive(witness, answer, books, now_ms)
        except PeerError:
            return
        self._perform(leader, effects)

    def _learn(self, leader: EpochLeader, witness: NodeId, root: bytes) -> None:
        if leader is not self._leader:
            return
        if self.fetch(self._grid.nodes[witness], leader.frame.epoch, root):
            learnt = leader.learnt(witness, self.books_to_lead(), self._node.now_ms())
            self._perform(leader, learnt)
        else:
            self._node.after(limits.LOOK_SECONDS, self._learn, leader, witness, root)
