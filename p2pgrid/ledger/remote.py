"""The ledger of a light peer: holds keys and nothing else, asks full peers, checks their proofs.

A peer can withhold or be behind; it cannot invent an operation, an escrow or the head
of an account. Balances and histories are compared between peers.
"""

import logging
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from random import Random
from typing import TypeVar

from nacl.signing import SigningKey

from p2pgrid.errors import Conflicting, GridError, Refused, Unreachable
from p2pgrid.ledger.certificate import set_of, verify_proof
from p2pgrid.ledger.epoch_following import EpochFollowing
from p2pgrid.ledger.evidence import evidence_id, last_epoch_of, verify_evidence
from p2pgrid.ledger.messages import (
    AccountQuery,
    AccountReport,
    ById,
    ByTerms,
    EscrowQuery,
    EscrowReport,
    EvidenceQuery,
    EvidenceReport,
    HistoryQuery,
    HistoryReport,
    StatusQuery,
    StatusReport,
    account_of_report,
    epoch_of_report,
    escrow_of_report,
    history_entry,
)
from p2pgrid.ledger.payment_proof import PaymentProof
from p2pgrid.ledger.proof_gathering import gather_proof
from p2pgrid.ledger.purse import Purse
from p2pgrid.ledger.spending import Spending, Standing
from p2pgrid.ledger.state import Account, Alarm, Escrow
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
    pending_entry,
    seat_views,
)
from p2pgrid.limits.ledger import (
    EVIDENCE_PAGES_MAX,
    HISTORY_ENTRIES_MAX,
    LEDGER_ASKED_PEERS,
    LEDGER_TRIED_PEERS_MAX,
    SUBMIT_SECONDS_MAX,
)
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.certificate import CertifiedOperation, Equivocation
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import AccountId, NodeId, RecordId, short
from p2pgrid.model.operation import Operation, Payload
from p2pgrid.net.asking import Panel, ask_one, reason_of
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import Signed, verify

log = logging.getLogger(__name__)

_M = TypeVar("_M")
_H = TypeVar("_H", bound=Hashable)


