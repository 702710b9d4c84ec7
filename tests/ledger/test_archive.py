"""What is in memory is what a restart finds on disk; double certificates convict their signers."""

from random import Random

import pytest

from p2pgrid.crdt.answerer import Answerer
from p2pgrid.crdt.reconcile import Pull
from p2pgrid.errors import Unusable
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import Verified, first_witnesses, verify_batch, verify_proof
from p2pgrid.ledger.messages import BatchItem, LedgerItem
from p2pgrid.ledger.purse import Purse
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import Operation
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.wire.codec import decode
from p2pgrid.wire.signed import Signed
from tests.ledger.grids import (
    NOW,
    START,
    Chain,
    account_of,
    certify,
    genesis_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network


def opened(store: MemoryStore) -> Archive:
    return Archive(GENESIS, store, node_of("node"), lambda: NOW)


def batch_of(*operations: Signed[Operation], signers: list[str] | None = None) -> Verified:
    return verify_batch(certify(GENESIS, operations, signers=signers or ()), WITNESSES, NETWORK)


def payments(count: int) -> list[Signed[Operation]]:
    alice = Chain(GENESIS, "alice")
    return [alice.next(pay("bob", 10)) for _ in range(count)]


def test_a_restart_folds_the_same_state() -> None:
    store = MemoryStore()
    archive = opened(store)
    first, second, third = payments(3)
    archive.admit(batch_of(first, second))
    archive.admit(batch_of(second, third))
    again = opened(store)

    assert again.state.accounts() == archive.state.accounts()
    assert again.state.account(account_of("bob")).balance == START + 30
    assert list(again.ids) == list(archive.ids)
    assert again.batch_count == 2


async def test_what_is_kept_is_proven_to_others() -> None:
    archive = opened(MemoryStore())
    (one,) = payments(1)
    await archive.keep(batch_of(one))
    proof = archive.proof(one.id)

    assert archive.is_kept(one.id)
    assert proof is not None
    assert verify_proof(proof, WITNESSES, NETWORK) == (one.id, one.record)
    assert archive.envelope_of(one.id) == one.envelope
    assert archive.proof(payments(2)[1].id) is None


def test_a_broken_batch_on_disk_is_dropped_and_fetched_anew() -> None:
    store, full = MemoryStore(), opened(MemoryStore())
    verified = batch_of(*payments(1))
    for archive in (opened(store), full):
        archive.admit(verified)
    store.write([(Table.BATCH.key(verified.id), b"rotten")])
    damaged = opened(store)
    assert damaged.batch_count == 0
    answerer = Answerer(full, Random(1))
    pull = Pull(damaged.ids, damaged.unwanted, nonce=bytes(8))
    while (request := pull.next_request()) is not None:
        for data in pull.receive(answerer.answer(b"peer", request, 0)):
            item = decode(LedgerItem, data).item
            assert isinstance(item, BatchItem)
            damaged.admit(verify_batch(item.batch, WITNESSES, NETWORK))

    assert damaged.state.accounts() == full.state.accounts()
    assert opened(store).batch_count == 1


def test_what_was_signed_and_cannot_be_read_stops_the_start() -> None:
    """To go on would be to sign a second time for a place."""
    store = MemoryStore()
    store.write(
        [(table.key(bytes(32)), b"rotten") for table in (Table.VOTED_OPERATION, Table.PENDING)]
    )

    with pytest.raises(Unusable, match="damaged on disk"):
        Purse(store, NETWORK)
    with pytest.raises(Unusable, match="damaged on disk"):
        opened(store)


def test_two_certificates_in_one_slot_convict_and_halt_also_after_a_restart(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryStore()
    archive = opened(store)
    names = witness_names(4)
    chain = Chain(GENESIS, "alice")
    assert archive.admit(batch_of(chain.fork(pay("bob", 1)), signers=names[:3])) == []
    assert "ALARM" not in caplog.text
    evidence = archive.admit(batch_of(chain.fork(pay("bob", 2)), signers=names[1:]))

    assert caplog.text.count("ALARM: slot") == 1
    assert {one.culprit for one in evidence} == {NodeId(node_of(name)) for name in names[1:3]}
    for one in (archive, opened(store)):
        assert one.state.is_alarmed
        assert set(one.convicted) == {node_of(name) for name in names[1:3]}
        assert len(one.ids) == 4
        assert one.batch_count == 2


def test_one_proof_for_each_culprit_is_kept() -> None:
    archive = opened(MemoryStore())
    names = witness_names(4)
    chain = Chain(GENESIS, "alice")
    archive.admit(batch_of(chain.fork(pay("bob", 1)), signers=names[:3]))
    evidence = archive.admit(batch_of(chain.fork(pay("bob", 2)), signers=names[:3]))

    assert len(evidence) == 3
    assert archive.admit(batch_of(chain.fork(pay("bob", 3)), signers=names[:3])) == []
    assert not any(archive.admit_evidence(one) for one in evidence)
