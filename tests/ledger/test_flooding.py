"""What costs its sender nothing costs the grid little, and slow peers hold up nobody."""

from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import permutations

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.crdt.messages import Below, Children, Compared, Descend, Differs, Request
from p2pgrid.errors import InsufficientBalance, Refused
from p2pgrid.ledger import archive as archive_module
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.ballot import Ballot, examine
from p2pgrid.ledger.certificate import Verified, first_witnesses, verify_batch
from p2pgrid.ledger.evidence import convict_account, evidence_id
from p2pgrid.ledger.messages import BatchItem, EvidenceItem, LedgerItem
from p2pgrid.limits.ledger import BALLOTS_PER_PEER_MAX, ENTRY_DOUBTFUL_PER_PEER_MAX
from p2pgrid.model.certificate import Equivocation
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.net.network import Method
from p2pgrid.store.memory import MemoryStore
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, sign
from tests.crdt.replicas import Shelf
from tests.ledger.grids import (
    NOW,
    START,
    Chain,
    account_of,
    certify,
    epoch_keys,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)
from tests.ledger.nodes import World
from tests.ledger.test_ballot import request

GENESIS = genesis_of(3)
WITNESSES = first_witnesses(GENESIS)


def archive_of(store: MemoryStore | None = None) -> Archive:
    return Archive(GENESIS, store or MemoryStore(), node_of("node"), lambda: NOW)


def batch_of(*operations: Signed[Operation]) -> Verified:
    return verify_batch(certify(GENESIS, operations), WITNESSES, GENESIS.network)


def evidence_against(name: str) -> Equivocation:
    chain = Chain(GENESIS, name)
    found = convict_account(chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2)))
    assert found is not None
    return found


# --- what is stored -------------------------------------------------------------------------------


def test_a_batch_without_news_is_not_stored() -> None:
    """Whoever has operations under way gets them certified in every order."""
    archive = archive_of()
    chains = [Chain(GENESIS, name) for name in ("alice", "bob", "carol")]
    operations = [chain.next(pay("dave", 1)) for chain in chains]
    for some in permutations(operations):
        archive.admit(batch_of(*some))
    archive.admit(batch_of(operations[0]))

    assert archive.batch_count == 1
    assert archive.state.account(account_of("dave")).balance == 3
    archive.admit(batch_of(operations[0], chains[0].next(pay("dave", 1))))
    assert archive.batch_count == 2


def test_nobody_is_convicted_who_could_never_pay() -> None:
    archive = archive_of()
    nobody, dust = evidence_against("nobody"), evidence_against("dusty")
    archive.admit(batch_of(Chain(GENESIS, "alice").next(pay("dusty", GENESIS.pricing.fee - 1))))

    assert not archive.admit_evidence(nobody)
    assert not archive.admit_evidence(dust)
    assert archive.admit_evidence(evidence_against("carol"))
    assert set(archive.convicted) == {node_of("carol")}


def test_a_proof_counts_once_its_account_has_funds() -> None:
    archive = archive_of()
    evidence = evidence_against("dave")
    archive.refuse(evidence_id(evidence.culprit))
    archive.admit(batch_of(Chain(GENESIS, "alice").next(pay("dave", 100))))

    assert not archive.unwanted
    assert archive.admit_evidence(evidence)


def test_so_many_convicted_accounts_are_kept_also_after_a_restart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_module, "ACCOUNT_EVIDENCE_MAX", 2)
    store = MemoryStore()
    archive = archive_of(store)
    assert archive.admit_evidence(evidence_against("alice"))
    assert archive.admit_evidence(evidence_against("bob"))

    assert not archive.admit_evidence(evidence_against("carol"))
    assert not archive_of(store).admit_evidence(evidence_against("carol"))


def test_what_is_refused_is_remembered_for_the_latest_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_module, "LEDGER_UNWANTED_MAX", 2)
    archive = archive_of()
    for number in range(4):
        archive.refuse(bytes([number]) * 32)

    assert list(archive.unwanted) == [bytes([2]) * 32, bytes([3]) * 32]


