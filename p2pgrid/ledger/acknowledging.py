"""The shell of `Acknowledgements`: asks witnesses for what was certified here, and answers."""

import logging
from collections.abc import Sequence

import trio

from p2pgrid.errors import GridError, Refused
from p2pgrid.ledger.acknowledgements import Acknowledgements, may_acknowledge
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified
from p2pgrid.ledger.epoch_fetching import ask
from p2pgrid.ledger.epoch_messages import AcknowledgeQuery, AcknowledgeReport
from p2pgrid.limits.epochs import ACKNOWLEDGE_SECONDS
from p2pgrid.model.ids import NodeId, RecordId, short
from p2pgrid.net.network import Method, Network
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


class Acknowledging:
    """Learns what is final before the epoch ends. One task calls `run`."""

    def __init__(self, network: Network, archive: Archive, store: Store) -> None:
        self._network = network
        self._archive = archive
        self._store = store
        self._tally = Acknowledgements(archive.witnesses)
        self._has_news = trio.Event()

    def is_final(self, operation: RecordId) -> bool:
        """Whether an operation stays certified, whatever comes."""
        return self._archive.epochs.is_final(operation) or self._tally.is_final(operation)

    def add(self, verified: Verified) -> None:
        """Ask for a batch that was certified here."""
        self._tally.add(verified)
        self._has_news.set()

    def begin(self) -> None:
        """An epoch has begun."""
        self._tally.begin(self._archive.witnesses)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self._has_news.wait()
            await trio.sleep(ACKNOWLEDGE_SECONDS)
            self._has_news = trio.Event()
            async with trio.open_nursery() as nursery:
                for witness, batches in self._tally.questions().items():
                    nursery.start_soon(self._ask, witness, self._tally.epoch, batches)
            if self._tally.is_waiting:
                self._has_news.set()

    async def _ask(self, witness: NodeId, epoch: int, batches: tuple[bytes, ...]) -> None:
        query = AcknowledgeQuery(epoch=epoch, batches=batches)
        try:
            if witness == self._network.id:
                stored: Sequence[bytes] = await self._acknowledge(query)
            else:
                method = Method.LEDGER_ACKNOWLEDGE
                stored = (
                    await ask(self._network, witness, method, query, AcknowledgeReport)
                ).batches
        except GridError as error:
            log.debug("witness %s acknowledges nothing: %s", short(witness), error)
        else:
            self._tally.acknowledge(witness, epoch, stored)

    async def answer(self, _peer: NodeId, body: bytes) -> bytes:
        """Say which batches this witness stores durably, and stands up for.

        Raises:
            Refused: this node is no witness of that epoch, or not ready to be.
            PeerError: that is no such question.
            StoreFailed: they are not durable, so nothing is said.
        """
        stored = await self._acknowledge(decode(AcknowledgeQuery, body))
        return encode(AcknowledgeReport(batches=tuple(stored)))

    async def _acknowledge(self, query: AcknowledgeQuery) -> list[bytes]:
        archive, epochs = self._archive, self._archive.epochs
        if query.epoch != epochs.chain.epoch or not epochs.is_settled or not archive.is_witness:
            raise Refused(f"no witness of epoch {query.epoch}")
        operations, stored, changes = epochs.operations_of(query.epoch), [], list[Change]()
        for identity in query.batches:
            batch = archive.batch(identity)
            if batch is None or batch.certificate.epoch != query.epoch:
                continue
            if may_acknowledge(operations, archive.ids_in(batch)):
                stored.append(identity)
                changes.append((Table.BATCH.key(identity), encode(batch)))
        await self._store.commit(changes)
        return stored
