"""What peers send is stored only after it is verified, whichever way it comes; then all agree."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.ledger.evidence import convict_account, evidence_id
from p2pgrid.ledger.messages import BatchItem, EvidenceItem, LedgerItem
from p2pgrid.model.certificate import CertifiedBatch, Equivocation
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Method, Network, Topic, Verdict
from p2pgrid.wire.codec import encode
from tests.crdt.replicas import Shelf
from tests.ledger.grids import (
    START,
    Chain,
    account_of,
    certify,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)
from tests.ledger.nodes import World

GENESIS = genesis_of(4)


def good_batch() -> CertifiedBatch:
    return certify(GENESIS, [Chain(GENESIS, "alice").next(pay("bob", 10))])


def forged_batch() -> CertifiedBatch:
    """Signatures of a quorum, but for another operation."""
    other = certify(GENESIS, [Chain(GENESIS, "alice").next(pay("evil", 10))])
    return replace(other, certificate=good_batch().certificate)


def too_few() -> CertifiedBatch:
    """Signed by one witness only."""
    batch = good_batch()
    first, *_ = batch.certificate.signatures
    return replace(
        batch, certificate=replace(batch.certificate, signers=b"\1", signatures=(first,))
    )


def evidence(culprit: str = "carol") -> Equivocation:
    chain = Chain(GENESIS, "carol")
    found = convict_account(chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2)))
    assert found is not None
    return replace(found, culprit=node_of(culprit))


FORGED: list[BatchItem | EvidenceItem] = [
    BatchItem(forged_batch()),
    BatchItem(too_few()),
    EvidenceItem(evidence("alice")),
]
GOOD: list[BatchItem | EvidenceItem] = [BatchItem(good_batch()), EvidenceItem(evidence())]


def identity_of(item: BatchItem | EvidenceItem) -> bytes:
    if isinstance(item, BatchItem):
        return item.batch.certificate.root
    return evidence_id(item.evidence.culprit)


class Liar(Shelf):
    """A replica that serves whatever it likes."""

    def __init__(self, items: list[BatchItem | EvidenceItem]) -> None:
        super().__init__()
        for item in items:
            self.put(encode(LedgerItem(item)), identity_of(item))

    async def handle(self, peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.answerer.answer(peer, body, 0)


async def send(peer: Network, items: list[BatchItem | EvidenceItem], *, by_gossip: bool) -> None:
    if not by_gossip:
        peer.serve(Method.RECONCILE_LEDGER, Liar(items).handle)
        return
    peer.subscribe(Topic.LEDGER, lambda _forwarder, _data: Verdict.ACCEPT)
    for item in items:
        await peer.publish(Topic.LEDGER, encode(LedgerItem(item)))


@pytest.mark.parametrize("by_gossip", [True, False])
async def test_what_is_good_is_taken_and_counts(by_gossip: bool, autojump_clock: MockClock) -> None:
    world = World(GENESIS)
    async with (
        world.open_full(witness_names(4)[0]) as service,
        world.hub.open(key_of("peer")) as peer,
    ):
        await peer.connect(world.networks[witness_names(4)[0]].addresses()[0])
        await trio.sleep(1)
        await send(peer, GOOD, by_gossip=by_gossip)
        await trio.sleep(10)

        assert (await service.account(account_of("bob"))).balance == START + 10
        assert [one.culprit for one in await service.evidence()] == [node_of("carol")]


@pytest.mark.parametrize("by_gossip", [True, False])
@pytest.mark.parametrize("case", range(3))
async def test_what_is_forged_is_dropped(
    case: int, by_gossip: bool, autojump_clock: MockClock
) -> None:
    world = World(GENESIS)
    async with (
        world.open_full(witness_names(4)[0]) as service,
        world.hub.open(key_of("peer")) as peer,
    ):
        await peer.connect(world.networks[witness_names(4)[0]].addresses()[0])
        await trio.sleep(1)
        await send(peer, [FORGED[case]], by_gossip=by_gossip)
        await trio.sleep(10)

        assert (await service.status()).operations == 0
        assert await service.evidence() == []
