"""A simulated ledger: the real cores under one seeded scheduler, with every fault at the bound.

Messages are late, lost and doubled; nodes die at any moment and keep only what was
durable; f of N = 3f + 1 witnesses break the rules, each in its own way and together;
clients spend twice, through several entry nodes, and more than they have.
"""

from collections.abc import Callable, Iterable
from typing import Any

from p2pgrid.errors import PeerError
from p2pgrid.ledger.certificate import Verified, WitnessSet, verify_batch
from p2pgrid.ledger.evidence import verify_evidence
from p2pgrid.ledger.messages import BatchItem, EpochItem, EvidenceItem
from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.model.certificate import CertifiedBatch, Equivocation, VoteAnswer, VoteRequest
from p2pgrid.model.ids import AccountId, NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.simulation.disk import Disk
from p2pgrid.simulation.ledger_cast import (
    ACCOMPLICE,
    CONSUMERS,
    FARM_NODE,
    SPENDER,
    account_of,
    genesis_of,
    node_of,
    witness_names,
)
from p2pgrid.simulation.ledger_clients import Spender, clients_of
from p2pgrid.simulation.ledger_court import Court
from p2pgrid.simulation.ledger_epochs import Hear, Question
from p2pgrid.simulation.ledger_faults import FAULTY, Coalition
from p2pgrid.simulation.ledger_node import LedgerNode, Told
from p2pgrid.simulation.result import Violation
from p2pgrid.simulation.scheduler import Scheduler
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, open_envelope, record_id

NodeClass = type[LedgerNode]