class Dump(Shelf):
    """A peer that offers what nobody wants, and counts how often it is fetched."""

    def __init__(self, records: dict[bytes, bytes]) -> None:
        super().__init__()
        for identity, record in records.items():
            self.put(record, identity)

    async def handle(self, peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.answerer.answer(peer, body, 0)


async def test_what_is_refused_is_fetched_once(autojump_clock: MockClock) -> None:
    one, other = (Chain(GENESIS, name).next(pay("dave", 1)) for name in ("alice", "bob"))
    batches = [batch_of(one, other), batch_of(other, one)]
    nobody = evidence_against("nobody")
    dump = Dump(
        {found.id: encode(LedgerItem(BatchItem(found.batch))) for found in batches}
        | {evidence_id(nobody.culprit): encode(LedgerItem(EvidenceItem(nobody)))}
    )
    world = World(GENESIS)
    async with world.open_full("node") as service, world.hub.open(key_of("dump")) as peer:
        peer.serve(Method.RECONCILE_LEDGER, dump.handle)
        await peer.connect(world.networks["node"].addresses()[0])
        await trio.sleep(30)
        status = await service.status()

        assert (status.batches, status.operations) == (1, 2)
        assert await service.evidence() == []
        assert dump.fetched == 3


# --- what is worked on ----------------------------------------------------------------------------


async def test_who_cannot_pay_does_not_get_into_a_proposal(autojump_clock: MockClock) -> None:
    world = World(GENESIS)
    orphan = replace(
        Chain(GENESIS, "poor").fork(pay("bob", 1)).record,
        sequence=5,
        previous=RecordId(b"\1" * 32),
    )
    signed = sign(orphan, key_of("poor"), GENESIS.network)
    async with world.open_full(witness_names(3)[0]) as service:
        with pytest.raises(InsufficientBalance), trio.fail_after(1):
            await service.submit(signed.envelope, submitter=node_of("peer"))


async def test_one_peer_has_few_doubtful_operations_under_way(autojump_clock: MockClock) -> None:
    """Their predecessor is not known: each would stay for 20 s and spoil its proposals."""
    world = World(genesis_of(3, tuple((f"rich{n}", START) for n in range(9))))
    doubtful = [
        sign(
            replace(
                Chain(world.genesis, f"rich{number}").fork(pay("bob", 1)).record,
                sequence=1,
                previous=RecordId(b"\1" * 32),
            ),
            key_of(f"rich{number}"),
            world.genesis.network,
        )
        for number in range(9)
    ]
    refusals: list[str] = []
    async with world.open_full(witness_names(3)[0]) as service:

        async def submit(number: int, submitter: str) -> None:
            with trio.move_on_after(10):
                try:
                    await service.submit(doubtful[number].envelope, submitter=node_of(submitter))
                except Refused as error:
                    refusals.append(str(error))

        async with trio.open_nursery() as nursery:
            for number in range(8):
                nursery.start_soon(submit, number, "flooder")
            nursery.start_soon(submit, 8, "other")
        assert len(refusals) == 8 - ENTRY_DOUBTFUL_PER_PEER_MAX
        assert "does not know" in refusals[0]
        refusals.clear()
        await submit(0, "flooder")
        assert refusals == []


def test_keys_are_looked_at_only_where_there_are_funds() -> None:
    archive = archive_of()
    poor = Chain(GENESIS, "poor").fork(pay("new", 1))
    rich = Chain(GENESIS, "alice").fork(pay("new", 1))
    candidates = examine([poor.envelope, rich.envelope], GENESIS.network, archive.state)

    assert [one.has_usable_keys for one in candidates] == [None, True]


class Stuck(MemoryStore):
    """A disk that never finishes, and says how many wait for it."""

    waiting = 0

    async def commit(self, changes: object) -> None:
        self.waiting += 1
        await trio.sleep_forever()


async def test_one_asker_occupies_a_witness_with_few_requests(autojump_clock: MockClock) -> None:
    store = Stuck()
    name = witness_names(4)[0]
    archive = Archive(genesis_of(4), store, node_of(name), lambda: NOW)
    ballot = Ballot(
        archive, store, epoch_keys(key_of(name), store), lambda: NOW, on_behind=lambda _: None
    )
    body = encode(request(Chain(genesis_of(4), "alice").next(pay("bob", 1))))
    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(ballot.answer, node_of("flooder"), body)
        await trio.testing.wait_all_tasks_blocked()
        assert store.waiting == BALLOTS_PER_PEER_MAX
        nursery.start_soon(ballot.answer, node_of("honest"), body)
        await trio.testing.wait_all_tasks_blocked()
        assert store.waiting == BALLOTS_PER_PEER_MAX + 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("slow_count", [1, 2])
async def test_slow_peers_do_not_hold_up_catching_up(
    slow_count: int, autojump_clock: MockClock
) -> None:
    """They answer each question after 8 s, for ever; an honest peer has news."""
    world = World(GENESIS)
    news = batch_of(Chain(GENESIS, "alice").next(pay("bob", 1)))

    async def drip(_peer: NodeId, body: bytes) -> bytes:
        await trio.sleep(8)
        question = decode(Request, body).question
        if isinstance(question, Descend):
            return encode(Below((Children(bytes(64)),) * len(question.prefixes)))
        return encode(Compared(Differs(7, 0, 10**6, bytes(16))))

    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(world.open_full("node"))
        address = world.networks["node"].addresses()[0]
        for number in range(slow_count):
            slow = await stack.enter_async_context(world.hub.open(key_of(f"slow{number}")))
            slow.serve(Method.RECONCILE_LEDGER, drip)
            await slow.connect(address)
        await trio.sleep(1)
        honest = await stack.enter_async_context(world.hub.open(key_of("honest")))
        item = encode(LedgerItem(BatchItem(news.batch)))
        honest.serve(Method.RECONCILE_LEDGER, Dump({news.id: item}).handle)
        await honest.connect(address)
        await trio.sleep(2)

        assert (await service.account(account_of("bob"))).balance == START + 1
