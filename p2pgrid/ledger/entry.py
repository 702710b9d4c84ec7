"""An entry node: gathers operations, asks the witnesses, and puts certificates together.

    submit ─> queue ─every 100 ms or 200 operations─> proposal ─ask─> each witness
                ^                                        │
                └── refused by some, may pass later ─────┤ answers
                                                         ├─ quorum for one root ─> Certified
                                                         └─ quorum accepts a part ─> proposal of it

Any full node can be one, and there may be many at once: a witness may vote for one
operation in several batches, and never for two in one slot. So nothing
here can break the ledger; an entry node that is wrong only wastes time.

Pure: events come in with the time, effects go out. `wake_at` says when to call `poll`.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from itertools import count

from p2pgrid.errors import BadSignature, BrokenProtocol
from p2pgrid.ledger.certificate import WitnessSet, assemble, vote_for, vote_message
from p2pgrid.ledger.rules import MAY_PASS
from p2pgrid.limits.ledger import (
    BATCH_INTERVAL_MS,
    BATCH_OPERATION_BYTES_MAX,
    ENTRY_OPERATIONS_MAX,
    ENTRY_PROPOSALS_MAX,
    OPERATIONS_PER_BATCH_MAX,
    PROPOSAL_PATIENCE_MS,
    REFUSED_RETRY_MS,
    WITNESS_RETRY_MS_MAX,
    WITNESS_RETRY_MS_MIN,
)
from p2pgrid.model.certificate import CertifiedBatch, Reason, Refusal, VoteAnswer, VoteRequest
from p2pgrid.model.ids import NetworkId, NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed, is_signed_by


@dataclass(frozen=True, slots=True)
class Ask:
    """Effect: send this to each of these witnesses, and bring answers or failures back."""

    proposal: int
    witnesses: tuple[NodeId, ...]
    request: VoteRequest


@dataclass(frozen=True, slots=True)
class Certified:
    """Effect: these operations have a certificate. Store it, then tell who waits."""

    batch: CertifiedBatch
    operations: tuple[Signed[Operation], ...]


@dataclass(frozen=True, slots=True)
class Turned:
    """Effect: so much weight refuses an operation that it cannot be certified as things are."""

    operation: Signed[Operation]
    reason: Reason
    conflict: bytes | None
    """The other operation in the slot, when that is the reason; not verified."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Effect: a witness holds another operation for a slot of this one; not verified."""

    operation: Signed[Operation]
    conflict: bytes


Effect = Ask | Certified | Turned | Clash


@dataclass(slots=True)
class _Ticket:
    """One operation, from its submission to its end."""

    signed: Signed[Operation]
    not_before_ms: int
    is_proposed: bool = False


@dataclass(slots=True)
class _Proposal:
    operations: tuple[Signed[Operation], ...]
    unasked: set[NodeId]
    asked: set[NodeId] = field(default_factory=set)
    refusals: dict[NodeId, dict[RecordId, Refusal]] = field(default_factory=dict)
    votes: dict[frozenset[RecordId], dict[NodeId, bytes]] = field(default_factory=dict)
    """What is left out, to the signatures over the rest."""
    settle_at_ms: int | None = None
    """When to stop waiting for those that have not answered; set once a quorum has."""

    def without(self, refused: Container[RecordId]) -> tuple[Signed[Operation], ...]:
        return tuple(one for one in self.operations if one.id not in refused)

    def accepting(self, operation: RecordId) -> frozenset[NodeId]:
        """Who voted for one operation."""
        return frozenset(key for key, refused in self.refusals.items() if operation not in refused)


@dataclass(slots=True)
class _Health:
    """Whether a witness answers; one that does not is asked less and less often."""

    pause_ms: int = 0
    not_before_ms: int = 0


