"""A witness: votes at most once for each slot, whatever it is asked and however often it dies.

Rule 1: a vote is in the store before the answer leaves. So every accepted
operation is written, also one voted for before: the first write may still be
under way when the same operation is asked about again. What is certified gets no
other vote: anybody could have it certified anew in any number of batches.
Rule 2: no vote for a second operation in any slot that has a vote or certificate.
Rule 3: an operation follows one that is certified or voted for, by id.
Rule 4: the balance that counts is what is certified, less all that was voted
for since. So whatever the order of certification, no account overdraws.

Pure: the caller verifies signatures before, and stores `changes` after.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from p2pgrid.ledger.rules import Scene, object_to_payload
from p2pgrid.ledger.state import LedgerState
from p2pgrid.limits.ledger import CLOCK_AHEAD_MS_MAX, OPERATIONS_UNDER_WAY_MAX
from p2pgrid.model.certificate import Reason, Refusal
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import CancelEscrow, Operation
from p2pgrid.store.store import Change, Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed

_SEEN_BYTES = 8


@dataclass(slots=True)
class Candidate:
    """An operation whose signature has been checked."""

    signed: Signed[Operation]
    has_usable_keys: bool | None
    """Whether every account that it names is known or a usable key; None: not looked at."""
    slots: tuple[bytes, ...] = field(init=False)
    """Of the operation: hashes, so made once."""

    def __post_init__(self) -> None:
        self.slots = self.signed.record.slots

    @property
    def votes(self) -> tuple[Change, ...]:
        """A vote for it as the store keeps it."""
        identity, envelope = self.signed.id, self.signed.envelope
        operation = (Table.VOTED_OPERATION.key(identity), envelope)
        return operation, *((Table.VOTE.key(slot), identity) for slot in self.slots)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a witness makes of one request."""

    accepted: tuple[RecordId, ...]
    refusals: tuple[Refusal, ...]
    changes: tuple[Change, ...]
    """To be durable before the answer leaves."""


@dataclass(slots=True)
class VoteBook:
    """What this witness has voted for, as far as no certificate has settled it."""

    slots: dict[bytes, RecordId] = field(default_factory=dict)
    operations: dict[RecordId, Signed[Operation]] = field(default_factory=dict)
    places: dict[tuple[AccountId, int], RecordId] = field(default_factory=dict)
    cancel_seen_ms: dict[RecordId, TimestampMs] = field(default_factory=dict)

    def enter(self, candidate: Candidate) -> None:
        """Note a vote."""
        signed, operation = candidate.signed, candidate.signed.record
        self.operations[signed.id] = signed
        self.places[operation.account, operation.sequence] = signed.id
        for slot in candidate.slots:
            self.slots[slot] = signed.id

    def strike(self, identity: RecordId, operation: Operation) -> list[Change]:
        """Forget a vote that is settled by a certificate.

        A vote for another operation in the slot stays: to vote for the
        certified one as well would convict this witness.
        """
        if self.operations.pop(identity, None) is None:
            return []
        self.places.pop((operation.account, operation.sequence), None)
        ours = [slot for slot in operation.slots if self.slots.get(slot) == identity]
        for slot in ours:
            del self.slots[slot]
        votes: list[Change] = [(Table.VOTE.key(slot), None) for slot in ours]
        return [(Table.VOTED_OPERATION.key(identity), None), *votes]

    def forget(self) -> list[Change]:
        """Forget every vote: the epoch that they were given in is over."""
        votes: list[Change] = [(Table.VOTE.key(slot), None) for slot in self.slots]
        operations = [(Table.VOTED_OPERATION.key(identity), None) for identity in self.operations]
        for kept in (self.slots, self.operations, self.places):
            kept.clear()
        return [*votes, *operations]

    def see_cancel(self, escrow: RecordId, now_ms: TimestampMs) -> list[Change]:
        """Note when a cancel was first seen certified; later sightings change nothing.

        A vote for it does not count: nobody else learns of it while its author keeps
        the certificate back.
        """
        if escrow in self.cancel_seen_ms:
            return []
        self.cancel_seen_ms[escrow] = now_ms
        return [(Table.CANCEL_SEEN.key(escrow), now_ms.to_bytes(_SEEN_BYTES, "big"))]


def read_votes(
    operations: Iterable[Signed[Operation]],
    votes: Iterable[tuple[bytes, RecordId]],
    cancels: Iterable[tuple[RecordId, bytes]],
) -> VoteBook:
    """The book as the store remembers it after a restart; `observe` what is certified then.

    Args:
        operations: the table VOTED_OPERATION.
        votes: the table VOTE, (slot, operation id).
        cancels: the table CANCEL_SEEN, (escrow, 8 bytes).
    """
    book = VoteBook(slots=dict(votes))
    for signed in operations:
        book.operations[signed.id] = signed
        book.places[signed.record.account, signed.record.sequence] = signed.id
    for escrow, seen in cancels:
        book.cancel_seen_ms[escrow] = TimestampMs(int.from_bytes(seen, "big"))
    return book


