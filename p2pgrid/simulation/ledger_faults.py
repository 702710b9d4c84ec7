"""Witnesses that break the rules, each in its own way, and what they do together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from p2pgrid.ledger.certificate import WitnessSet, assemble, vote_for, vote_message
from p2pgrid.ledger.epoch_books import EpochBooks
from p2pgrid.ledger.epoch_operations import Cut, cut_of
from p2pgrid.ledger.epoch_voter import Books
from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.model.certificate import CertifiedBatch, Vote, VoteAnswer, VoteRequest
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import Operation
from p2pgrid.simulation.disk import Disk
from p2pgrid.simulation.ledger_node import LedgerNode, Told
from p2pgrid.wire.signed import Signed, is_signed_by, sign_message

if TYPE_CHECKING:
    from p2pgrid.simulation.ledger_grid import LedgerGrid


@dataclass(frozen=True, slots=True)
class StingyBooks:
    """The books of a leader that hides every operation which nobody insists on."""

    books: EpochBooks

    @property
    def closed(self) -> Cut:
        """As they are."""
        return self.books.closed

    @property
    def everything(self) -> Cut:
        """Every other operation of those that are here."""
        stingy = cut_of(sorted(self.books.everything.operations)[::2])
        self.books.operations_of(self.books.chain.epoch).learn(stingy)
        return stingy

    def held(self, root: bytes) -> Cut | None:
        """As they are."""
        return self.books.held(root)

    def snapshot_root(self, cut: Cut) -> bytes:
        """As it is."""
        return self.books.snapshot_root(cut)


class DoubleVoter(LedgerNode):
    """Votes for everything, whatever it voted for before and however late it is.

    As a leader it proposes an end of the epoch that leaves out what it can.
    """

    is_honest = False

    def leading_books(self, books: EpochBooks) -> Books:
        """Less than there is."""
        return StingyBooks(books)

    def vote(self, request: VoteRequest, answer_to: Callable[[NodeId, VoteAnswer], None]) -> None:
        """Sign for all of it."""
        witnesses, key = self.archive.witnesses, self.epochs.any_key()
        if key is None or request.epoch != witnesses.epoch:
            return
        operations = [self.grid.open(one) for one in request.operations]
        vote = vote_for(request.operations, witnesses)
        signature = sign_message(vote_message(vote, self.archive.network), key)
        self.grid.vote_leaves(self, witnesses.epoch, operations)
        self.grid.send(answer_to, self.id, VoteAnswer(refusals=(), signature=signature))


class Withholder(LedgerNode):
    """Takes everything and says nothing."""

    is_honest = False

    def vote(self, request: VoteRequest, answer_to: Callable[[NodeId, VoteAnswer], None]) -> None:
        """Never answer."""

    def submit(self, signed: Signed[Operation], tell: Told) -> None:
        """Swallow it."""


class Hider(LedgerNode):
    """Votes like others, and keeps the certificates that it puts together until the end."""

    is_honest = False

    def certified(self, batch: CertifiedBatch) -> None:
        """Show it to nobody for now."""
        self.grid.hidden.append(batch)


class Forgetful(LedgerNode):
    """Its disk is set back when it dies, so it does not know what it voted for."""

    is_honest = False

    def __init__(self, grid: "LedgerGrid", name: str, disk: Disk, skew_ms: int) -> None:
        super().__init__(grid, name, disk, skew_ms)
        self._older = Disk(dict(disk.durable))
        self.after(grid.random.uniform(0, grid.times.faults_seconds), self._copy)

    def _copy(self) -> None:
        self._older = Disk(dict(self.disk.durable))

    @property
    def disk_after_death(self) -> Disk:
        """As it was when it was copied."""
        return self._older


class WrongClock(LedgerNode):
    """Keeps to the rules by a clock that is ten minutes off."""

    def __init__(self, grid: "LedgerGrid", name: str, disk: Disk, skew_ms: int) -> None:
        sign = 1 if skew_ms >= 0 else -1
        super().__init__(grid, name, disk, sign * limits.BROKEN_CLOCK_MS)


FAULTY = (DoubleVoter, DoubleVoter, Withholder, Hider, Forgetful, WrongClock)
"""What a faulty witness is, drawn by lot; the worst twice."""


@dataclass(slots=True)
class _Attempt:
    """Votes gathered for one operation by those who want two of them."""

    operation: Signed[Operation]
    witnesses: WitnessSet
    """Of the epoch in which they are asked."""
    signatures: dict[NodeId, bytes] = field(default_factory=dict)


class Coalition:
    """Asks some witnesses for one operation, others for its rival, and adds up what it gets.

    It is not bound to the ways of an entry node. Double voters sign for both.
    """

    def __init__(self, grid: "LedgerGrid") -> None:
        self._grid = grid
        self._attempts: list[_Attempt] = []

    def attack(self, one: Signed[Operation], other: Signed[Operation]) -> None:
        """Try to get certificates for two operations that exclude each other."""
        grid = self._grid
        witnesses = [node.id for node in grid.nodes.values() if node.archive.is_witness]
        grid.random.shuffle(witnesses)
        cut = grid.random.randint(0, len(witnesses))
        both = [node.id for node in grid.nodes.values() if isinstance(node, DoubleVoter)]
        for operation, asked in ((one, witnesses[:cut]), (other, witnesses[cut:])):
            attempt = _Attempt(operation, grid.witnesses)
            self._attempts.append(attempt)
            for witness in dict.fromkeys([*asked, *both]):
                self._ask(witness, attempt)
            grid.scheduler.after(
                grid.random.uniform(0, limits.ATTACK_SECONDS), self._reveal, attempt
            )

    def tempt(self, witness: NodeId) -> None:
        """Ask a witness that just came back for everything: it may have forgotten a vote."""
        for attempt in self._attempts:
            self._ask(witness, attempt)

    def _ask(self, witness: NodeId, attempt: _Attempt) -> None:
        request = VoteRequest(
            epoch=attempt.witnesses.epoch,
            witness_set_hash=attempt.witnesses.hash,
            operations=(attempt.operation.envelope,),
        )
        self._grid.send(self._grid.ask, witness, request, self._hear, attempt)

    def _hear(self, attempt: _Attempt, witness: NodeId, answer: VoteAnswer) -> None:
        message = vote_message(self._vote(attempt), self._grid.network)
        signature = answer.signature
        key = attempt.witnesses.signing_keys[witness]
        if signature is not None and is_signed_by(key, message, signature):
            attempt.signatures[witness] = signature

    def _reveal(self, attempt: _Attempt) -> None:
        """Show a certificate, if there is one, to some nodes; or to all in the end."""
        grid = self._grid
        certificate = assemble(self._vote(attempt), attempt.signatures, attempt.witnesses)
        if certificate is None:
            return
        envelopes = (attempt.operation.envelope,)
        batch = CertifiedBatch(operations=envelopes, certificate=certificate)
        grid.court.certificate_made(batch, [attempt.operation])
        if grid.random.random() < 0.5:
            grid.hidden.append(batch)
        else:
            for node in grid.nodes.values():
                if node.is_alive and grid.random.random() < 0.5:
                    node.admit(batch)
            for witness, _ in attempt.witnesses.members:  # who voted for the rival may vote again
                self._ask(witness, attempt)

    def _vote(self, attempt: _Attempt) -> Vote:
        return vote_for([attempt.operation.envelope], attempt.witnesses)
