"""Fetches what a replica lacks of an epoch: the ends of epochs, lists of operations, batches."""

import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol, TypeVar

import trio

from p2pgrid.errors import BrokenProtocol, Unreachable
from p2pgrid.ledger.epoch_messages import (
    BatchesQuery,
    BatchesReport,
    CutQuery,
    CutReport,
    EpochsQuery,
    EpochsReport,
)
from p2pgrid.ledger.epoch_operations import Cut, cut_of
from p2pgrid.limits.epochs import (
    BATCHES_ASKED_MAX,
    CUT_OPERATIONS_MAX,
    EPOCH_ANSWER_SECONDS_MAX,
)
from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.net.asking import ask_one
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.wire.codec import encode

log = logging.getLogger(__name__)

_M = TypeVar("_M")


class TakesBatches(Protocol):
    """What verifies and stores a batch of a peer."""

    def take_batch(self, batch: CertifiedBatch) -> bool:
        """Whether it brought news. Raises PeerError."""
        ...


async def ask(
    network: Network, peer: NodeId, method: Method, query: object, answer: type[_M]
) -> _M:
    """One answer of one peer. Raises GridError; the peer is blamed for what is no answer."""
    body = encode(query)
    return await ask_one(network, peer, method, body, answer, EPOCH_ANSWER_SECONDS_MAX)


async def fetch_epochs(network: Network, peer: NodeId, first: int) -> tuple[EpochCertificate, ...]:
    """The ends of epochs from `first` on that a peer knows, some of them; not verified."""
    query = EpochsQuery(first=first)
    return (await ask(network, peer, Method.LEDGER_EPOCHS, query, EpochsReport)).certificates


async def fetch_cut(network: Network, peer: NodeId, epoch: int, root: bytes) -> Cut:
    """The operations of a set by its name. Raises GridError: the peer has no such set, or lies."""
    found: list[RecordId] = []
    while True:
        query = CutQuery(epoch=epoch, root=root, after=found[-1] if found else b"")
        report = await ask(network, peer, Method.LEDGER_EPOCH_OPERATIONS, query, CutReport)
        with blaming(network, peer):
            ordered = [*found[-1:], *report.operations]
            if any(one >= other for one, other in pairwise(ordered)):
                raise BrokenProtocol("a list of operations is not sorted")
            if not report.is_last and not report.operations:
                raise BrokenProtocol("a list of operations does not go on")
            found += report.operations
            if len(found) > CUT_OPERATIONS_MAX:
                raise BrokenProtocol(f"an epoch has at most {CUT_OPERATIONS_MAX} operations")
        if report.is_last:
            break
    cut = cut_of(found)
    with blaming(network, peer):
        if cut.root != root:
            raise BrokenProtocol("a list of operations is not the one that it is called")
    return cut


async def fetch_batches(
    network: Network,
    peer: NodeId,
    epoch: int,
    missing: Callable[[], Sequence[RecordId]],
    ledger: TakesBatches,
) -> None:
    """Have a peer send the batches that are missing, and take them in.

    Raises:
        GridError: it does not have them all, or lies.
    """
    while wanted := missing():
        query = BatchesQuery(epoch=epoch, operations=tuple(wanted[:BATCHES_ASKED_MAX]))
        report = await ask(network, peer, Method.LEDGER_BATCHES, query, BatchesReport)
        with blaming(network, peer):
            for batch in report.batches:
                ledger.take_batch(batch)
                await trio.lowlevel.checkpoint()
        if len(missing()) >= len(wanted):
            raise Unreachable("a peer does not have all the batches that it names")