class Witness:
    """Decides which operations one witness votes for.

    Args:
        genesis: the grid's.
        state: the fold of what is certified, kept up to date by the owner.
        convicted: accounts proven to equivocate, kept up to date by the owner.
        book: the votes made so far.
        envelope_of: a certified operation's envelope, for the proof of a conflict.
    """

    def __init__(
        self,
        genesis: Genesis,
        state: LedgerState,
        *,
        convicted: Container[bytes] = (),
        book: VoteBook | None = None,
        envelope_of: Callable[[RecordId], bytes | None] = lambda _: None,
    ) -> None:
        self._network = genesis.network
        self._fee = genesis.pricing.fee
        self._state = state
        self._convicted = convicted
        self._book = VoteBook() if book is None else book
        self._envelope_of = envelope_of

    @property
    def closings(self) -> tuple[Signed[Operation], ...]:
        """Ends of escrows that were voted for and have no certificate yet, the oldest first."""
        voted = self._book.operations.values()
        return tuple(signed for signed in voted if len(signed.record.slots) > 1)

    @property
    def cancel_seen_ms(self) -> Mapping[RecordId, TimestampMs]:
        """When this witness first saw the cancel of an escrow certified."""
        return self._book.cancel_seen_ms

    def judge(self, candidates: Sequence[Candidate], now_ms: TimestampMs) -> Judgement:
        """Vote for what may be voted for, in order: each sees the votes before it."""
        scene = self._scene(now_ms)
        accepted: list[RecordId] = []
        refusals: list[Refusal] = []
        changes: list[Change] = []
        for candidate in candidates:
            refusal = self._object(candidate, scene)
            if refusal is not None:
                refusals.append(refusal)
                continue
            accepted.append(candidate.signed.id)
            changes += self._vote(candidate)
        return Judgement(tuple(accepted), tuple(refusals), tuple(changes))

    def objection(self, candidate: Candidate, now_ms: TimestampMs) -> Reason | None:
        """Why it would not be voted for now; nothing is voted for."""
        refusal = self._object(candidate, self._scene(now_ms))
        return None if refusal is None else refusal.reason

    def _scene(self, now_ms: TimestampMs) -> Scene:
        seen = self._book.cancel_seen_ms
        return Scene(self._state.escrow, self._network, self._fee, now_ms, seen)

    def observe(
        self, operations: Iterable[tuple[RecordId, Operation]], now_ms: TimestampMs
    ) -> list[Change]:
        """Take note of certified operations; gives what to store together with their batch."""
        changes: list[Change] = []
        for identity, operation in operations:
            changes += self._book.strike(identity, operation)
            if isinstance(operation.payload, CancelEscrow):
                changes += self._book.see_cancel(operation.payload.escrow, now_ms)
        return changes

    def forget_votes(self) -> list[Change]:
        """Be free to vote anew, in a new epoch; gives what to store."""
        return self._book.forget()

    def _vote(self, candidate: Candidate) -> list[Change]:
        """Note a vote; gives what must be durable before it leaves."""
        self._book.enter(candidate)
        return [*candidate.votes]

    # --- the rules --------------------------------------------------------------------------------

    def _object(self, candidate: Candidate, scene: Scene) -> Refusal | None:
        identity, operation = candidate.signed.id, candidate.signed.record
        if self._state.is_alarmed:
            return Refusal(operation=identity, reason=Reason.HALTED)
        if self._state.operation(identity) is not None:
            return Refusal(operation=identity, reason=Reason.CERTIFIED)
        holder = self._holder(candidate)
        if holder is not None:
            return self._conflict(identity, holder)
        if identity in self._book.operations:
            return None
        reason = self._object_to_account(operation, scene.now_ms)
        reason = reason or self._object_to_chain(operation)
        reason = reason or _object_to_keys(candidate)
        reason = reason or object_to_payload(operation, scene)
        return None if reason is None else Refusal(operation=identity, reason=reason)

    def _holder(self, candidate: Candidate) -> RecordId | None:
        """Another operation that is certified or voted for in one of the slots."""
        identity = candidate.signed.id
        for slot in candidate.slots:
            for holder in (self._state.certified_in(slot), self._book.slots.get(slot)):
                if holder is not None and holder != identity:
                    return holder
        return None

    def _conflict(self, identity: RecordId, holder: RecordId) -> Refusal:
        voted = self._book.operations.get(holder)
        envelope = self._envelope_of(holder) if voted is None else voted.envelope
        return Refusal(operation=identity, reason=Reason.CONFLICT, conflict=envelope)

    def _object_to_account(self, operation: Operation, now_ms: int) -> Reason | None:
        if operation.account in self._convicted:
            return Reason.CONVICTED
        return Reason.TIME if operation.time_ms > now_ms + CLOCK_AHEAD_MS_MAX else None

    def _object_to_chain(self, operation: Operation) -> Reason | None:
        """Walk from what is in effect over what is under way, adding up what that costs."""
        account = self._state.account(operation.account)
        if operation.sequence > account.sequence + OPERATIONS_UNDER_WAY_MAX:
            return Reason.CHAIN
        previous, time_ms, available = account.head, account.time_ms, account.balance
        for sequence in range(account.sequence, operation.sequence):
            link = self._link(operation.account, sequence)
            if link is None or link[1].previous != previous:
                return Reason.BEHIND
            previous, time_ms = link[0], link[1].time_ms
            available -= link[1].debit
        if operation.previous != previous:
            return Reason.CHAIN
        if operation.time_ms < time_ms:
            return Reason.TIME
        debit = operation.debit
        return Reason.FUNDS if debit > 0 and available < debit else None

    def _link(self, account: AccountId, sequence: int) -> tuple[RecordId, Operation] | None:
        certified = self._state.certified_at(account, sequence)
        if certified is not None:
            return certified
        voted = self._book.places.get((account, sequence))
        return None if voted is None else (voted, self._book.operations[voted].record)


def _object_to_keys(candidate: Candidate) -> Reason | None:
    """Keys that were not looked at, because there were no funds then, are looked at next time."""
    if candidate.has_usable_keys is None:
        return Reason.FUNDS
    return None if candidate.has_usable_keys else Reason.KEY
