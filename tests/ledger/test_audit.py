"""An audit finds every kind of damage to what is stored, and nothing where all is well."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.audit import Audit, AuditReport
from p2pgrid.ledger.certificate import WitnessSet, first_witnesses, verify_batch
from p2pgrid.ledger.evidence import convict_account, evidence_id
from p2pgrid.ledger.state import LedgerState
from p2pgrid.limits.ledger import AUDIT_FINDINGS_MAX
from p2pgrid.model.certificate import CertifiedBatch, Equivocation
from p2pgrid.model.operation import Operation, SettleEscrow
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import Amount
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Envelope, Signed, open_envelope
from tests.ledger.grids import (
    NOW,
    START,
    Chain,
    certify,
    escrow_terms,
    genesis_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network


class Stored:
    """What one witness has on its disk: two batches, a proof, a vote; and what it works with."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.archive = Archive(GENESIS, self.store, node_of(witness_names(4)[0]), lambda: NOW)
        self.alice, mallory = Chain(GENESIS, "alice"), Chain(GENESIS, "bob")
        opened = self.alice.next(escrow_terms())
        settle = SettleEscrow(escrow=opened.id, to_farm=Amount(7), evidence=bytes(32))
        self.first = self.admit(opened, Chain(GENESIS, "node").next(settle, fee=0))
        self.second = self.admit(self.alice.next(pay("bob", 5)), self.alice.next(pay("carol", 6)))
        proof = convict_account(mallory.fork(pay("carol", 1)), mallory.fork(pay("carol", 2)))
        assert proof is not None
        self.proof = proof
        self.archive.admit_evidence(proof)
        self.voted = Chain(GENESIS, "carol").next(pay("bob", 3))
        votes = [(Table.VOTED_OPERATION.key(self.voted.id), self.voted.envelope)]
        votes += [(Table.VOTE.key(slot), self.voted.id) for slot in self.voted.record.slots]
        self.store.write(votes)

    def admit(self, *operations: Signed[Operation]) -> bytes:
        verified = verify_batch(certify(GENESIS, operations), WITNESSES, NETWORK)
        self.archive.admit(verified)
        return verified.id

    def rewrite(self, key: bytes, change: Callable[[bytes], bytes]) -> None:
        data = self.store.get(key)
        assert data is not None
        self.store.write([(key, change(data))])

    def rewrite_batch(self, change: Callable[[CertifiedBatch], CertifiedBatch]) -> None:
        self.rewrite(
            Table.BATCH.key(self.second),
            lambda data: encode(change(decode(CertifiedBatch, data))),
        )

    def table(self, table: Table) -> list[tuple[bytes, bytes]]:
        return [(key[1:], data) for key, data in self.store.scan(table)]

    def audit(self, in_use: LedgerState | None = None) -> AuditReport:
        def witnesses_of(epoch: int) -> WitnessSet | None:
            return WITNESSES if epoch == 0 else None

        audit = Audit(GENESIS, witnesses_of)
        audit.take_batches(self.table(Table.BATCH))
        audit.take_evidence(self.table(Table.EVIDENCE))
        audit.take_votes(self.table(Table.VOTED_OPERATION), self.table(Table.VOTE))
        return audit.conclude(in_use or self.archive.state, self.archive.convicted)


def wrong(report: AuditReport) -> set[str]:
    """The first words of every rule that does not hold."""
    assert report.is_sound == (not any(check.wrong for check in report.checks))
    for check in report.checks:
        assert bool(check.findings) == bool(check.wrong)
        assert len(check.findings) <= AUDIT_FINDINGS_MAX
    return {" ".join(check.rule.split()[:3]) for check in report.checks if check.wrong}


def unsigned(batch: CertifiedBatch) -> CertifiedBatch:
    certificate = batch.certificate
    bad = (bytes(64), *certificate.signatures[1:])
    return replace(batch, certificate=replace(certificate, signatures=bad))


def below_quorum(batch: CertifiedBatch) -> CertifiedBatch:
    certificate = batch.certificate
    few = replace(certificate, signers=b"\x03", signatures=certificate.signatures[:2])
    return replace(batch, certificate=few)


