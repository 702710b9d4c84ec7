"""From the genesis to the witness set of today, without trusting anybody."""

from dataclasses import replace

import pytest

from p2pgrid.errors import InvalidRecord, PeerError
from p2pgrid.ledger.certificate import WitnessSet, first_witnesses
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.model.epoch import EpochCertificate, Seat
from tests.ledger.council import Council
from tests.ledger.grids import genesis_of


def ended(council: Council, *operations: int) -> EpochCertificate:
    """The end of the council's epoch."""
    for place in range(len(council.members)):
        council[place].store(*operations)
    council.close()
    decided = council.lead(0)
    assert decided is not None
    return decided


def test_starts_with_the_witnesses_of_the_genesis() -> None:
    genesis = genesis_of(4)
    chain = EpochChain(genesis)

    assert chain.epoch == 0
    assert chain.witnesses == first_witnesses(genesis)
    assert chain.witnesses.hash == WitnessSet(0, genesis.witnesses).hash
    assert chain.frame_of(1) is None
    assert chain.end_of(0) is None


def test_follows_certificates_one_by_one() -> None:
    council = Council(4)
    first = ended(council, 1)
    council.chain.append(first)
    following = Council(4, council.chain)
    second = ended(following, 2)
    fresh = EpochChain(council.genesis)

    with pytest.raises(PeerError, match="before those before"):
        fresh.append(second)
    assert fresh.append(first)
    assert not fresh.append(first)
    assert fresh.append(second)
    assert fresh.epoch == 2
    assert fresh.end_of(1) == second
    assert [one.epoch for one in fresh.witness_sets] == [0, 1, 2]
    assert len({one.hash for one in fresh.witness_sets}) == 3


def test_the_keys_of_one_epoch_end_no_other() -> None:
    """No witness set introduces itself: what the old one did not sign is no successor."""
    council = Council(4)
    first = ended(council, 1)
    other = Council(4)
    wrong = replace(first, proposal=replace(first.proposal, operation_count=7))
    with pytest.raises(PeerError):
        other.chain.append(wrong)

    council.chain.append(first)
    following = Council(4, council.chain)
    second = ended(following, 2)
    forged = replace(second, quorum=replace(second.quorum, signatures=first.quorum.signatures))
    with pytest.raises(PeerError, match="signature"):
        council.chain.append(forged)


def test_prepared_is_not_decided() -> None:
    council = Council(4)
    decided = ended(council, 1)
    lock = council.prepared(decided.proposal, 0, [council[place] for place in range(4)])

    with pytest.raises(PeerError, match="something else"):
        EpochChain(council.genesis).append(
            EpochCertificate(proposal=lock.proposal, quorum=lock.quorum)
        )


def test_an_epoch_has_one_end() -> None:
    """Two ends exist only when a third of the witnesses cheat; the first one holds."""
    council, other = Council(4), Council(4)
    first, second = ended(council, 1), ended(other, 2)
    chain = EpochChain(council.genesis)
    chain.append(first)

    with pytest.raises(PeerError, match="two ends"):
        chain.append(second)
    assert chain.end_of(0) == first


def test_a_witness_set_names_nobody_twice() -> None:
    council = Council(4)
    proposal = ended(council).proposal
    one, two = proposal.seats[:2]
    for seats in ((), (one, one), (two, one), (one, replace(two, key=one.key))):
        with pytest.raises(InvalidRecord):
            replace(proposal, seats=seats)
    with pytest.raises(InvalidRecord):
        Seat(node=one.node, key=one.key, weight=0, commitment=one.commitment)
