"""A proof convinces whoever holds the genesis record, and a changed one nobody."""

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.ledger.certificate import prove, verify_batch
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.payment_proof import PaymentProof, check_proof, read_proof, write_proof
from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import RecordId
from tests.ledger.council import Council, certify_in, operation_id
from tests.ledger.grids import Chain, genesis_of, pay

GENESIS = genesis_of(4)
ALICE = Chain(GENESIS, "alice")
PAID, OTHER = ALICE.next(pay("bob", 5)), ALICE.next(pay("carol", 6))
ELSE = operation_id(7)


def end_with(chain: EpochChain, *operations: RecordId) -> EpochCertificate:
    """End the current epoch of a chain with just these operations."""
    council = Council(4, chain)
    for member in council.members.values():
        member.books.operations.add(operations)
    council.close()
    decided = council.lead(0)
    assert decided is not None
    chain.append(decided)
    return decided


def proof_of(batch: CertifiedBatch, chain: EpochChain, *listed: RecordId) -> PaymentProof:
    epoch = batch.certificate.epoch
    verified = verify_batch(batch, chain.witness_sets[epoch], GENESIS.network)
    return PaymentProof(
        network=GENESIS.network,
        certified=prove(verified, PAID.id),
        ends=chain.certificates[: epoch + 1],
        operations=tuple(sorted(listed)) or None,
    )


@cache
def late_proof() -> PaymentProof:
    """Of an operation of epoch 1, which has ended with it."""
    chain = EpochChain(GENESIS)
    end_with(chain, ELSE)
    batch = certify_in(chain, [PAID, OTHER])
    end_with(chain, PAID.id, OTHER.id)
    return proof_of(batch, chain, PAID.id, OTHER.id)


def test_a_certified_payment_is_proven_before_its_epoch_ends() -> None:
    chain = EpochChain(GENESIS)
    proof = proof_of(certify_in(chain, [PAID, OTHER]), chain)

    proven = check_proof(read_proof(write_proof(proof)), GENESIS)

    assert (proven.id, proven.operation, proven.epoch) == (PAID.id, PAID.record, 0)
    assert (proven.weight_signed, proven.weight_total) == (4, 4)
    assert not proven.is_final


def test_a_payment_of_a_later_epoch_is_proven_through_those_before_and_final() -> None:
    proven = check_proof(read_proof(write_proof(late_proof())), GENESIS)
    assert (proven.epoch, proven.is_final) == (1, True)
    without_list = replace(late_proof(), operations=None)
    assert not check_proof(without_list, GENESIS).is_final


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"ends": ()}, "has not begun"),
        ({"ends": late_proof().ends[1:]}, "before those before"),
        ({"operations": (PAID.id,)}, "list of operations is not the epoch's"),
        ({"network": bytes(16)}, "is of grid"),
    ],
)
def test_a_proof_with_a_piece_exchanged_proves_nothing(change: dict[str, object], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        # One field, of any kind.
        check_proof(replace(late_proof(), **change), GENESIS)  # type: ignore[arg-type]


def test_what_its_epoch_ended_without_is_void() -> None:
    chain = EpochChain(GENESIS)
    batch = certify_in(chain, [PAID])
    end_with(chain, ELSE)
    with pytest.raises(BadInput, match="ended without this operation"):
        check_proof(proof_of(batch, chain, ELSE), GENESIS)


def test_a_minority_proves_nothing() -> None:
    proof = late_proof()
    certificate = proof.certified.certificate
    few = replace(certificate, signers=b"\x03", signatures=certificate.signatures[:2])
    with pytest.raises(BadInput, match="less weight"):
        check_proof(replace(proof, certified=replace(proof.certified, certificate=few)), GENESIS)


@given(st.integers(0, len(write_proof(late_proof())) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(place: int, change: int) -> None:
    data = bytearray(write_proof(late_proof()))
    data[place] ^= change
    with pytest.raises(BadInput):
        read_proof(bytes(data))


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_whoever_repairs_the_checksum_changes_nothing_that_counts(place: int, change: int) -> None:
    """The checksum is for accidents; what a forger changes fails by its signatures."""
    from p2pgrid.ledger import payment_proof

    content = bytearray(write_proof(late_proof())[:-8])
    content[len(b"p2pgrid payment proof 1\n") + place % 2000 % (len(content) - 24)] ^= change
    forged = bytes(content) + payment_proof._checksum(bytes(content))
    try:
        proven = check_proof(read_proof(forged), GENESIS)
    except BadInput:
        return
    assert (proven.id, proven.operation) == (PAID.id, PAID.record)


@pytest.mark.parametrize("data", [b"", b"p2pgrid payment proof 1\n", b"something else" * 10])
def test_what_is_no_proof_is_told_apart(data: bytes) -> None:
    with pytest.raises(BadInput):
        read_proof(data)
