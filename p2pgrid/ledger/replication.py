"""Keeps the ledgers of full nodes equal: gossip for speed, comparison with peers for certainty."""

import logging
from collections.abc import Callable
from random import Random

import trio

from p2pgrid.crdt.catch_up import Rhythm
from p2pgrid.errors import PeerError
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, batch_id, verify_batch
from p2pgrid.ledger.evidence import evidence_id, last_epoch_of, verify_evidence
from p2pgrid.ledger.messages import BatchItem, EpochItem, EvidenceItem, LedgerItem
from p2pgrid.limits.explorer import PULL_SECONDS_MAX
from p2pgrid.limits.ledger import (
    LEDGER_BACK_OFF_MS_MIN,
    LEDGER_NUDGE_SECONDS_MIN,
    LEDGER_PULL_IN_VAIN_MAX,
    LEDGER_PULL_SECONDS_MAX,
    LEDGER_PULLS_AT_ONCE,
    LEDGER_RECONCILE_SECONDS,
    LEDGER_TRUST_MS,
    VIEW_AGE_SECONDS_MAX,
)
from p2pgrid.limits.net import GOSSIP_BYTES_MAX
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.catching_up import CatchingUp, Tempo
from p2pgrid.net.network import Method, Network, Topic, Verdict
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)

RHYTHM = Rhythm(
    first_pauses_ms=(),
    pause_ms_min=int(LEDGER_RECONCILE_SECONDS * SECOND_MS),
    pause_ms_max=int(LEDGER_RECONCILE_SECONDS * SECOND_MS),
    at_once=LEDGER_PULLS_AT_ONCE,
    same_peer_ms_min=int(LEDGER_NUDGE_SECONDS_MIN * SECOND_MS),
    trust_ms=LEDGER_TRUST_MS,
    back_off_ms_min=LEDGER_BACK_OFF_MS_MIN,
)
_TEMPO = Tempo(RHYTHM, PULL_SECONDS_MAX, LEDGER_PULL_SECONDS_MAX, LEDGER_PULL_IN_VAIN_MAX)
_ITEM_BYTES_MAX = RECORD_BYTES_MAX + 64


class Replication:
    """Shares an archive with peers. One task calls `run`.

    Args:
        on_admitted: told of every batch that peers brought.
        on_epoch: told when an epoch has ended, or seems to have somewhere.
    """

    def __init__(
        self,
        network: Network,
        archive: Archive,
        on_admitted: Callable[[Verified], None],
        on_epoch: Callable[[], None],
        *,
        random: Random,
    ) -> None:
        self._network = network
        self._archive = archive
        self._on_admitted = on_admitted
        self._on_epoch = on_epoch
        self._catching_up = CatchingUp(
            network,
            Method.RECONCILE_LEDGER,
            archive,
            self._take_pulled,
            tempo=_TEMPO,
            random=random,
        )
        self._outbox: list[LedgerItem] = []
        self._has_outgoing = trio.Event()
        self.caught_up = self._catching_up.pulled
        """Set once our ledger was compared with a peer's, or nobody else can certify anything."""
        if self._is_alone:
            self.caught_up.set()

    @property
    def _is_alone(self) -> bool:
        witnesses = self._archive.witnesses
        return witnesses.weight_of(self._network.id) >= witnesses.quorum

    @property
    def is_recent(self) -> bool:
        """Whether we were level with a peer a moment ago, or nobody else certifies anything."""
        return (
            self._is_alone
            or trio.current_time() <= self._catching_up.level_at + VIEW_AGE_SECONDS_MAX
        )

    def publish(self, item: BatchItem | EvidenceItem | EpochItem) -> None:
        """Tell the grid; returns before that is done."""
        self._outbox.append(LedgerItem(item))
        self._has_outgoing.set()

    async def run(self) -> None:
        """Listen, answer and catch up until cancelled."""
        channel = self._network.subscribe(Topic.LEDGER, self._validate)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, channel)
            nursery.start_soon(self._send)
            nursery.start_soon(self._catching_up.run)

    # --- gossip -----------------------------------------------------------------------------------

    def _validate(self, forwarder: NodeId, data: bytes) -> Verdict:
        if forwarder == self._network.id:
            return Verdict.ACCEPT  # our own, on its way out
        try:
            return Verdict.ACCEPT if self._take(data) else Verdict.IGNORE
        except PeerError as error:
            log.info("%s forwarded garbage: %s", short(forwarder), error)
            return Verdict.REJECT

    def _take(self, data: bytes) -> bool:
        """Verify and store an item of a peer; whether it was new. Raises PeerError."""
        match decode(LedgerItem, data, bytes_max=_ITEM_BYTES_MAX).item:
            case BatchItem(batch=batch):
                return self.take_batch(batch)
            case EvidenceItem(evidence=evidence):
                if not self._archive.wants_evidence(evidence):
                    if evidence.culprit not in self._archive.convicted:
                        self._archive.refuse(evidence_id(evidence.culprit))
                    return False
                chain = self._archive.epochs.chain
                if last_epoch_of(evidence) > chain.epoch:
                    self._on_epoch()
                    return False
                verify_evidence(evidence, chain.witness_sets, self._archive.network)
                return self._archive.admit_evidence(evidence)
            case EpochItem(certificate=certificate):
                return self.take_epoch(certificate)

    def take_batch(self, batch: CertifiedBatch) -> bool:
        """Verify and store a batch of a peer; whether it brought news. Raises PeerError."""
        archive, identity = self._archive, batch_id(batch.certificate)
        if identity in archive.ids or identity in archive.unwanted:
            return False
        frame = archive.epochs.chain.frame_of(batch.certificate.epoch)
        if frame is None:
            self._on_epoch()
            return False  # it comes again, when we know who voted for it
        verified = verify_batch(batch, frame.witnesses, archive.network)
        if not archive.wants_batch(verified):
            archive.refuse(identity)
            return False
        for evidence in archive.admit(verified):
            self._tell_of(evidence)
        self._on_admitted(verified)
        return True

    def take_epoch(self, certificate: EpochCertificate) -> bool:
        """Go on to the next epoch, if this ends the current one. Raises PeerError."""
        epochs = self._archive.epochs
        if certificate.proposal.epoch > epochs.chain.epoch:
            self._on_epoch()
            return False
        is_news = epochs.end(certificate)
        if is_news:
            log.info("epoch %d has ended", certificate.proposal.epoch)
            self._on_epoch()
        return is_news

    def _tell_of(self, evidence: Equivocation) -> None:
        log.error("witness %s voted twice; the ledger is halted", short(evidence.culprit))
        self.publish(EvidenceItem(evidence))

    async def _send(self) -> None:
        while True:
            await self._has_outgoing.wait()
            self._has_outgoing = trio.Event()
            items, self._outbox = self._outbox, []
            for item in items:
                data = encode(item)
                if len(data) <= GOSSIP_BYTES_MAX:  # longer ones travel by comparison
                    await self._network.publish(Topic.LEDGER, data)

    # --- catching up ------------------------------------------------------------------------------

    def pull_soon(self, peer: NodeId) -> None:
        """Say that `peer` knows something that we lack."""
        self._catching_up.pull_soon(peer)

    async def _take_pulled(self, items: tuple[bytes, ...]) -> int:
        """Verify and store what a peer sent; how many were news. Raises PeerError."""
        taken = 0
        for data in items:
            await trio.lowlevel.checkpoint()  # a batch takes milliseconds
            taken += self._take(data)
        return taken


async def _drain(channel: trio.MemoryReceiveChannel[object]) -> None:
    """Take delivered messages off: the validator has done the work already."""
    async for _ in channel:
        pass
