"""When a certificate cannot get lost any more."""

from p2pgrid.ledger.acknowledgements import Acknowledgements, may_acknowledge
from p2pgrid.ledger.certificate import Verified, first_witnesses, verify_batch
from p2pgrid.ledger.epoch_operations import EpochOperations
from p2pgrid.limits.epochs import ACKNOWLEDGEMENTS_ASKED_MAX, UNACKNOWLEDGED_MAX
from tests.ledger.council import Council, operation_id
from tests.ledger.grids import Chain, certify, genesis_of, node_of, pay

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NODES = [node for node, _ in WITNESSES.members]


def batch(memo: int = 1) -> Verified:
    one = Chain(GENESIS, "alice").next(pay("bob", memo))
    return verify_batch(certify(GENESIS, [one]), WITNESSES, GENESIS.network)


def test_a_quorum_of_different_witnesses_makes_it_final() -> None:
    tally, one = Acknowledgements(WITNESSES), batch()
    tally.add(one)
    ((operation, _),) = one.operations
    for node in (NODES[0], NODES[1], NODES[1], node_of("stranger")):
        tally.acknowledge(node, 0, [one.id])
        assert not tally.is_final(operation)
    tally.acknowledge(NODES[3], 0, [one.id])

    assert tally.is_final(operation)
    assert not tally.is_waiting
    assert tally.questions() == {}


def test_asks_those_that_have_not_said_so() -> None:
    tally, one = Acknowledgements(WITNESSES), batch()
    tally.add(one)
    tally.acknowledge(NODES[0], 0, [one.id, bytes(32)])

    assert tally.questions() == dict.fromkeys(NODES[1:], (one.id,))


def test_what_is_said_of_another_epoch_counts_nothing() -> None:
    tally, one = Acknowledgements(WITNESSES), batch()
    tally.add(one)
    for node in NODES:
        tally.acknowledge(node, 1, [one.id])

    assert tally.is_waiting


def test_a_new_epoch_begins_with_nothing() -> None:
    tally, one = Acknowledgements(WITNESSES), batch()
    tally.add(one)
    council = Council(4)
    council.chain.append(council.end_with([]))
    tally.begin(council.chain.witnesses)
    assert not tally.is_waiting

    tally.add(one)  # its epoch is over
    assert not tally.is_waiting
    assert tally.epoch == 1


def test_asks_for_a_bounded_number() -> None:
    tally, one = Acknowledgements(WITNESSES), batch()
    for number in range(UNACKNOWLEDGED_MAX + 1):
        tally.add(Verified(operation_id(number), one.operations, one.batch))

    asked = tally.questions()[NODES[0]]
    assert len(asked) == ACKNOWLEDGEMENTS_ASKED_MAX
    assert operation_id(0) not in asked


def test_a_witness_stands_up_for_nothing_that_came_after_its_books_closed() -> None:
    operations, (early, late) = EpochOperations(), map(operation_id, range(2))
    operations.add([early])
    assert may_acknowledge(operations, [early])
    assert not may_acknowledge(operations, [early, late])
    operations.close()
    operations.add([late])

    assert may_acknowledge(operations, [early])
    assert not may_acknowledge(operations, [late])