def test_what_is_whole_is_sound_and_all_of_it_was_looked_at() -> None:
    report = Stored().audit()

    assert report.is_sound
    assert report.supply == 3 * START
    assert [check.count for check in report.checks] == [2, 4, 4, 4, 1, 5, 1, 1, 1, 5]


@pytest.mark.parametrize(
    "change",
    [
        unsigned,
        below_quorum,
        lambda batch: replace(batch, operations=batch.operations[::-1]),
        lambda batch: replace(batch, certificate=replace(batch.certificate, epoch=1)),
    ],
)
def test_a_batch_without_its_quorum_is_found_and_what_follows_from_it_is_missing(
    change: Callable[[CertifiedBatch], CertifiedBatch],
) -> None:
    stored = Stored()
    stored.rewrite_batch(change)

    assert wrong(stored.audit()) == {"a quorum of", "the state in"}


def test_a_batch_under_another_root_and_one_cut_short_are_found() -> None:
    stored = Stored()
    data = stored.store.get(Table.BATCH.key(stored.second))
    stored.store.write([(Table.BATCH.key(bytes(32)), data)])
    assert wrong(stored.audit()) == {"a quorum of"}

    cut = Stored()
    cut.rewrite(Table.BATCH.key(cut.second), lambda data: data[:-1])
    assert wrong(cut.audit()) == {"a quorum of", "the state in"}


def test_an_operation_that_its_account_did_not_sign_is_found_below_a_true_certificate() -> None:
    stored = Stored()
    signed = stored.alice.next(pay("bob", 1))
    opened = open_envelope(signed.envelope)
    forged = encode(Envelope(opened.kind, opened.body, bytes(64)))
    stored.admit(Signed(signed.record, signed.id, forged))

    assert wrong(stored.audit()) == {"each operation is"}


def test_two_certificates_in_one_slot_are_found() -> None:
    stored = Stored()
    stored.admit(Chain(GENESIS, "alice", stored.alice.operations[:1]).fork(pay("carol", 9)))

    report = stored.audit()
    assert "no slot has" in wrong(report)
    assert "the state in" not in wrong(report)


def test_an_account_that_spent_too_much_and_a_chain_with_a_gap_are_found() -> None:
    stored = Stored()
    carol = Chain(GENESIS, "carol")
    carol.next(pay("bob", 1))
    stored.admit(Chain(GENESIS, "bob").next(pay("alice", 2 * START)), carol.next(pay("bob", 1)))

    report = stored.audit()
    assert wrong(report) == {"no account spent", "each operation follows"}
    assert any("convicted" in one for check in report.checks for one in check.findings)


def test_evidence_that_proves_nothing_or_lies_elsewhere_is_found() -> None:
    def blamed(data: bytes) -> bytes:
        return encode(replace(decode(Equivocation, data), culprit=node_of("alice")))

    stored, moved = Stored(), Stored()
    key = Table.EVIDENCE.key(evidence_id(stored.proof.culprit))
    stored.rewrite(key, blamed)
    moved.store.write([(Table.EVIDENCE.key(bytes(32)), encode(moved.proof))])

    assert wrong(stored.audit()) == wrong(moved.audit()) == {"each proof of"}


def test_a_vote_for_nothing_is_found() -> None:
    missing, bent = Stored(), Stored()
    missing.store.write([(Table.VOTED_OPERATION.key(missing.voted.id), None)])
    bent.rewrite(Table.VOTED_OPERATION.key(bent.voted.id), lambda data: data[:-1] + b"\0")

    assert wrong(missing.audit()) == wrong(bent.audit()) == {"each vote kept"}


def test_a_state_in_use_that_is_not_what_is_stored_is_found() -> None:
    stored = Stored()

    assert wrong(stored.audit(LedgerState(GENESIS))) == {"the state in"}


def test_many_findings_of_a_kind_are_counted_and_some_are_told() -> None:
    stored = Stored()
    for number in range(AUDIT_FINDINGS_MAX + 5):
        stored.store.write([(Table.EVIDENCE.key(bytes([number]) * 32), encode(stored.proof))])
    (check,) = [one for one in stored.audit().checks if one.wrong]

    assert check.wrong == AUDIT_FINDINGS_MAX + 5
    assert len(check.findings) == AUDIT_FINDINGS_MAX
