"""The ledger of a full node: holds all that is certified, votes when it is a witness, pays.

Every full node is an entry node: whoever asks it to get an operation certified
gets the proof, or the reason why not.

    spend ─> Spending ─sign, store─> Quorum ─ask─> witnesses (Ballot)
                                       └─ certificate ─> Archive ─> Replication ─> peers
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from random import Random

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import GridError, StoreFailed, Unreachable
from p2pgrid.ledger import answers
from p2pgrid.ledger.acknowledging import Acknowledging
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.audit import AuditReport
from p2pgrid.ledger.ballot import Ballot
from p2pgrid.ledger.certificate import Verified, read_operation
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.ledger.evidence import evidence_id
from p2pgrid.ledger.messages import BatchItem, EvidenceItem
from p2pgrid.ledger.payment_proof import PaymentProof
from p2pgrid.ledger.proof_gathering import proof_here
from p2pgrid.ledger.purse import Purse
from p2pgrid.ledger.quorum import Quorum
from p2pgrid.ledger.replication import Replication
from p2pgrid.ledger.rotation import Rotation, RotationParts
from p2pgrid.ledger.spending import Spending, Standing
from p2pgrid.ledger.state import Escrow
from p2pgrid.ledger.verification import OnCount, verify_ledger
from p2pgrid.ledger.views import (
    AccountView,
    EpochView,
    EvidenceView,
    HistoryEntry,
    LedgerStatus,
    SeatView,
    account_view,
    epoch_views,
    evidence_view,
    history_of,
    pending_entry,
    seat_views,
)
from p2pgrid.limits.epochs import EPOCH_FOLLOW_SECONDS
from p2pgrid.limits.ledger import LEDGER_CAUGHT_UP_SECONDS_MAX, OPERATION_BYTES_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import AccountId, NodeId, RecordId, short
from p2pgrid.model.operation import Operation, Payload
from p2pgrid.net.network import Method, Network, RequestHandler
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed, verify

log = logging.getLogger(__name__)


class LedgerService:
    """The ledger, for the rest of the node and for peers. One task calls `run`.

    Args:
        genesis: the grid's.
        network: a way to peers.
        store: ours alone, `ledger.ldb`.
        key: the node's; it votes with it when the grid names it as a witness.
        now_ms: the wall clock.
        random: which peer to compare with next.
    """

    def __init__(
        self,
        genesis: Genesis,
        network: Network,
        store: Store,
        key: SigningKey,
        now_ms: Callable[[], TimestampMs],
        *,
        random: Random,
    ) -> None:
        self._network = network
        self._store = store
        self._archive = Archive(genesis, store, network.id, now_ms)
        self._replication = Replication(
            network, self._archive, self._admitted, self._look_at_epochs, random=random
        )
        keys = EpochKeys(key, store, random.randbytes)
        self._ballot = Ballot(
            self._archive, store, keys, now_ms, on_behind=self._replication.pull_soon
        )
        self._quorum = Quorum(self._archive, self, now_ms)
        self._acknowledging = Acknowledging(network, self._archive, store)
        self._rotation = Rotation(
            network,
            RotationParts(self._archive, self._replication, keys, store, self._epoch_begun),
            now_ms,
            random=random,
        )
        self._purse = Purse(store, self._archive.network)
        self._spending = Spending(
            self._purse, self, self._archive.network, genesis.pricing.fee, now_ms
        )
        self._purse.settle(
            (signed.id, signed.record)
            for signed in self._purse.all_pending()
            if self._archive.is_kept(signed.id)
        )

    async def run(self) -> None:
        """Listen, vote, certify and catch up until cancelled."""
        serve = self._network.serve
        serve(Method.LEDGER_VOTE, self._ballot.answer)
        serve(Method.LEDGER_SUBMIT, self._answer_submit)
        serve(Method.LEDGER_EPOCH, self._rotation.answer)
        serve(Method.LEDGER_ACKNOWLEDGE, self._acknowledging.answer)
        for method, answer in (
            (Method.LEDGER_ACCOUNT, answers.answer_account),
            (Method.LEDGER_ESCROW, answers.answer_escrow),
            (Method.LEDGER_HISTORY, answers.answer_history),
            (Method.LEDGER_EVIDENCE, answers.answer_evidence),
            (Method.LEDGER_STATUS, answers.answer_status),
            (Method.LEDGER_EPOCHS, answers.answer_epochs),
            (Method.LEDGER_EPOCH_OPERATIONS, answers.answer_cut),
            (Method.LEDGER_BATCHES, answers.answer_batches),
        ):
            serve(method, self._answering(answer))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._replication.run)
            nursery.start_soon(self._quorum.run)
            nursery.start_soon(self._spending.run)
            nursery.start_soon(self._rotation.run)
            nursery.start_soon(self._certify_voids)
            nursery.start_soon(self._acknowledging.run)

    # --- paying -----------------------------------------------------------------------------------

    async def submit(self, envelope: bytes, *, submitter: NodeId | None = None) -> RecordId:
        """Get a signed operation certified; the same one may be submitted again at any time.

        Args:
            envelope: the operation.
            submitter: the peer that sent it, if one did.

        Raises:
            PeerError: it is not a signed operation of this grid.
            Refused: it cannot be certified as things are (InsufficientBalance, Conflicting, …).
            Unreachable: too few witnesses answered; it may be certified later.
        """
        signed = verify(Operation, envelope[: OPERATION_BYTES_MAX + 1], self._archive.network)
        await self._quorum.certify(signed, submitter=submitter)
        return signed.id

    async def spend(
        self, payload: Payload, key: SigningKey, *, takes_over: bool = True
    ) -> RecordId:
        """Make the next operation of that key's account; see `Spending.spend`."""
        return await self._spending.spend(payload, key, takes_over=takes_over)

    # --- asking -----------------------------------------------------------------------------------

    async def account(self, account: AccountId) -> AccountView:
        """How an account stands."""
        await trio.lowlevel.checkpoint()
        pending = self._purse.pending(account)
        return account_view(
            account,
            self._archive.state.account(account),
            pending=None if pending is None else pending.id,
            is_convicted=NodeId(account) in self._archive.frozen,
        )

    async def escrow(self, escrow: RecordId) -> Escrow | None:
        """A certified escrow; None when it is not known here (yet)."""
        await trio.lowlevel.checkpoint()
        return self._archive.state.escrow(escrow)

    async def find_escrow(self, consumer: AccountId, terms_hash: bytes) -> Escrow | None:
        """The certified escrow of that account with those terms; the lowest id of several."""
        await trio.lowlevel.checkpoint()
        return self._archive.state.find_escrow(consumer, terms_hash)

    def escrows(self) -> tuple[Escrow, ...]:
        """Every escrow known here, open or closed, in no order that means anything."""
        return tuple(self._archive.state.escrows().values())

    def signed_at_ms(self, operation: RecordId) -> TimestampMs | None:
        """When a certified operation was signed, by its own word; None when it is not known."""
        found = self._archive.state.operation(operation)
        return None if found is None else found.time_ms

    def accounts(self) -> tuple[AccountId, ...]:
        """Every account known here, in no order that means anything."""
        return tuple(self._archive.state.accounts())

    async def history(self, account: AccountId, *, limit: int | None = None) -> list[HistoryEntry]:
        """What happened to an account, the newest first; what is pending before all."""
        await trio.lowlevel.checkpoint()
        is_final = self._acknowledging.is_final
        entries = [
            replace(entry, status="final") if is_final(entry.operation) else entry
            for entry in history_of(self._archive.state, account)
        ]
        pending = self._purse.pending(account)
        if pending is not None and not self._archive.is_kept(pending.id):
            entries.insert(0, pending_entry(pending.id, pending.record))
        return entries[:limit]

    async def proof(self, operation: RecordId) -> PaymentProof:
        """What proves an operation to whoever holds the genesis record. Raises NotFound."""
        await trio.lowlevel.checkpoint()
        return proof_here(self._archive, operation)

    async def evidence(self) -> list[EvidenceView]:
        """Everybody who was caught, sorted by key."""
        await trio.lowlevel.checkpoint()
        return [
            evidence_view(evidence_id(culprit), evidence)
            for culprit, evidence in sorted(self._archive.convicted.items())
        ]

    async def epochs(self) -> list[EpochView]:
        """Every epoch as far as is known here, the newest first."""
        await trio.lowlevel.checkpoint()
        return epoch_views(self._archive.epochs.chain, self._archive.epochs.settled)

    async def witnesses(self) -> list[SeatView]:
        """Who votes now, sorted by node."""
        await trio.lowlevel.checkpoint()
        return seat_views(self._archive.epochs.chain)

    def is_settled_up_to(self, epoch: int) -> bool:
        """Whether this many epochs are over, and all of them is here."""
        return self._archive.epochs.settled >= epoch

    async def status(self) -> LedgerStatus:
        """How the ledger stands here."""
        await trio.lowlevel.checkpoint()
        archive, state = self._archive, self._archive.state
        return LedgerStatus(
            grid=archive.genesis.name,
            network=archive.network,
            operations=state.operation_count,
            waiting=state.waiting_count,
            batches=archive.batch_count,
            supply=state.total,
            in_accounts=state.total - state.locked - state.burnt,
            in_escrow=state.locked,
            burnt=state.burnt,
            epoch=archive.witnesses.epoch,
            witnesses=tuple(key for key, _ in archive.witnesses.members),
            quorum=archive.witnesses.quorum,
            weight=archive.witnesses.total,
            is_witness=archive.is_witness,
            alarms=state.alarms,
            is_caught_up=self._replication.caught_up.is_set(),
        )

    async def verify(self, on_progress: OnCount) -> AuditReport:
        """Recompute everything from the stored records; hears (batches, of batches)."""
        return await verify_ledger(self._archive, self._store, on_progress)

    async def _certify_voids(self) -> None:
        """Have operations certified again whose epoch ended without them: nobody did wrong."""
        while True:
            state, network = self._archive.state, self._archive.network
            for identity, envelope in self._archive.epochs.voids():
                if state.operation(identity) is None and self._archive.epochs.is_settled:
                    _, operation = read_operation(envelope, network)
                    try:
                        await self._quorum.certify(Signed(operation, identity, envelope))
                    except GridError as error:
                        log.info("%s is not certified again: %s", short(identity), error)
            await trio.sleep(EPOCH_FOLLOW_SECONDS)

    # --- what the parts need of each other --------------------------------------------------------

    async def standing(self, account: AccountId) -> Standing:
        """How an account stands, once our view can be trusted with a signature.

        After the loss of its disk a node knows nothing of its own operations; to
        sign then would be to sign for a place that is taken.

        Raises Unreachable.
        """
        with trio.move_on_after(LEDGER_CAUGHT_UP_SECONDS_MAX):
            await self._replication.caught_up.wait()
        if not self._replication.caught_up.is_set():
            raise Unreachable(
                "no peer has been reached since the start, so the last operation of account "
                f"{short(account)} is not known for sure; check the connection"
            )
        is_convicted = NodeId(account) in self._archive.frozen
        return Standing(
            self._archive.state.account(account),
            is_convicted,
            is_recent=self._replication.is_recent,
        )

    async def certify(self, signed: Signed[Operation]) -> None:
        """Return when an operation of ours is certified; raises as `Quorum.certify`."""
        await self._quorum.certify(signed)

    def blame(self, peer: NodeId) -> None:
        """See `quorum.Surroundings`."""
        self._network.blame(peer)

    async def ask_witness(self, witness: NodeId, body: bytes) -> bytes:
        """Have one witness vote, which may be this node. Raises GridError."""
        if witness == self._network.id:
            return await self._ballot.answer(witness, body)
        return await self._network.request(witness, Method.LEDGER_VOTE, body)

    async def keep(self, verified: Verified) -> None:
        """Store a batch that was certified here durably, then tell the grid. Raises StoreFailed."""
        try:
            await self._archive.keep(verified)
        finally:
            self._replication.publish(BatchItem(verified.batch))
        self._admitted(verified)
        self._acknowledging.add(verified)

    async def learn(self, batch: CertifiedBatch) -> None:
        """Take in a batch that a witness says is certified. Raises PeerError."""
        await trio.lowlevel.checkpoint()
        self._replication.take_batch(batch)

    async def convict(self, evidence: Equivocation) -> None:
        """Store a proof of equivocation and tell the grid."""
        await trio.lowlevel.checkpoint()
        if self._archive.admit_evidence(evidence):
            log.warning("account %s signed two operations in one slot", short(evidence.culprit))
            self._replication.publish(EvidenceItem(evidence))

    def _epoch_begun(self) -> None:
        self._acknowledging.begin()
        self._quorum.renew()

    def _look_at_epochs(self) -> None:
        self._rotation.look()

    def _admitted(self, verified: Verified) -> None:
        """A certificate is in the archive: tell those who wait for it."""
        self._quorum.settled(verified.operations)
        try:
            self._purse.settle(verified.operations)
        except StoreFailed as error:
            log.warning("a certified operation stays pending for now: %s", error)

    # --- answering --------------------------------------------------------------------------------

    async def _answer_submit(self, peer: NodeId, body: bytes) -> bytes:
        return answers.answer_submitted(self._archive, await self.submit(body, submitter=peer))

    def _answering(self, answer: Callable[[Archive, bytes], bytes]) -> RequestHandler:
        async def handle(_peer: NodeId, body: bytes) -> bytes:
            await trio.lowlevel.checkpoint()
            return answer(self._archive, body)

        return handle