class RemoteLedger:
    """Answers the questions of `LedgerService` by asking peers. One task calls `run`."""

    def __init__(
        self,
        genesis: Genesis,
        network: Network,
        store: Store,
        now_ms: Callable[[], TimestampMs],
        *,
        random: Random,
    ) -> None:
        self._genesis = genesis
        self._network_id = genesis.network
        self._network = network
        self._epochs = EpochFollowing(genesis, network, store)
        self._panel = Panel(network, random, LEDGER_ASKED_PEERS, LEDGER_TRIED_PEERS_MAX)
        self._purse = Purse(store, self._network_id)
        self._spending = Spending(self._purse, self, self._network_id, genesis.pricing.fee, now_ms)

    async def run(self) -> None:
        """Send what is pending again, until cancelled."""
        await self._spending.run()

    # --- paying -----------------------------------------------------------------------------------

    async def submit(self, envelope: bytes) -> RecordId:
        """Get a signed operation certified; raises as `LedgerService.submit`."""
        signed = verify(Operation, envelope, self._network_id)
        await self.certify(signed)
        return signed.id

    async def spend(
        self, payload: Payload, key: SigningKey, *, takes_over: bool = True
    ) -> RecordId:
        """Make the next operation of that key's account; see `Spending.spend`."""
        return await self._spending.spend(payload, key, takes_over=takes_over)

    async def certify(self, signed: Signed[Operation]) -> None:
        """Return when an operation is certified, proven to us by its certificate.

        Any full peer will do; when one dies or lies, the next gets the same operation.

        Raises:
            Refused: it cannot be certified as things are.
            Conflicting: its account signed another one for the same place.
            Unreachable: no peer got it certified; it may be later.
        """
        refusals: list[Refused] = []
        reasons: list[str] = []
        for peer in self._panel.peers():
            try:
                proof = await ask_one(
                    self._network,
                    peer,
                    Method.LEDGER_SUBMIT,
                    signed.envelope,
                    CertifiedOperation,
                    SUBMIT_SECONDS_MAX + 5,
                )
                await self._epochs.reach(peer, proof.certificate.epoch)
                witnesses = set_of(proof.certificate.epoch, self._epochs.witness_sets)
                with blaming(self._network, peer):
                    identity, _ = verify_proof(proof, witnesses, self._network_id)
            except Conflicting:
                raise
            except Refused as refusal:
                refusals.append(refusal)
                if len(refusals) == LEDGER_ASKED_PEERS:
                    raise
            except GridError as error:
                reasons.append(reason_of(peer, error))
            else:
                if identity == signed.id:
                    return
                reasons.append(f"{short(peer)}: it proved another operation")
        if refusals:
            raise refusals[0]
        raise Unreachable(f"no peer got the operation certified ({self._panel.why(reasons)})")

    # --- asking -----------------------------------------------------------------------------------

    async def account(self, account: AccountId) -> AccountView:
        """How an account stands. Raises Unreachable when no peer answers."""
        found, is_convicted, agreeing, asked = await self._account(account)
        pending = self._purse.pending(account)
        view = account_view(
            account,
            found,
            pending=None if pending is None else pending.id,
            is_convicted=is_convicted,
        )
        return replace(view, agreeing=agreeing, asked=asked)

    async def standing(self, account: AccountId) -> Standing:
        """How an account stands, by the peer that proves the longest chain. Raises Unreachable."""
        found, is_convicted, _, _ = await self._account(account)
        return Standing(found, is_convicted)

    async def escrow(self, escrow: RecordId) -> Escrow | None:
        """A certified escrow; None when no peer asked knows it. Raises Unreachable."""
        return await self._escrow(EscrowQuery(ById(escrow=escrow)))

    async def find_escrow(self, consumer: AccountId, terms_hash: bytes) -> Escrow | None:
        """The certified escrow of that account with those terms. Raises Unreachable."""
        return await self._escrow(EscrowQuery(ByTerms(consumer=consumer, terms_hash=terms_hash)))

    async def history(self, account: AccountId, *, limit: int | None = None) -> list[HistoryEntry]:
        """What most of the peers asked say happened to an account, the newest first."""
        query = HistoryQuery(
            account=account, limit=min(limit or HISTORY_ENTRIES_MAX, HISTORY_ENTRIES_MAX)
        )

        async def ask(peer: NodeId) -> HistoryReport:
            return await self._ask(peer, Method.LEDGER_HISTORY, query, HistoryReport)

        entries = [history_entry(row) for row in _most_common(await self._panel.ask(ask)).rows]
        pending = self._purse.pending(account)
        if pending is not None and all(entry.operation != pending.id for entry in entries):
            entries.insert(0, pending_entry(pending.id, pending.record))
        return entries[:limit]

    async def proof(self, operation: RecordId) -> PaymentProof:
        """What proves an operation to whoever holds the genesis record. Raises NotFound."""
        peers = self._panel.peers()
        return await gather_proof(self._network, self._network_id, self._epochs, peers, operation)

    async def evidence(self) -> list[EvidenceView]:
        """Everybody who was caught, as far as the peers asked know; the proofs are checked."""
        found: dict[NodeId, Equivocation] = {}
        for answer in await self._panel.ask(self._evidence_of):
            found |= {evidence.culprit: evidence for evidence in answer}
        return [evidence_view(evidence_id(key), found[key]) for key in sorted(found)]

    async def status(self) -> LedgerStatus:
        """How the ledger stands, as most of the peers asked say."""

        async def ask(peer: NodeId) -> StatusReport:
            await self._epochs.ask(peer)
            return await self._ask(peer, Method.LEDGER_STATUS, StatusQuery(), StatusReport)

        report = _most_common(await self._panel.ask(ask))
        witnesses = self._epochs.witnesses
        supply = sum(amount for _, amount in self._genesis.balances)
        return LedgerStatus(
            grid=self._genesis.name,
            network=self._network_id,
            operations=report.operations,
            waiting=report.waiting,
            batches=report.batches,
            supply=supply,
            in_accounts=supply - report.in_escrow - report.burnt,
            in_escrow=report.in_escrow,
            burnt=report.burnt,
            epoch=witnesses.epoch,
            witnesses=tuple(node for node, _ in witnesses.members),
            quorum=witnesses.quorum,
            weight=witnesses.total,
            is_witness=False,
            alarms=tuple(Alarm(slot, operations) for slot, operations in report.alarms),
            is_caught_up=True,
        )

    async def epochs(self) -> list[EpochView]:
        """Every epoch that a peer shows, the newest first; certificates are checked."""
        await self._ask_for_epochs()
        return epoch_views(self._epochs.chain, 0)

    async def witnesses(self) -> list[SeatView]:
        """Who votes now, as far as a peer shows it; certificates are checked."""
        await self._ask_for_epochs()
        return seat_views(self._epochs.chain)

    async def _ask_for_epochs(self) -> None:
        async def ask(peer: NodeId) -> None:
            await self._epochs.ask(peer)

        await self._panel.ask(ask)

    # --- asking peers -----------------------------------------------------------------------------

    async def _account(self, account: AccountId) -> tuple[Account, bool, int, int]:
        """(the account, whether it is convicted, peers that agree, peers asked)."""

        async def ask(peer: NodeId) -> tuple[Account, bool]:
            query = AccountQuery(account=account)
            report = await self._ask(peer, Method.LEDGER_ACCOUNT, query, AccountReport)
            await self._epochs.reach(peer, epoch_of_report(report))
            sets = self._epochs.witness_sets
            with blaming(self._network, peer):
                found = account_of_report(report, account, sets, self._network_id)
            return found, report.conviction is not None

        answers = await self._panel.ask(ask)
        newest = max(found.sequence for found, _ in answers)
        best = _most_common([found for found, _ in answers if found.sequence == newest])
        agreeing = sum(found == best for found, _ in answers)
        return best, any(convicted for _, convicted in answers), agreeing, len(answers)

    async def _escrow(self, query: EscrowQuery) -> Escrow | None:
        async def ask(peer: NodeId) -> Escrow | None:
            report = await self._ask(peer, Method.LEDGER_ESCROW, query, EscrowReport)
            await self._epochs.reach(peer, epoch_of_report(report))
            sets = self._epochs.witness_sets
            with blaming(self._network, peer):
                return escrow_of_report(report, query, sets, self._network_id)

        found = [escrow for escrow in await self._panel.ask(ask) if escrow is not None]
        return max(found, key=_known_of, default=None)

    async def _evidence_of(self, peer: NodeId) -> list[Equivocation]:
        found: list[Equivocation] = []
        for _ in range(EVIDENCE_PAGES_MAX):
            query = EvidenceQuery(after=found[-1].culprit if found else b"")
            report = await self._ask(peer, Method.LEDGER_EVIDENCE, query, EvidenceReport)
            last = max(map(last_epoch_of, report.evidence), default=0)
            await self._epochs.reach(peer, last)
            with blaming(self._network, peer):
                for evidence in report.evidence:
                    verify_evidence(evidence, self._epochs.witness_sets, self._network_id)
            found += report.evidence
            if report.is_last or not report.evidence:
                break
        return found

    async def _ask(self, peer: NodeId, method: Method, query: object, answer: type[_M]) -> _M:
        body = encode(query)
        return await ask_one(self._network, peer, method, body, answer, REQUEST_SECONDS_MAX)


def _most_common(answers: Sequence[_H]) -> _H:
    return Counter(answers).most_common(1)[0][0]


def _known_of(escrow: Escrow) -> int:
    """How far along an escrow is: a peer that knows of its end knows more."""
    return 2 * (escrow.closing is not None) + (escrow.cancelled_at_ms is not None)
