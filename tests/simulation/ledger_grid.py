"""A simulated grid of ledger nodes: the real pure cores under one seeded scheduler.

Every node is a witness and an entry node. Messages are late, lost and doubled; nodes die at any
moment and keep only what was durable; clients spend twice, through several
entry nodes, and more than they have. Everything follows from the seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from p2pgrid.errors import PeerError
from p2pgrid.ledger.certificate import (
    WitnessSet,
    first_witnesses,
    verify_batch,
    vote_for,
    vote_message,
)
from p2pgrid.ledger.entry import Ask, Certified, Effect, Entry, Turned
from p2pgrid.ledger.rules import MAY_PASS
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.witness import Candidate, Witness, read_votes
from p2pgrid.limits.ledger import CERTIFIED_PER_ANSWER
from p2pgrid.model.certificate import CertifiedBatch, Reason, VoteAnswer
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.simulation.disk import Disk
from p2pgrid.store.store import Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, open_envelope, record_id, sign_message
from tests.ledger.grids import (
    FEE,
    NOW,
    START,
    Chain,
    account_of,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)

CLIENTS = ("alice", "bob", "mallory")
CALM_MS = 2_500
"""Faults happen before, then everything heals."""
END_MS = 12_000


class Violated(AssertionError):
    """A safety rule did not hold."""


@dataclass(frozen=True)
class Rules:
    """What a mutant breaks."""

    witness: type[Witness] = Witness
    witnesses: Callable[[Genesis], WitnessSet] = first_witnesses
    answers_before_durable: bool = False


class Node:
    """One incarnation of a node: from a start to its death."""

    def __init__(self, grid: "Grid", name: str, disk: Disk) -> None:
        self.grid, self.name, self.disk = grid, name, disk
        self.id = node_of(name)
        self.is_alive = True
        self.state = LedgerState(grid.genesis)
        self.batches: dict[bytes, CertifiedBatch] = {}
        self.batch_with: dict[RecordId, CertifiedBatch] = {}
        self.entry = Entry(grid.witnesses, grid.network)
        self.told: set[RecordId] = set()
        stored = [self._fold(decode(CertifiedBatch, data)) for _, data in disk.table(Table.BATCH)]
        book = read_votes(
            [grid.open(data) for _, data in disk.table(Table.VOTED_OPERATION)],
            [(slot, RecordId(identity)) for slot, identity in disk.table(Table.VOTE)],
            [(RecordId(escrow), seen) for escrow, seen in disk.table(Table.CANCEL_SEEN)],
        )
        self.witness = grid.rules.witness(grid.genesis, self.state, book=book)
        for operations in stored:
            self.disk.write(self.witness.observe(operations, grid.clock))

    # --- as an entry node -------------------------------------------------------------------------

    def submit(self, signed: Signed[Operation]) -> None:
        if self.state.operation(signed.id) is not None:
            self.grid.client_hears(self, signed)
            return
        self.entry.submit(signed, self.grid.clock)
        self.poll()

    def poll(self) -> None:
        if not self.is_alive:
            return
        self.perform(self.entry.poll(self.grid.clock))
        wake_at = self.entry.wake_at
        if wake_at is not None and self.grid.clock - NOW < END_MS:
            self.grid.at(max(wake_at - self.grid.clock, 5), self.poll)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask(witnesses=witnesses):
                    for witness in witnesses:
                        self.ask(effect, witness)
                case Certified(batch=batch, operations=operations):
                    self.grid.certified(batch)
                    self.store_then_tell(batch, operations)
                case Turned(operation=operation, reason=reason):
                    if reason not in MAY_PASS:
                        self.entry.forget(operation.id)
                case _:
                    pass

    def ask(self, ask: Ask, witness: NodeId) -> None:
        operations = [self.grid.open(one) for one in ask.request.operations]
        lost = self.grid.send(lambda: self.grid.nodes[witness].vote(self, ask.proposal, operations))
        self.grid.at(600 if lost else 1500, lambda: self.no_answer(ask.proposal, witness))

    def no_answer(self, proposal: int, witness: NodeId) -> None:
        if self.is_alive:
            self.entry.fail(proposal, witness, self.grid.clock)
            self.poll()

    def hear_vote(self, proposal: int, witness: NodeId, answer: VoteAnswer) -> None:
        if self.is_alive:
            for batch in answer.certified:
                self.accept(batch)
            try:
                self.perform(self.entry.receive(proposal, witness, answer, self.grid.clock))
            except PeerError:
                self.entry.fail(proposal, witness, self.grid.clock)
            self.poll()

    def store_then_tell(
        self, batch: CertifiedBatch, operations: Sequence[Signed[Operation]]
    ) -> None:
        """As the service does: durable first, then the submitter hears of it."""

        def durable() -> None:
            if self.is_alive:
                self.accept(batch)
                self.disk.commit(())
                for one in operations:
                    self.grid.client_hears(self, one)
                for node in self.grid.nodes.values():
                    self.grid.send(lambda node=node: node.accept(batch))  # type: ignore[misc]  # binds the loop variable

        self.grid.at(self.grid.random.randint(0, 10), durable)

    # --- as a replica -----------------------------------------------------------------------------

    def accept(self, batch: CertifiedBatch) -> None:
        if not self.is_alive or batch.certificate.root in self.batches:
            return
        operations = self._fold(batch)
        changes = self.witness.observe(operations, self.grid.clock)
        self.disk.write([(Table.BATCH.key(batch.certificate.root), encode(batch)), *changes])
        for identity, _ in operations:
            self.entry.forget(identity)
        if self.state.total != self.grid.supply:
            raise Violated("money was made or lost")

    def _fold(self, batch: CertifiedBatch) -> tuple[tuple[RecordId, Operation], ...]:
        verified = verify_batch(batch, self.grid.witnesses, self.grid.network)
        self.batches[verified.root] = batch
        self.batch_with |= {identity: batch for identity, _ in verified.operations}
        self.state.add(verified.operations)
        return verified.operations

    # --- as a witness -----------------------------------------------------------------------------

    def vote(self, asker: "Node", proposal: int, operations: list[Signed[Operation]]) -> None:
        if not self.is_alive:
            return
        judged = self.witness.judge([Candidate(one, True) for one in operations], self.grid.clock)
        signature = None
        if judged.accepted:
            envelopes = [one.envelope for one in operations if one.id in judged.accepted]
            message = vote_message(vote_for(envelopes, self.grid.witnesses), self.grid.network)
            signature = sign_message(message, key_of(self.name))
        certified = {
            batch.certificate.root: batch
            for refusal in judged.refusals
            if refusal.reason is Reason.CERTIFIED
            for batch in [self.batch_with[refusal.operation]]
        }
        answer = VoteAnswer(
            refusals=judged.refusals,
            signature=signature,
            certified=tuple(certified.values())[:CERTIFIED_PER_ANSWER],
        )
        accepted = [one for one in operations if one.id in judged.accepted]

        def leave() -> None:
            if self.is_alive:
                self.grid.vote_left(self, accepted)
                self.grid.send(lambda: asker.hear_vote(proposal, self.id, answer))

        def durable() -> None:
            if self.is_alive:
                self.disk.commit(judged.changes)
                if not self.grid.rules.answers_before_durable:
                    leave()

        self.grid.at(self.grid.random.randint(0, 20), durable)
        if self.grid.rules.answers_before_durable:
            leave()


class Client:
    """Signs operations and wants them certified, through any entry node."""

    def __init__(self, grid: "Grid", name: str) -> None:
        self.grid, self.name = grid, name
        self.chain = Chain(grid.genesis, name)
        self.pending: list[Signed[Operation]] = []
        self.done = 0

    @property
    def is_honest(self) -> bool:
        return self.name != "mallory"

    def act(self) -> None:
        """Sign what is next, when nothing is pending; send what is pending."""
        if self.grid.clock - NOW > END_MS:
            return
        if not self.pending and self.done < self.grid.operations_each:
            self.pending = self._sign()
        for signed in self.pending:
            node = self.grid.random.choice(list(self.grid.nodes.values()))
            self.grid.send(lambda node=node, signed=signed: node.submit(signed))  # type: ignore[misc]  # binds the loop variables
        self.grid.at(self.grid.random.randint(100, 500), self.act)

    def _sign(self) -> list[Signed[Operation]]:
        random, balance = self.grid.random, START // self.grid.operations_each - FEE
        if self.is_honest:
            return [self.chain.fork(pay(random.choice(CLIENTS), random.randint(1, balance)))]
        if random.random() < 0.3:
            return [self.chain.fork(pay("bob", START * 3))]
        return [self.chain.fork(pay(name, random.randint(1, balance))) for name in CLIENTS[:2]]

    def hear(self, signed: Signed[Operation]) -> None:
        """An entry node says that it is certified."""
        if signed in self.pending:
            self.chain.operations.append(signed)
            self.pending, self.done = [], self.done + 1


class Grid:
    """Everything, and the rules that must hold."""

    def __init__(self, seed: int, witness_count: int, rules: Rules, operations_each: int) -> None:
        self.random = Random(seed)
        self.rules, self.operations_each = rules, operations_each
        self.genesis = genesis_of(witness_count, tuple((name, START) for name in CLIENTS))
        self.network = self.genesis.network
        self.witnesses = rules.witnesses(self.genesis)
        self.supply = START * len(CLIENTS)
        self.clock = NOW
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.in_slot: dict[bytes, RecordId] = {}
        self.left: dict[tuple[NodeId, bytes], RecordId] = {}
        self.told: set[RecordId] = set()
        self._opened: dict[bytes, Signed[Operation]] = {}
        names = witness_names(witness_count)
        self.nodes = {node_of(name): Node(self, name, Disk()) for name in names}
        self.clients = {name: Client(self, name) for name in CLIENTS}

    # --- scheduling -------------------------------------------------------------------------------

    def at(self, delay_ms: int, event: Callable[[], None]) -> None:
        heappush(self._events, (self.clock + delay_ms, next(self._order), event))

    @property
    def is_calm(self) -> bool:
        return self.clock - NOW >= CALM_MS

    def send(self, event: Callable[[], None]) -> bool:
        """Deliver later, maybe twice, maybe never; whether it was lost."""
        if not self.is_calm and self.random.random() < 0.1:
            return True
        self.at(self.random.randint(5, 80), event)
        if not self.is_calm and self.random.random() < 0.05:
            self.at(self.random.randint(5, 400), event)
        return False

    def run(self) -> None:
        for client in self.clients.values():
            self.at(self.random.randint(0, 50), client.act)
        for _ in range(self.random.randint(2, 8)):
            self.at(self.random.randint(20, CALM_MS), self._crash)
        self.at(300, self._reconcile)
        while self._events:
            at, _, event = heappop(self._events)
            if at - NOW > END_MS:
                break
            self.clock = TimestampMs(at)
            event()
            if self._is_done():
                break
        self._check_the_end()

    def _crash(self) -> None:
        node = self.random.choice(list(self.nodes.values()))
        node.is_alive = False
        node.disk.lose_power(self.random)
        dead_ms = self.random.randint(1, 400)

        def restart() -> None:
            if not self.nodes[node.id].is_alive:
                self.nodes[node.id] = Node(self, node.name, node.disk)

        self.at(dead_ms, restart)

    def _reconcile(self) -> None:
        alive = [node for node in self.nodes.values() if node.is_alive]
        if len(alive) > 1:
            one, other = self.random.sample(alive, 2)
            for batch in list(other.batches.values()):
                one.accept(batch)
        self.at(150, self._reconcile)

    # --- what must hold ---------------------------------------------------------------------------

    def open(self, envelope: bytes) -> Signed[Operation]:
        """Decode without the cost of verifying: nobody forges signatures here."""
        if envelope not in self._opened:
            body = open_envelope(envelope).body
            identity = record_id(RecordKind.OPERATION, body, self.network)
            self._opened[envelope] = Signed(decode(Operation, body), identity, envelope)
        return self._opened[envelope]

    def vote_left(self, node: Node, operations: Sequence[Signed[Operation]]) -> None:
        for one in operations:
            for slot in one.record.slots:
                if self.left.setdefault((node.id, slot), one.id) != one.id:
                    raise Violated("a witness contradicts a vote that left it")

    def certified(self, batch: CertifiedBatch) -> None:
        for envelope in batch.operations:
            signed = self.open(envelope)
            for slot in signed.record.slots:
                if self.in_slot.setdefault(slot, signed.id) != signed.id:
                    raise Violated("two operations are certified in one slot")

    def client_hears(self, node: Node, signed: Signed[Operation]) -> None:
        self.told.add(signed.id)
        name = next(one for one in CLIENTS if account_of(one) == signed.record.account)
        self.clients[name].hear(signed)

    def _is_done(self) -> bool:
        return self.is_calm and all(
            client.done == self.operations_each
            for client in self.clients.values()
            if client.is_honest
        )

    def _check_the_end(self) -> None:
        """Everybody learns everything: then all must be equal, funded, and complete."""
        everything = {
            root: batch for node in self.nodes.values() for root, batch in node.batches.items()
        }
        for node in self.nodes.values():
            node.is_alive = True
            for batch in everything.values():
                node.accept(batch)
        states = [node.state for node in self.nodes.values()]
        if any(state.accounts() != states[0].accounts() for state in states):
            raise Violated("replicas with the same set differ")
        if any(account.balance < 0 for account in states[0].accounts().values()):
            raise Violated("an account spent more than it had")
        if any(not states[0].is_in_effect(identity) for identity in self.told):
            raise Violated("a certified operation was lost")
        if not self._is_done():
            raise Violated("an honest client's operation was never certified")
