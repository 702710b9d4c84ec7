"""Gets operations certified: gives the entry node its network, and those who wait their result."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import trio

from p2pgrid.errors import Conflicting, GridError, PeerError, Refused, StoreFailed, Unreachable
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, batch_id
from p2pgrid.ledger.entry import Ask, Certified, Clash, Effect, Entry, Turned
from p2pgrid.ledger.evidence import convict_account
from p2pgrid.ledger.rules import MAY_PASS, may_pay, refused
from p2pgrid.ledger.witness import Candidate
from p2pgrid.limits.ledger import (
    CLOSINGS_FINISHED_AT_ONCE,
    ENTRY_DOUBTFUL_PER_PEER_MAX,
    LEDGER_PENDING_RETRY_SECONDS,
    SUBMIT_SECONDS_MAX,
    WITNESS_ANSWER_SECONDS_MAX,
)
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation, Reason, VoteAnswer
from p2pgrid.model.ids import NodeId, RecordId, short
from p2pgrid.model.operation import Operation
from p2pgrid.net.network import blaming
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, verify

log = logging.getLogger(__name__)


class Surroundings(Protocol):
    """What the quorum needs from the ledger service around it."""

    def blame(self, peer: NodeId) -> None:
        """A witness answered with what is invalid."""
        ...

    async def ask_witness(self, witness: NodeId, body: bytes) -> bytes:
        """Have one witness vote. Raises GridError."""
        ...

    async def keep(self, verified: Verified) -> None:
        """Store a batch that was certified here durably, then tell the grid. Raises StoreFailed."""
        ...

    async def learn(self, batch: CertifiedBatch) -> None:
        """Take in a batch that a witness says is certified. Raises PeerError."""
        ...

    async def convict(self, evidence: Equivocation) -> None:
        """Store a proof of equivocation and tell the grid."""
        ...


@dataclass(slots=True)
class _Waiting:
    """Somebody wants one operation certified."""

    signed: Signed[Operation]
    done: trio.Event = field(default_factory=trio.Event)
    count: int = 0
    error: Callable[[], GridError] | None = None
    clashed: bool = False

    def finish(self, error: Callable[[], GridError] | None = None) -> None:
        self.error = error
        self.done.set()


def _conflicting(operation: Operation) -> Conflicting:
    return Conflicting(
        f"account {short(operation.account)} signed another operation for place "
        f"{operation.sequence}; the proof is in `p2pgrid ledger evidence`"
    )


class Quorum:
    """The shell of `Entry`. One task calls `run`."""

    def __init__(
        self, archive: Archive, around: Surroundings, now_ms: Callable[[], TimestampMs]
    ) -> None:
        self._archive = archive
        self._around = around
        self._now_ms = now_ms
        self._entry = Entry(archive.witnesses, archive.network)
        self._waiting: dict[RecordId, _Waiting] = {}
        self._doubtful: Counter[NodeId] = Counter()
        """Of each submitting peer: what it waits for although it could not be certified here."""
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None

    async def certify(self, signed: Signed[Operation], *, submitter: NodeId | None = None) -> None:
        """Return when a verified operation has a certificate, which is durable here.

        May be called again for the same operation, at any time and from any node.

        Args:
            signed: the operation.
            submitter: the peer that wants it certified, if it is not this node.

        Raises:
            Refused: it cannot be certified as things are.
            Conflicting: its account signed another one for the same place.
            Unreachable: too few witnesses answered in time; it may be certified later.
        """
        if self._archive.is_kept(signed.id):
            return
        with self._room_for(signed, submitter):
            await self._certify(signed)

    @contextmanager
    def _room_for(self, signed: Signed[Operation], submitter: NodeId | None) -> Iterator[None]:
        """Let a peer have few operations under way that cannot be certified by what we know.

        Each holds a ticket until it times out, and spoils the proposals that it is in.
        Who cannot pay for one costs the grid work for nothing, and is not let in at all.
        """
        if submitter is None or self._objection(signed) in (None, Reason.CERTIFIED):
            yield
            return
        if not may_pay(signed.record, self._archive.state):
            raise refused(Reason.FUNDS, signed.record)
        if self._doubtful[submitter] >= ENTRY_DOUBTFUL_PER_PEER_MAX:
            raise Refused(
                "this node does not know what these operations build on; try again, or another"
            )
        self._doubtful[submitter] += 1
        try:
            yield
        finally:
            self._doubtful[submitter] -= 1
            if not self._doubtful[submitter]:
                del self._doubtful[submitter]

    async def _certify(self, signed: Signed[Operation]) -> None:
        waiting = self._waiting.get(signed.id)
        if waiting is None:
            if not self._entry.has_room:
                raise Refused("this node has too many operations under way; try again, or another")
            waiting = self._waiting[signed.id] = _Waiting(signed)
            self._entry.submit(signed, self._now_ms())
            self._wake.set()
        waiting.count += 1
        try:
            with trio.move_on_after(SUBMIT_SECONDS_MAX):
                await waiting.done.wait()
        finally:
            waiting.count -= 1
            if not waiting.count and self._waiting.get(signed.id) is waiting:
                del self._waiting[signed.id]
                self._entry.forget(signed.id)
        if waiting.error is not None:
            raise waiting.error()
        if not waiting.done.is_set():
            raise self._timed_out(signed.record, waiting)

    def _timed_out(self, operation: Operation, waiting: _Waiting) -> GridError:
        if waiting.clashed:
            return _conflicting(operation)
        return Unreachable(
            f"no certificate within {SUBMIT_SECONDS_MAX:g} s: witnesses of weight "
            f"{self._archive.witnesses.quorum} must answer; it may be certified later"
        )

    def settled(self, operations: Iterable[tuple[RecordId, Operation]]) -> None:
        """Take note of operations whose certificate is stored here, wherever it came from."""
        for identity, _ in operations:
            self._entry.forget(identity)
            if identity in self._waiting:
                self._waiting.pop(identity).finish()

    def renew(self) -> None:
        """Ask the witnesses of the epoch that has begun for all that has no certificate yet."""
        self._entry = Entry(self._archive.witnesses, self._archive.network)
        for waiting in self._waiting.values():
            self._entry.submit(waiting.signed, self._now_ms())
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._finish_closings)
            while True:
                self._wake = trio.Event()
                self._perform(self._entry.poll(self._now_ms()))
                with trio.move_on_after(self._pause_seconds()):
                    await self._wake.wait()

    async def _finish_closings(self) -> None:
        """See to it that ends of escrows which this witness voted for get their certificate.

        Two accounts may close an escrow. Were one to gather some votes and then
        vanish, the other could sign its own closing, never get it certified, and be blocked.
        """
        before: set[RecordId] = set()
        while True:
            await trio.sleep(LEDGER_PENDING_RETRY_SECONDS)
            closings = self._archive.witness.closings
            old = [one for one in closings if one.id in before][:CLOSINGS_FINISHED_AT_ONCE]
            async with trio.open_nursery() as nursery:
                for one in old:
                    nursery.start_soon(self._finish_closing, one)
            before = {one.id for one in closings}

    async def _finish_closing(self, signed: Signed[Operation]) -> None:
        try:
            await self.certify(signed)
        except GridError as error:
            log.debug("escrow is half closed by %s: %s", short(signed.id), error)

    def _pause_seconds(self) -> float:
        wake_at = self._entry.wake_at
        if wake_at is None:
            return float("inf")
        return max(0, wake_at - self._now_ms()) / SECOND_MS

    # --- effects ----------------------------------------------------------------------------------

    def _perform(self, effects: Iterable[Effect]) -> None:
        assert self._nursery is not None
        for effect in effects:
            match effect:
                case Ask(proposal=proposal, witnesses=witnesses, request=request):
                    body, entry = encode(request), self._entry
                    for witness in witnesses:
                        self._nursery.start_soon(self._ask, entry, proposal, witness, body)
                case Certified():
                    self._nursery.start_soon(self._keep, effect)
                case Turned():
                    self._nursery.start_soon(self._turn, effect)
                case Clash(operation=operation, conflict=conflict):
                    self._nursery.start_soon(self._convict, operation, conflict)

    async def _ask(self, entry: Entry, proposal: int, witness: NodeId, body: bytes) -> None:
        try:
            with trio.fail_after(WITNESS_ANSWER_SECONDS_MAX):
                data = await self._around.ask_witness(witness, body)
            with blaming(self._around, witness):
                answer = decode(VoteAnswer, data, bytes_max=FRAME_BYTES_MAX)
                for batch in answer.certified:
                    await self._around.learn(batch)
                effects = entry.receive(proposal, witness, answer, self._now_ms())
        except (GridError, trio.TooSlowError) as error:
            level = logging.WARNING if isinstance(error, PeerError) else logging.DEBUG
            log.log(level, "witness %s gives no vote: %r", short(witness), error)
            entry.fail(proposal, witness, self._now_ms())
        else:
            if entry is self._entry:  # else its epoch has ended, and all is asked anew
                self._perform(effects)
        self._wake.set()

    async def _keep(self, certified: Certified) -> None:
        if certified.batch.certificate.epoch < self._archive.epochs.settled:
            self.renew()  # the epoch ended while this was on its way: it is void
            return
        operations = tuple((one.id, one.record) for one in certified.operations)
        identity = batch_id(certified.batch.certificate)
        try:
            await self._around.keep(Verified(identity, operations, certified.batch))
        except StoreFailed as error:
            text = str(error)
            for one in certified.operations:
                if one.id in self._waiting:
                    self._waiting.pop(one.id).finish(lambda: StoreFailed(text))

    async def _turn(self, turned: Turned) -> None:
        operation = turned.operation
        waiting = self._waiting.get(operation.id)
        if waiting is None or self._may_pass(turned):
            return
        error: Callable[[], GridError] = lambda: refused(turned.reason, operation.record)  # noqa: E731 - one of two
        if turned.conflict is not None and await self._convict(operation, turned.conflict):
            error = lambda: _conflicting(operation.record)  # noqa: E731 - the other
        if self._waiting.pop(operation.id, None) is waiting:
            self._entry.forget(operation.id)
            waiting.finish(error)

    def _may_pass(self, turned: Turned) -> bool:
        """Whether witnesses that caught up may think better of it: when we see no objection."""
        if turned.reason in (Reason.BEHIND, Reason.CERTIFIED):
            return True
        if turned.reason not in MAY_PASS:
            return False
        return self._objection(turned.operation) is None

    def _objection(self, signed: Signed[Operation]) -> Reason | None:
        """Why we would not vote for it, as far as we know."""
        candidate = Candidate(signed, has_usable_keys=True)
        return self._archive.witness.objection(candidate, self._now_ms())

    async def _convict(self, operation: Signed[Operation], conflict: bytes) -> bool:
        """Make what a witness holds against an operation public, if it proves anything."""
        try:
            other = verify(Operation, conflict, self._archive.network)
        except PeerError:
            return False
        evidence = convict_account(operation, other)
        if evidence is None:
            return False
        if operation.id in self._waiting:
            self._waiting[operation.id].clashed = True
        await self._around.convict(evidence)
        return True