class Entry:
    """The state of one entry node. Lost with the process: submitters submit again."""

    def __init__(self, witnesses: WitnessSet, network: NetworkId) -> None:
        self._witnesses = witnesses
        self._network = network
        self._tickets: dict[RecordId, _Ticket] = {}
        self._proposals: dict[int, _Proposal] = {}
        self._health = {key: _Health() for key, _ in witnesses.members}
        self._numbers = count()

    @property
    def has_room(self) -> bool:
        """Whether one more operation may be submitted; otherwise the submitter is told to wait."""
        return len(self._tickets) < ENTRY_OPERATIONS_MAX

    @property
    def under_way(self) -> int:
        """Operations that are neither certified nor refused."""
        return len(self._tickets)

    def submit(self, signed: Signed[Operation], now_ms: TimestampMs) -> None:
        """Take a verified operation; one that is under way already changes nothing."""
        if signed.id not in self._tickets:
            assert self.has_room
            self._tickets[signed.id] = _Ticket(signed, now_ms + BATCH_INTERVAL_MS)

    def forget(self, operation: RecordId) -> None:
        """Drop one that got its certificate elsewhere, or that nobody waits for."""
        self._tickets.pop(operation, None)

    def retry(self, operation: RecordId, now_ms: TimestampMs) -> None:
        """Propose a refused operation again a little later."""
        ticket = self._tickets.get(operation)
        if ticket is not None:
            ticket.is_proposed = False
            ticket.not_before_ms = now_ms + REFUSED_RETRY_MS

    @property
    def wake_at(self) -> TimestampMs | None:
        """When `poll` has something to do next, as far as is known; None: when something comes."""
        times: list[int] = []
        if len(self._proposals) < ENTRY_PROPOSALS_MAX:  # else an answer must come first
            times += [one.not_before_ms for one in self._tickets.values() if not one.is_proposed]
        for proposal in self._proposals.values():
            times += [self._health[key].not_before_ms for key in proposal.unasked]
            times += [] if proposal.settle_at_ms is None else [proposal.settle_at_ms]
        return TimestampMs(min(times)) if times else None

    def poll(self, now_ms: TimestampMs) -> list[Effect]:
        """Do what is due: new proposals, questions to witnesses, ends of patience."""
        effects: list[Effect] = []
        for number, proposal in list(self._proposals.items()):
            if not any(one.id in self._tickets for one in proposal.operations):
                del self._proposals[number]
            else:
                effects += self._settle_if_due(number, now_ms)
        while len(self._proposals) < ENTRY_PROPOSALS_MAX and (batch := self._batch(now_ms)):
            self._propose(batch)
        for number, proposal in self._proposals.items():
            effects += self._ask(number, proposal, now_ms)
        return effects

    def receive(
        self, number: int, witness: NodeId, answer: VoteAnswer, now_ms: TimestampMs
    ) -> list[Effect]:
        """Take a witness's answer.

        Raises:
            PeerError: it is not an answer to what was asked; counts as no answer.
        """
        self._health[witness] = _Health()
        proposal = self._proposals.get(number)
        if proposal is None or witness not in proposal.asked or witness in proposal.refusals:
            return []
        effects = self._take(proposal, witness, answer)
        certified = self._certify(number, proposal, now_ms)
        if certified:
            return [*effects, *certified]
        if self._weight(proposal.refusals) >= self._witnesses.quorum:
            proposal.settle_at_ms = proposal.settle_at_ms or now_ms + PROPOSAL_PATIENCE_MS
        return [*effects, *self._settle_if_due(number, now_ms), *self.poll(now_ms)]

    def fail(self, number: int, witness: NodeId, now_ms: TimestampMs) -> None:
        """A witness gave no usable answer: ask it again after a pause that doubles."""
        health = self._health[witness]
        if health.not_before_ms <= now_ms:
            health.pause_ms = min(
                max(WITNESS_RETRY_MS_MIN, 2 * health.pause_ms), WITNESS_RETRY_MS_MAX
            )
            health.not_before_ms = now_ms + health.pause_ms
        proposal = self._proposals.get(number)
        if proposal is not None and witness in proposal.asked - proposal.refusals.keys():
            proposal.asked.remove(witness)
            proposal.unasked.add(witness)

    # --- proposals --------------------------------------------------------------------------------

    def _batch(self, now_ms: int) -> list[_Ticket]:
        """The operations of the next proposal; empty while it is better to gather more."""
        waiting = [one for one in self._tickets.values() if not one.is_proposed]
        due = [one for one in waiting if one.not_before_ms <= now_ms]
        if not due and len(waiting) < OPERATIONS_PER_BATCH_MAX:
            return []
        waiting = [one for one in waiting if one.not_before_ms <= now_ms + BATCH_INTERVAL_MS]
        chosen: list[_Ticket] = []
        room_bytes = BATCH_OPERATION_BYTES_MAX
        for ticket in waiting[:OPERATIONS_PER_BATCH_MAX]:
            room_bytes -= len(ticket.signed.envelope)
            if room_bytes < 0:
                break
            chosen.append(ticket)
        return chosen

    def _propose(self, tickets: Iterable[_Ticket]) -> None:
        tickets = list(tickets)
        for ticket in tickets:
            ticket.is_proposed = True
        operations = sorted(
            (ticket.signed for ticket in tickets), key=lambda one: one.record.sequence
        )
        keys = {key for key, _ in self._witnesses.members}
        self._proposals[next(self._numbers)] = _Proposal(tuple(operations), keys)

    def _ask(self, number: int, proposal: _Proposal, now_ms: int) -> list[Effect]:
        ready = sorted(key for key in proposal.unasked if self._health[key].not_before_ms <= now_ms)
        if not ready:
            return []
        proposal.unasked.difference_update(ready)
        proposal.asked.update(ready)
        request = VoteRequest(
            epoch=self._witnesses.epoch,
            witness_set_hash=self._witnesses.hash,
            operations=tuple(one.envelope for one in proposal.operations),
        )
        return [Ask(number, tuple(ready), request)]

    def _take(self, proposal: _Proposal, witness: NodeId, answer: VoteAnswer) -> list[Effect]:
        """Check an answer and note it."""
        refused = {refusal.operation: refusal for refusal in answer.refusals}
        operations = {one.id: one for one in proposal.operations}
        if len(refused) != len(answer.refusals) or not refused.keys() <= operations.keys():
            raise BrokenProtocol("a witness refused what it was not asked")
        if (len(refused) < len(operations)) != (answer.signature is not None):
            raise BrokenProtocol("a witness signed nothing, or signed without accepting anything")
        if answer.signature is not None:
            left = [one.envelope for one in proposal.without(refused)]
            vote = vote_for(left, self._witnesses)
            key = self._witnesses.signing_keys[witness]
            if not is_signed_by(key, vote_message(vote, self._network), answer.signature):
                raise BadSignature("a vote is not signed by its witness")
            proposal.votes.setdefault(frozenset(refused), {})[witness] = answer.signature
        proposal.refusals[witness] = refused
        return [
            Clash(operations[identity], refusal.conflict)
            for identity, refusal in refused.items()
            if refusal.conflict is not None
        ]

    def _certify(self, number: int, proposal: _Proposal, now_ms: int) -> list[Effect]:
        for refused, signatures in proposal.votes.items():
            if self._weight(signatures) < self._witnesses.quorum:
                continue
            operations = proposal.without(refused)
            vote = vote_for([one.envelope for one in operations], self._witnesses)
            certificate = assemble(vote, signatures, self._witnesses)
            assert certificate is not None, "the weight was there"
            for one in operations:
                self._tickets.pop(one.id, None)
            batch = CertifiedBatch(
                operations=tuple(one.envelope for one in operations), certificate=certificate
            )
            done = Certified(batch, operations)
            return [done, *self._close(number, now_ms), *self.poll(TimestampMs(now_ms))]
        return []

    def _settle_if_due(self, number: int, now_ms: int) -> list[Effect]:
        """When the answers that came cannot certify all of it, go on with what they can."""
        proposal = self._proposals[number]
        answered = self._weight(proposal.refusals)
        if proposal.settle_at_ms is None or answered < self._witnesses.quorum:
            return []
        if answered < self._witnesses.total and now_ms < proposal.settle_at_ms:
            return []
        return self._close(number, now_ms)

    def _close(self, number: int, now_ms: int) -> list[Effect]:
        """End a proposal; what is left of it goes on at once, or later, or is turned away.

        Operations that the same witnesses accept go on together: those will
        sign the same root then, so that no proposal is repeated for nothing.
        """
        proposal = self._proposals.pop(number)
        again: dict[frozenset[NodeId], list[_Ticket]] = {}
        effects: list[Effect] = []
        for one in proposal.operations:
            ticket = self._tickets.get(one.id)
            if ticket is None:
                continue
            accepting = proposal.accepting(one.id)
            if self._weight(accepting) >= self._witnesses.quorum:
                again.setdefault(accepting, []).append(ticket)
                continue
            self.retry(one.id, TimestampMs(now_ms))
            effects += self._turn(one, proposal)
        for tickets in again.values():
            self._propose(tickets)
        return effects

    def _turn(self, one: Signed[Operation], proposal: _Proposal) -> list[Effect]:
        """Say why, when those that refuse are too many for a quorum of the others."""
        refusals = {
            witness: refused[one.id]
            for witness, refused in proposal.refusals.items()
            if one.id in refused
        }
        lasting = {
            witness: refusal
            for witness, refusal in refusals.items()
            if refusal.reason not in MAY_PASS
        }
        enough = self._witnesses.total - self._witnesses.quorum
        for blocking in (lasting, refusals):
            if self._weight(blocking) > enough:
                reason = _heaviest(blocking, self._witnesses)
                conflicts = [one.conflict for one in blocking.values() if one.conflict is not None]
                return [Turned(one, reason, next(iter(conflicts), None))]
        return []

    def _weight(self, witnesses: Iterable[NodeId]) -> int:
        return sum(self._witnesses.weight_of(one) for one in witnesses)


def _heaviest(refusals: dict[NodeId, Refusal], witnesses: WitnessSet) -> Reason:
    """The reason that most weight gives; the lower number when equal."""
    weights: dict[Reason, int] = {}
    for witness, refusal in refusals.items():
        weights[refusal.reason] = weights.get(refusal.reason, 0) + witnesses.weight_of(witness)
    return min(weights, key=lambda reason: (-weights[reason], reason))