class LedgerGrid:
    """Everything of one run.

    Args:
        seed: everything follows from it.
        witness_count: N; (N-1)/3 of them are faulty.
        honest: what honest nodes are; tests break one.
    """

    def __init__(self, seed: int, witness_count: int, honest: NodeClass = LedgerNode) -> None:
        self.scheduler = Scheduler(seed)
        self.random = self.scheduler.random
        has_epochs = self.random.random() < limits.WITH_EPOCHS
        self.times = limits.SHORT_EPOCHS if has_epochs else limits.ONE_EPOCH
        self.genesis = genesis_of(witness_count, self.times.epoch_seconds)
        self.network = self.genesis.network
        self.violations: list[Violation] = []
        self.court = Court(witness_count, self.require)
        self.told: dict[RecordId, AccountId] = {}
        """Operations that some client was told to be certified, and whose they are."""
        self.hidden: list[CertifiedBatch] = []
        """Certificates that nobody was shown yet."""
        self.crashes = 0
        self._cheats = {account_of(SPENDER), account_of(ACCOMPLICE)}
        self._opened: dict[bytes, Signed[Operation]] = {}
        self._verified: dict[bytes, Verified] = {}
        self._proven: set[bytes] = set()
        names = witness_names(witness_count)
        faulty = self.random.sample(names, (witness_count - 1) // 3)
        kinds = {name: self.random.choice(FAULTY) for name in faulty}
        bystanders = [f"bystander{number}" for number in range(limits.BYSTANDERS)]
        skew = self.times.clock_skew_ms
        self.nodes: dict[NodeId, LedgerNode] = {}
        for name in (*names, *bystanders):
            skew_ms = self.random.randint(-skew, skew)
            node = kinds.get(name, honest)(self, name, Disk(), skew_ms)
            self.nodes[node.id] = node
        self.court.suspect(node_of(name) for name in faulty)
        self.coalition = Coalition(self)
        self.clients = clients_of(self)

    # --- the world --------------------------------------------------------------------------------

    @property
    def witnesses(self) -> WitnessSet:
        """Who votes now, by the node that knows most epochs."""
        return self._witness_sets()[-1]

    def _witness_sets(self) -> tuple[WitnessSet, ...]:
        chains = [node.archive.epochs.chain for node in self.nodes.values()]
        return max(chains, key=lambda chain: chain.epoch).witness_sets

    @property
    def is_calm(self) -> bool:
        """Whether messages arrive and nodes live from now on."""
        return self.scheduler.now >= self.times.faults_seconds

    def require(self, holds: object, rule: str) -> None:
        """Note that a rule does not hold."""
        if not holds and all(one.rule != rule for one in self.violations):
            now = round(self.scheduler.now, 3)
            self.violations.append(Violation(rule, self.scheduler.seed, now))

    def any_node(self) -> LedgerNode:
        """One that a client happens to know."""
        return self.random.choice(list(self.nodes.values()))

    def send(self, action: Callable[..., None], *arguments: Any) -> bool:  # noqa: ANN401 - whatever the action takes
        """Deliver later, maybe twice, maybe never; whether it was lost."""
        if not self.is_calm and self.random.random() < limits.LOSS:
            return True
        self.scheduler.after(self.random.uniform(*limits.DELAY_SECONDS), action, *arguments)
        if not self.is_calm and self.random.random() < limits.DUPLICATED:
            late = self.random.uniform(limits.DELAY_SECONDS[0], limits.DUPLICATE_SECONDS)
            self.scheduler.after(late, action, *arguments)
        return False

    def ask(
        self,
        witness: NodeId,
        request: VoteRequest,
        hear: Callable[[Any, NodeId, VoteAnswer], None],
        about: object,
    ) -> None:
        """A request for votes arrives at a witness."""
        node = self.nodes[witness]
        if node.is_alive:
            node.vote(request, lambda one, answer: hear(about, one, answer))

    def ask_epoch(
        self, witness: NodeId, leader: NodeId, epoch: int, question: Question, hear: Hear
    ) -> None:
        """A leader's question about the end of an epoch arrives at a witness."""
        node = self.nodes[witness]
        if node.is_alive:
            node.epochs.answer(leader, epoch, question, hear)

    def submit(self, node: NodeId, signed: Signed[Operation], tell: Told) -> None:
        """An operation arrives at a node; the client hears of its certificate over the network."""
        entry = self.nodes[node]
        if entry.is_alive:
            entry.submit(signed, lambda identity: self._tell(tell, identity))

    def _tell(self, tell: Told, identity: RecordId) -> None:
        self.send(tell, identity)

    def vote_leaves(
        self, node: LedgerNode, epoch: int, operations: Iterable[Signed[Operation]]
    ) -> None:
        """A vote is on its way; a witness that voted for a cheat may lose power right then."""
        operations = tuple(operations)
        self.court.vote_left(node.id, epoch, operations, is_honest=node.is_honest)
        is_wanted = any(one.record.account in self._cheats for one in operations)
        if is_wanted and not self.is_calm and self.random.random() < limits.CRASH_AFTER_VOTE:
            self.scheduler.after(self.random.uniform(0, limits.FSYNC_SECONDS), self._crash, node)

    def gossip(self, origin: LedgerNode, item: BatchItem | EvidenceItem | EpochItem) -> None:
        """Tell everybody else; some will not hear it."""
        for identity in self.nodes:
            if identity != origin.id:
                self.send(self._hear, identity, item)

    def _hear(self, node: NodeId, item: BatchItem | EvidenceItem | EpochItem) -> None:
        self.nodes[node].receive(item)

    # --- checked once for all ---------------------------------------------------------------------

    def note_signed(self, signed: Signed[Operation]) -> None:
        """Remember what a client signed; nobody forges signatures here."""
        self._opened[signed.envelope] = signed

    def open(self, envelope: bytes) -> Signed[Operation]:
        """Read an operation."""
        if envelope not in self._opened:
            body = open_envelope(envelope).body
            identity = record_id(RecordKind.OPERATION, body, self.network)
            self._opened[envelope] = Signed(decode(Operation, body), identity, envelope)
        return self._opened[envelope]

    def verified(self, batch: CertifiedBatch, node: LedgerNode) -> Verified | None:
        """Check a certificate with the program's own rule, the same bytes once.

        None when the node does not know who voted in that epoch.
        """
        frame = node.archive.epochs.chain.frame_of(batch.certificate.epoch)
        if frame is None:
            return None
        data = encode(batch)
        if data not in self._verified:
            self._verified[data] = verify_batch(batch, frame.witnesses, self.network)
        return self._verified[data]

    def verify_evidence(self, evidence: Equivocation) -> None:
        """Check a proof, the same bytes once."""
        data = encode(evidence)
        if data not in self._proven:
            verify_evidence(evidence, self._witness_sets(), self.network)
            self._proven.add(data)

    # --- a run ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Play it to the end, and judge."""
        scheduler, random = self.scheduler, self.random
        for client in self.clients.values():
            scheduler.after(random.uniform(0, 0.05), client.act)
        for _ in range(random.randint(*limits.CRASHES)):
            when = random.uniform(0.02, self.times.faults_seconds)
            scheduler.after(when, self._crash, self.any_node())
        spender = self.clients[SPENDER]
        assert isinstance(spender, Spender)
        for _ in range(limits.ATTACKS):
            scheduler.after(random.uniform(0.02, self.times.faults_seconds), spender.attack)
        scheduler.after(limits.PULL_SECONDS, self._compare)
        while scheduler.now < self.times.run_seconds_max and not self._is_over():
            scheduler.run(scheduler.now + limits.STEP_SECONDS)
        self._judge()

    def _crash(self, node: LedgerNode) -> None:
        node = self.nodes[node.id]
        if not node.is_alive:
            return
        self.crashes += 1
        node.is_alive = False
        node.disk.lose_power(self.random)
        self.scheduler.after(self.random.uniform(0.001, limits.OUTAGE_SECONDS), self._restart, node)

    def _restart(self, dead: LedgerNode) -> None:
        if self.nodes[dead.id] is dead:
            new = type(dead)(self, dead.name, dead.disk_after_death, dead.skew_ms)
            self.nodes[dead.id] = new
            if new.archive.is_witness:
                self.coalition.tempt(new.id)

    def _compare(self) -> None:
        one, other = self.random.sample(list(self.nodes.values()), 2)
        one.pull(other)
        self.scheduler.after(limits.PULL_SECONDS, self._compare)

    def _is_over(self) -> bool:
        return bool(self.violations) or (
            self.is_calm
            and all(client.is_done for client in self.clients.values())
            and all(node.archive.epochs.settled >= self.times.epochs for node in self._honest())
            and all(node.holds(one) for node in self._honest() for one in self._honest_told())
        )

    def _honest(self) -> list[LedgerNode]:
        """Nodes that keep to the rules, with whatever clock."""
        return [node for node in self.nodes.values() if node.is_honest]

    def _honest_told(self) -> list[RecordId]:
        """What honest clients were told to be certified."""
        honest = {account_of(name) for name in (*CONSUMERS, FARM_NODE)}
        return [one for one, account in self.told.items() if account in honest]

    # --- the end ----------------------------------------------------------------------------------

    def _judge(self) -> None:
        """Everybody learns everything, hidden things too: all must be equal, funded, complete."""
        self.require(self._is_over(), "an honest client or an epoch never came to its end")
        for node in list(self.nodes.values()):
            if not node.is_alive:
                self._restart(node)
        nodes = list(self.nodes.values())
        try:
            for node in nodes * limits.LAST_ROUNDS:
                for batch in self.hidden:
                    node.admit(batch)
                for other in nodes:
                    node.pull(other)
        except PeerError:
            self.require(False, "a certificate that was made is refused")  # noqa: FBT003 - it was
        first = nodes[0].archive.state
        for node in nodes:
            state = node.archive.state
            same = state.accounts() == first.accounts() and state.escrows() == first.escrows()
            self.require(same, "replicas with the same set differ")
            self.require(not state.alarms, "a slot has two certificates")
            self._require_innocent(node, (*CONSUMERS, FARM_NODE, *self._honest_witnesses()))
        self.require(
            all(account.balance >= 0 for account in first.accounts().values()),
            "an account spent more than it had",
        )
        self.require(
            all(
                one.closing is None or one.closing.to_farm + one.closing.refund == one.terms.deposit
                for one in first.escrows().values()
            ),
            "an escrow paid out more or less than its deposit",
        )
        self.require(
            all(first.is_in_effect(one) for one in self._honest_told()),
            "a certified operation was lost",
        )

    def _honest_witnesses(self) -> Iterable[str]:
        return [node.name for node in self._honest()]

    def _require_innocent(self, node: LedgerNode, names: Iterable[str]) -> None:
        self.require(
            not any(node.holds_against(account_of(name)) for name in names),
            "somebody honest was convicted",
        )

    @property
    def certified(self) -> int:
        """Operations that all hold in the end."""
        return next(iter(self.nodes.values())).archive.state.operation_count

    @property
    def caught(self) -> int:
        """Of the cheating accounts, how many are convicted in the end."""
        node = next(iter(self.nodes.values()))
        return sum(node.holds_against(account_of(name)) for name in (SPENDER, ACCOMPLICE))
