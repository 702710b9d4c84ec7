"""Keeps the ledgers of full nodes equal: gossip for speed, comparison with peers for certainty."""

import logging
from collections.abc import Callable
from random import Random

import trio

from p2pgrid.crdt import reconcile
from p2pgrid.errors import GridError, PeerError
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, verify_batch
from p2pgrid.ledger.evidence import evidence_id, verify_evidence
from p2pgrid.ledger.messages import BatchItem, EvidenceItem, LedgerItem
from p2pgrid.limits.explorer import PULL_SECONDS_MAX
from p2pgrid.limits.ledger import (
    LEDGER_NUDGE_SECONDS_MIN,
    LEDGER_PULL_SECONDS_MAX,
    LEDGER_PULLS_AT_ONCE,
    LEDGER_RECONCILE_SECONDS,
    VIEW_AGE_SECONDS_MAX,
)
from p2pgrid.limits.net import CONNECTIONS_MAX, GOSSIP_BYTES_MAX, REQUEST_SECONDS_MAX
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, PeerUp, Topic, Verdict, blaming
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)

_ITEM_BYTES_MAX = RECORD_BYTES_MAX + 64


class Replication:
    """Shares an archive with peers. One task calls `run`.

    Args:
        on_admitted: told of every batch that peers brought.
    """

    def __init__(
        self,
        network: Network,
        archive: Archive,
        on_admitted: Callable[[Verified], None],
        *,
        random: Random,
    ) -> None:
        self._network = network
        self._archive = archive
        self._on_admitted = on_admitted
        self._random = random
        self._wanted: dict[NodeId, None] = {}
        """Peers to pull from next, in order: they came up, or know what we lack."""
        self._pulling: set[NodeId] = set()
        self._pulled_at: dict[NodeId, float] = {}
        self._level_at = float("-inf")
        """When a comparison with a peer last went through."""
        self._wake = trio.Event()
        self._outbox: list[LedgerItem] = []
        self._has_outgoing = trio.Event()
        self.caught_up = trio.Event()
        """Set once our ledger was compared with a peer's, or nobody else can certify anything."""
        own_weight = archive.witnesses.weight_of(network.id)
        self._is_alone = own_weight >= archive.witnesses.quorum
        if self._is_alone:
            self.caught_up.set()

    @property
    def is_recent(self) -> bool:
        """Whether we were level with a peer a moment ago, or nobody else certifies anything."""
        return self._is_alone or trio.current_time() <= self._level_at + VIEW_AGE_SECONDS_MAX

    def publish(self, item: BatchItem | EvidenceItem) -> None:
        """Tell the grid; returns before that is done."""
        self._outbox.append(LedgerItem(item))
        self._has_outgoing.set()

    def pull_soon(self, peer: NodeId) -> None:
        """Say that `peer` knows something that we lack."""
        if peer != self._network.id:
            self._wanted[peer] = None
            self._wake_up()

    def _wake_up(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    async def run(self) -> None:
        """Listen, answer and catch up until cancelled."""
        channel = self._network.subscribe(Topic.LEDGER, self._validate)
        self._network.serve(Method.RECONCILE_LEDGER, self._answer)
        events = self._network.peer_events()
        self._wanted |= dict.fromkeys(self._network.peers())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, channel)
            nursery.start_soon(self._watch_peers, events)
            nursery.start_soon(self._send)
            nursery.start_soon(self._compare)
            for _ in range(LEDGER_PULLS_AT_ONCE):
                nursery.start_soon(self._greet)

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
                verify_evidence(evidence, [self._archive.witnesses], self._archive.network)
                return self._archive.admit_evidence(evidence)

    def take_batch(self, batch: CertifiedBatch) -> bool:
        """Verify and store a batch of a peer; whether it brought news. Raises PeerError."""
        archive, root = self._archive, batch.certificate.root
        if root in archive.ids or root in archive.unwanted:
            return False
        verified = verify_batch(batch, archive.witnesses, archive.network)
        if not archive.wants_batch(verified):
            archive.refuse(root)
            return False
        for evidence in archive.admit(verified):
            self._tell_of(evidence)
        self._on_admitted(verified)
        return True

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

    async def _watch_peers(self, events: trio.MemoryReceiveChannel[object]) -> None:
        async for event in events:
            if isinstance(event, PeerUp):
                self.pull_soon(event.peer)

    async def _greet(self) -> None:
        """Pull from peers that came up or know more. Several do: a slow peer is no brake."""
        while True:
            while (peer := self._next_wanted()) is not None:
                del self._wanted[peer]
                await self._pull_all(peer)
            await self._wake.wait()

    def _next_wanted(self) -> NodeId | None:
        return next((peer for peer in self._wanted if peer not in self._pulling), None)

    async def _compare(self) -> None:
        """Pull from a random peer every few seconds: gossip loses messages."""
        while True:
            await trio.sleep(LEDGER_RECONCILE_SECONDS)
            peers = [peer for peer in self._network.peers() if peer not in self._pulling]
            if peers:
                await self._pull_all(self._random.choice(peers))

    async def _pull_all(self, peer: NodeId) -> None:
        """Pull what `peer` has and we lack; whatever it does, we go on."""
        self._pulling.add(peer)
        try:
            await self._pause_before(peer)
            with (
                trio.fail_after(PULL_SECONDS_MAX),
                trio.fail_after(LEDGER_PULL_SECONDS_MAX) as patience,
            ):
                while await self._pull(peer, patience):
                    pass
        except (GridError, trio.TooSlowError) as error:
            log.debug("pulling from %s: %r", short(peer), error)
        else:
            self._level_at = trio.current_time()
            self.caught_up.set()
        finally:
            self._pulling.remove(peer)
            if peer in self._wanted:
                self._wake_up()

    async def _pause_before(self, peer: NodeId) -> None:
        last = self._pulled_at.pop(peer, None)
        if last is not None:
            await trio.sleep(max(0, last + LEDGER_NUDGE_SECONDS_MIN - trio.current_time()))
        self._pulled_at[peer] = trio.current_time()
        if len(self._pulled_at) > CONNECTIONS_MAX:
            del self._pulled_at[next(iter(self._pulled_at))]

    async def _pull(self, peer: NodeId, patience: trio.CancelScope) -> bool:
        """One pull; whether it brought news and there is more. Raises PeerError, Unreachable."""
        archive = self._archive
        pull = reconcile.Pull(archive.ids, skip=archive.unwanted)
        taken = 0
        while (request := pull.next_request()) is not None:
            with trio.fail_after(REQUEST_SECONDS_MAX):
                reply = await self._network.request(peer, Method.RECONCILE_LEDGER, request)
            with blaming(self._network, peer):
                for data in pull.receive(reply):
                    await trio.lowlevel.checkpoint()  # a batch takes milliseconds
                    if self._take(data):
                        taken += 1
                        patience.deadline = trio.current_time() + LEDGER_PULL_SECONDS_MAX
        if taken:
            log.debug("%d batches from %s", taken, short(peer))
        return pull.is_partial and taken > 0

    async def _answer(self, _peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return reconcile.answer(self._archive, body)


async def _drain(channel: trio.MemoryReceiveChannel[object]) -> None:
    """Take delivered messages off: the validator has done the work already."""
    async for _ in channel:
        pass
