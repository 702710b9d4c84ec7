"""Keeps the ledgers of full nodes equal: gossip for speed, comparison with peers for certainty."""

import logging
from collections.abc import Callable
from random import Random

import trio

from p2pgrid.crdt import reconcile
from p2pgrid.errors import GridError, PeerError
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, verify_batch
from p2pgrid.ledger.evidence import verify_evidence
from p2pgrid.ledger.messages import BatchItem, EvidenceItem, LedgerItem
from p2pgrid.limits.explorer import PULL_SECONDS_MAX
from p2pgrid.limits.ledger import LEDGER_NUDGE_SECONDS_MIN, LEDGER_RECONCILE_SECONDS
from p2pgrid.limits.net import GOSSIP_BYTES_MAX, REQUEST_SECONDS_MAX
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.model.certificate import Equivocation
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, PeerUp, Topic, Verdict
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
        self._pulled_at: dict[NodeId, float] = {}
        self._wake = trio.Event()
        self._outbox: list[LedgerItem] = []
        self._has_outgoing = trio.Event()
        self.caught_up = trio.Event()
        """Set once our ledger was compared with a peer's, or nobody else can certify anything."""
        own = network.id
        if archive.witnesses.weight_of(own) >= archive.witnesses.quorum:
            self.caught_up.set()

    def publish(self, item: BatchItem | EvidenceItem) -> None:
        """Tell the grid; returns before that is done."""
        self._outbox.append(LedgerItem(item))
        self._has_outgoing.set()

    def pull_soon(self, peer: NodeId) -> None:
        """Say that `peer` knows something that we lack."""
        if peer != self._network.id:
            self._wanted[peer] = None
            self._wake.set()

    async def run(self) -> None:
        """Listen, answer and catch up until cancelled."""
        channel = self._network.subscribe(Topic.LEDGER, self._validate)
        self._network.serve(Method.RECONCILE_LEDGER, self._answer)
        events = self._network.peer_events()
        self._wanted |= dict.fromkeys(self._network.peers())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, channel)
            nursery.start_soon(self._watch_peers, events)
            nursery.start_soon(self._catch_up)
            nursery.start_soon(self._send)

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
                if batch.certificate.root in self._archive.ids:
                    return False
                verified = verify_batch(batch, self._archive.witnesses, self._archive.network)
                for evidence in self._archive.admit(verified):
                    self._tell_of(evidence)
                self._on_admitted(verified)
                return True
            case EvidenceItem(evidence=evidence):
                if evidence.culprit in self._archive.convicted:
                    return False
                verify_evidence(evidence, [self._archive.witnesses], self._archive.network)
                return self._archive.admit_evidence(evidence)

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

    async def _catch_up(self) -> None:
        """Pull from every peer that comes up, and from a random one every few seconds."""
        while True:
            self._wake = trio.Event()
            while self._wanted:
                peer = next(iter(self._wanted))
                del self._wanted[peer]
                await self._pull_all(peer)
            with trio.move_on_after(LEDGER_RECONCILE_SECONDS) as pause:
                await self._wake.wait()
            if pause.cancelled_caught and (peers := self._network.peers()):
                await self._pull_all(self._random.choice(peers))

    async def _pull_all(self, peer: NodeId) -> None:
        """Pull what `peer` has and we lack; whatever it does, we go on."""
        last = self._pulled_at.get(peer)
        if last is not None:
            await trio.sleep(max(0, last + LEDGER_NUDGE_SECONDS_MIN - trio.current_time()))
        self._pulled_at[peer] = trio.current_time()
        try:
            with trio.fail_after(PULL_SECONDS_MAX):
                while await self._pull(peer):
                    pass
        except (GridError, trio.TooSlowError) as error:
            log.debug("pulling from %s: %r", short(peer), error)
            return
        self.caught_up.set()

    async def _pull(self, peer: NodeId) -> bool:
        """One pull; whether it brought news and there is more. Raises PeerError, Unreachable."""
        pull = reconcile.Pull(self._archive.ids)
        taken = 0
        while (request := pull.next_request()) is not None:
            with trio.fail_after(REQUEST_SECONDS_MAX):
                reply = await self._network.request(peer, Method.RECONCILE_LEDGER, request)
            for data in pull.receive(reply):
                await trio.lowlevel.checkpoint()  # a batch takes milliseconds
                taken += self._take(data)
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
