"""Evidence convicts who broke the rules, and nobody else."""

from dataclasses import replace

import pytest

from p2pgrid.errors import PeerError
from p2pgrid.ledger.certificate import (
    Verified,
    first_witnesses,
    verify_batch,
    vote_for,
    vote_message,
)
from p2pgrid.ledger.evidence import (
    convict_account,
    convict_witnesses,
    evidence_id,
    verify_evidence,
)
from p2pgrid.model.certificate import Equivocation, ProvenVote, TwoOperations, TwoVotes
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import ReclaimEscrow
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import sign_message
from tests.ledger.grids import (
    Chain,
    account_of,
    certify,
    escrow_terms,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network


def check(evidence: Equivocation) -> None:
    """As if it came from a peer."""
    verify_evidence(decode(Equivocation, encode(evidence)), [WITNESSES], NETWORK)


def against_account() -> Equivocation:
    chain = Chain(GENESIS, "mallory")
    found = convict_account(chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2)))
    assert found is not None
    return found


def double(signers: tuple[list[str], list[str]]) -> tuple[Verified, Verified]:
    """Two certificates for one slot, each in a batch with others."""
    mallory, bob = Chain(GENESIS, "mallory"), Chain(GENESIS, "bob")
    one = [bob.next(pay("carol", 1)), mallory.fork(pay("bob", 1))]
    other = [mallory.fork(pay("bob", 2)), bob.next(pay("carol", 1)), bob.next(pay("carol", 1))]
    first, second = (
        verify_batch(certify(GENESIS, operations, signers=names), WITNESSES, NETWORK)
        for operations, names in zip((one, other), signers, strict=True)
    )
    return first, second


def test_two_operations_in_one_slot_convict_their_account() -> None:
    evidence = against_account()
    check(evidence)

    assert evidence.culprit == node_of("mallory")
    assert evidence_id(evidence.culprit) == evidence_id(account_of("mallory"))


def test_the_proof_is_the_same_whichever_came_first() -> None:
    chain = Chain(GENESIS, "mallory")
    one, other = chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2))

    assert convict_account(one, other) == convict_account(other, one)


def test_the_same_operation_or_another_slot_convicts_nobody() -> None:
    chain = Chain(GENESIS, "alice")
    one, other = chain.next(pay("bob", 1)), chain.next(pay("bob", 1))

    assert convict_account(one, one) is None
    assert convict_account(one, other) is None
    assert convict_account(one, Chain(GENESIS, "bob").next(pay("carol", 1))) is None


def test_two_accounts_that_close_one_escrow_are_no_equivocation() -> None:
    opening = Chain(GENESIS, "alice").next(escrow_terms())
    closings = [
        Chain(GENESIS, name).next(ReclaimEscrow(escrow=opening.id)) for name in ("alice", "bob")
    ]

    assert convict_account(*closings) is None


def test_every_witness_in_both_quorums_is_convicted() -> None:
    names = witness_names(4)
    one, other = double((names[:3], names[1:]))
    found = list(convict_witnesses(one, other, WITNESSES))
    for evidence in found:
        check(evidence)

    assert {evidence.culprit for evidence in found} == {node_of(name) for name in names[1:3]}
    weight = sum(WITNESSES.weight_of(evidence.culprit) for evidence in found)
    assert weight >= 2 * WITNESSES.quorum - WITNESSES.total


def test_batches_that_do_not_clash_convict_nobody() -> None:
    chain = Chain(GENESIS, "alice")
    one, other = (
        verify_batch(certify(GENESIS, [chain.next(pay("bob", 1))]), WITNESSES, NETWORK)
        for _ in range(2)
    )

    assert list(convict_witnesses(one, other, WITNESSES)) == []
    assert list(convict_witnesses(one, one, WITNESSES)) == []


def forged() -> list[Equivocation]:
    chain, honest = Chain(GENESIS, "mallory"), Chain(GENESIS, "alice")
    evidence = against_account()
    assert isinstance(evidence.proof, TwoOperations)
    first, second = honest.next(pay("bob", 1)), honest.next(pay("bob", 1))
    names = witness_names(4)
    votes = next(convict_witnesses(*double((names, names)), WITNESSES))
    assert isinstance(votes.proof, TwoVotes)
    bent = bytearray(evidence.proof.first)
    bent[-1] ^= 1
    elsewhere = genesis_of(4, (("alice", 5),))
    foreign = Chain(elsewhere, "mallory")
    other_grid = convict_account(foreign.fork(pay("bob", 1)), foreign.fork(pay("bob", 2)))
    assert other_grid is not None
    return [
        replace(evidence, culprit=node_of("alice")),
        replace(evidence, slot=bytes(32)),
        replace(evidence, proof=replace(evidence.proof, first=bytes(bent))),
        replace(evidence, proof=replace(evidence.proof, second=evidence.proof.first)),
        replace(
            evidence,
            proof=TwoOperations(first=evidence.proof.second, second=evidence.proof.first),
        ),
        Equivocation(
            culprit=node_of("alice"),
            slot=first.record.slots[0],
            proof=TwoOperations(first=first.envelope, second=second.envelope),
        ),
        other_grid,
        replace(votes, culprit=NodeId(account_of("alice"))),
        replace(votes, slot=chain.fork(pay("bob", 1)).record.slots[0][::-1]),
        replace(votes, proof=replace(votes.proof, second=votes.proof.first)),
        replace(
            votes,
            proof=replace(votes.proof, second=replace(votes.proof.second, index=1)),
        ),
    ]


@pytest.mark.parametrize("case", range(11))
def test_forged_evidence_is_refused(case: int) -> None:
    with pytest.raises(PeerError):
        check(forged()[case])


def test_who_was_no_witness_did_not_vote_twice() -> None:
    names = witness_names(4)
    evidence = next(convict_witnesses(*double((names, names)), WITNESSES))
    later = replace(WITNESSES, epoch=1)

    with pytest.raises(PeerError):
        verify_evidence(evidence, [later], NETWORK)


def test_votes_of_two_epochs_do_not_exclude_each_other() -> None:
    """A new epoch opens again the slots that the last one left without a certificate."""
    chain, name = Chain(GENESIS, "mallory"), witness_names(4)[0]
    sets = [WITNESSES, replace(WITNESSES, epoch=1)]
    votes = []
    for witnesses, amount in zip(sets, (1, 2), strict=True):
        signed = chain.fork(pay("bob", amount))
        vote = vote_for([signed.envelope], witnesses)
        votes.append(
            ProvenVote(
                operation=signed.envelope,
                index=0,
                count=1,
                path=(),
                vote=vote,
                signature=sign_message(vote_message(vote, NETWORK), key_of(name)),
            )
        )
    evidence = Equivocation(
        culprit=node_of(name),
        slot=chain.fork(pay("bob", 1)).record.slots[0],
        proof=TwoVotes(first=votes[0], second=votes[1]),
    )

    with pytest.raises(PeerError, match="two epochs"):
        verify_evidence(evidence, sets, NETWORK)
