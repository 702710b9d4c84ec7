"""A certificate holds when a quorum of the witness set signed exactly these operations."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadSignature, BrokenProtocol, MalformedRecord, PeerError
from p2pgrid.ledger.certificate import (
    WitnessSet,
    assemble,
    bitmap,
    first_witnesses,
    merkle_path,
    merkle_root,
    prove,
    quorum_of,
    root_of_path,
    verify_batch,
    verify_certificate,
    verify_proof,
    vote_for,
    vote_message,
)
from p2pgrid.limits.ledger import BATCH_OPERATION_BYTES_MAX
from p2pgrid.limits.net import GOSSIP_BYTES_MAX
from p2pgrid.model.certificate import Certificate, CertifiedBatch
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import open_envelope, sign_message
from tests.ledger.grids import (
    Chain,
    certify,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)

ids = st.binary(min_size=32, max_size=32)


@given(st.integers(1, 10_000))
def test_two_quorums_share_more_than_a_third_and_one_is_reachable_without_it(total: int) -> None:
    quorum = quorum_of(total)
    faulty_max = (total - 1) // 3

    assert 2 * quorum - total > faulty_max
    assert quorum <= total - faulty_max


@given(st.lists(ids, min_size=1, max_size=40), st.data())
def test_a_merkle_path_leads_to_the_root_and_only_for_its_leaf(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    other = data.draw(ids.filter(lambda one: one != leaves[index]))
    path = merkle_path(leaves, index)

    assert root_of_path(leaves[index], index, len(leaves), path) == merkle_root(leaves)
    assert root_of_path(other, index, len(leaves), path) != merkle_root(leaves)
    with pytest.raises(MalformedRecord):
        root_of_path(leaves[index], index, len(leaves), (*path, bytes(32)))


@given(st.lists(ids, min_size=1, max_size=9), st.lists(ids, min_size=1, max_size=9))
def test_no_two_lists_share_a_root(one: list[bytes], other: list[bytes]) -> None:
    assert (merkle_root(one) == merkle_root(other)) == (one == other)


def test_doubling_the_last_leaf_changes_the_root() -> None:
    """Otherwise a batch of 3 and one of 4 would be the same: CVE-2012-2459."""
    assert merkle_root([b"a", b"b", b"c"]) != merkle_root([b"a", b"b", b"c", b"c"])


def test_a_node_of_the_tree_is_no_leaf() -> None:
    inner = merkle_root([b"a" * 32, b"b" * 32])

    assert merkle_root([inner]) != inner


def signed_by(count: int, names: list[str]) -> Certificate | None:
    witnesses = first_witnesses(genesis_of(count))
    vote = vote_for([bytes(32)], witnesses)
    message = vote_message(vote, genesis_of(count).network)
    return assemble(
        vote, {node_of(name): sign_message(message, key_of(name)) for name in names}, witnesses
    )


@given(st.sampled_from([1, 2, 3, 4, 7]), st.data())
def test_a_certificate_needs_a_quorum(count: int, data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(witness_names(count)), unique=True))
    certificate = signed_by(count, names)

    assert (certificate is None) == (len(names) < quorum_of(count))
    if certificate is not None:
        verify_certificate(
            decode(Certificate, encode(certificate)),
            first_witnesses(genesis_of(count)),
            genesis_of(count).network,
        )


def test_weights_count_not_heads() -> None:
    heavy, *light = witness_names(4)
    witnesses = WitnessSet(0, tuple((node_of(name), 1) for name in light))
    witnesses = WitnessSet(0, tuple(sorted([*witnesses.members, (node_of(heavy), 10)])))
    vote = vote_for([bytes(32)], witnesses)
    message = vote_message(vote, genesis_of(4).network)

    assert assemble(vote, {node_of(heavy): sign_message(message, key_of(heavy))}, witnesses)
    assert not assemble(
        vote, {node_of(name): sign_message(message, key_of(name)) for name in light}, witnesses
    )


def tampered(certificate: Certificate) -> list[Certificate]:
    first, *rest = certificate.signatures
    return [
        replace(certificate, epoch=1),
        replace(certificate, witness_set_hash=bytes(32)),
        replace(certificate, root=bytes(31) + b"\1"),
        replace(certificate, signatures=(first,), signers=certificate.signers),
        replace(certificate, signatures=(first,), signers=bitmap([0])),
        replace(certificate, signatures=(first, first, first), signers=bitmap([0, 1, 2])),
        replace(certificate, signatures=(*rest, first)),
        replace(certificate, signers=certificate.signers + b"\0"),
        replace(certificate, signers=bitmap([0, 1, 9])),
    ]


@pytest.mark.parametrize("case", range(9))
def test_a_changed_certificate_is_refused(case: int) -> None:
    certificate = signed_by(4, witness_names(4)[:3])
    assert certificate is not None
    bad = tampered(certificate)[case]

    with pytest.raises(PeerError):
        verify_certificate(bad, first_witnesses(genesis_of(4)), genesis_of(4).network)


def test_a_certificate_of_another_grid_is_refused() -> None:
    certificate = signed_by(4, witness_names(4))
    assert certificate is not None
    other = genesis_of(4, (("alice", 1),))

    with pytest.raises(BadSignature):
        verify_certificate(certificate, first_witnesses(other), other.network)


def test_a_batch_is_refused_with_other_operations() -> None:
    genesis = genesis_of(4)
    alice, bob = Chain(genesis, "alice"), Chain(genesis, "bob")
    batch = certify(genesis, [alice.next(pay("bob", 1)), bob.next(pay("carol", 2))])
    swapped = replace(batch, operations=batch.operations[::-1])

    verify_batch(batch, first_witnesses(genesis), genesis.network)
    with pytest.raises(BrokenProtocol):
        verify_batch(swapped, first_witnesses(genesis), genesis.network)


def without_signature(envelope: bytes) -> bytes:
    opened = open_envelope(envelope)
    return encode(replace(opened, signature=bytes(64)))


def test_a_certificate_binds_the_signatures_of_its_operations() -> None:
    """With one spoilt, a second spend of that account could not be proven any more."""
    genesis = genesis_of(4)
    witnesses, signed = first_witnesses(genesis), Chain(genesis, "alice").next(pay("bob", 1))
    batch = certify(genesis, [signed])
    proof = prove(verify_batch(batch, witnesses, genesis.network), signed.id)
    spoilt = without_signature(signed.envelope)

    with pytest.raises(BrokenProtocol):
        verify_batch(replace(batch, operations=(spoilt,)), witnesses, genesis.network)
    with pytest.raises(BrokenProtocol):
        verify_proof(replace(proof, operation=spoilt), witnesses, genesis.network)


def test_the_tree_stays_as_it_is() -> None:
    """Others must come to the same root: blake2b-256, persons p2pgrid.leaf and p2pgrid.node."""
    assert merkle_root([b"a", b"b", b"c"]).hex() == (
        "f8eee39503a9f7ddd4eb54224f46dc63090d77e65dbbff5843a34fcb22e00f1d"
    )


def test_a_proof_holds_for_its_operation_only() -> None:
    genesis = genesis_of(4)
    alice = Chain(genesis, "alice")
    signed = [alice.next(pay("bob", amount)) for amount in range(1, 6)]
    witnesses = first_witnesses(genesis)
    verified = verify_batch(certify(genesis, signed), witnesses, genesis.network)

    for one, other in pairwise(signed):
        proof = prove(verified, one.id)
        assert verify_proof(proof, witnesses, genesis.network) == (one.id, one.record)
        with pytest.raises(PeerError):
            verify_proof(replace(proof, operation=other.envelope), witnesses, genesis.network)


def test_the_largest_batch_fits_one_gossip_message() -> None:
    """Filled by bytes, with the signatures of all witnesses that there can be."""
    batch = CertifiedBatch(
        operations=tuple(bytes(BATCH_OPERATION_BYTES_MAX // 200) for _ in range(200)),
        certificate=Certificate(
            epoch=2**62,
            root=bytes(32),
            witness_set_hash=bytes(32),
            signers=bitmap(range(128)),
            signatures=(bytes(64),) * 128,
        ),
    )

    assert len(encode(batch)) < GOSSIP_BYTES_MAX - 64
