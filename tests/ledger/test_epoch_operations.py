"""Sets of operations, by name."""

from p2pgrid.ledger.epoch_operations import EpochOperations, cut_of
from p2pgrid.limits.epochs import CUTS_KNOWN_MAX
from tests.ledger.council import operation_id

ONE, TWO, THREE = map(operation_id, range(3))


def test_a_set_has_one_name_whatever_the_order() -> None:
    assert cut_of([ONE, TWO]) == cut_of([TWO, ONE, TWO])
    assert cut_of([ONE, TWO]).root != cut_of([ONE, THREE]).root
    assert cut_of([]).root != cut_of([ONE]).root


def test_what_comes_after_the_books_closed_is_late() -> None:
    operations = EpochOperations()
    operations.add([ONE, TWO])
    operations.close()
    operations.add([THREE])
    operations.close()

    assert operations.closed == cut_of([ONE, TWO])
    assert operations.everything == cut_of([ONE, TWO, THREE])


def test_a_restart_leaves_out_what_was_late() -> None:
    operations = EpochOperations()
    operations.add([ONE, TWO, THREE])
    operations.close(late=[THREE])

    assert operations.closed == cut_of([ONE, TWO])


def test_a_set_is_known_by_its_name_and_compared_with_what_is_here() -> None:
    operations = EpochOperations()
    operations.add([ONE, TWO])
    ended = cut_of([TWO, THREE])
    assert operations.known(ended.root) is None

    operations.learn(ended)

    assert operations.known(ended.root) == ended
    assert operations.known(operations.everything.root) == operations.everything
    assert operations.missing(ended) == [THREE]
    assert operations.void(ended) == [ONE]
    operations.forget([ONE])
    operations.add([THREE])
    assert operations.everything == ended
    assert len(operations) == 2
    assert ONE not in operations


def test_all_that_was_here_is_known_by_its_name_when_more_has_come() -> None:
    """A proposal names it, and a certificate that was held back comes in before the end is stored.

    Found by `simulate ledger --seed 21119`: nobody knew any more what the epoch ended with.
    """
    operations = EpochOperations()
    operations.add([ONE, TWO])
    ended = operations.everything
    assert operations.known(ended.root) == ended
    operations.add([THREE])

    assert operations.known(ended.root) == ended
    assert operations.void(ended) == [THREE]


def test_remembers_few_sets_of_others() -> None:
    operations = EpochOperations()
    cuts = [cut_of([operation_id(number)]) for number in range(CUTS_KNOWN_MAX + 1)]
    for cut in cuts:
        operations.learn(cut)

    assert operations.known(cuts[0].root) is None
    assert operations.known(cuts[-1].root) == cuts[-1]
