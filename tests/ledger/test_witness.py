"""A witness votes once for each slot, only for what is funded and due, also after a crash."""

import pytest

from p2pgrid.limits.ledger import CLOCK_AHEAD_MS_MAX, OPERATIONS_UNDER_WAY_MAX
from p2pgrid.model.certificate import Reason
from p2pgrid.store.store import Table
from tests.ledger.booth import Booth
from tests.ledger.grids import (
    FEE,
    NOW,
    START,
    Chain,
    account_of,
    genesis_of,
    pay,
)


@pytest.fixture
def booth() -> Booth:
    return Booth()


@pytest.fixture
def alice(booth: Booth) -> Chain:
    return Chain(booth.genesis, "alice")


def test_votes_again_for_the_same_and_never_for_another(booth: Booth, alice: Chain) -> None:
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))

    assert booth.refusal(one) is None
    assert booth.refusal(one) is None
    for _ in range(2):
        (refusal,) = booth.ask(other).refusals
        assert (refusal.reason, refusal.conflict) == (Reason.CONFLICT, one.envelope)
        booth.start()


def test_every_vote_is_written_also_when_it_was_given_before(booth: Booth, alice: Chain) -> None:
    """The first write may still be under way when the second answer leaves."""
    one = alice.fork(pay("bob", 1))

    assert booth.ask(one).changes == booth.ask(one).changes != ()


def test_what_is_certified_gets_no_other_vote(booth: Booth, alice: Chain) -> None:
    """Otherwise anybody could have it certified again in any number of batches, for no fee."""
    one = alice.next(pay("bob", 1))
    booth.certify(one)

    judged = booth.ask(one)
    assert (judged.accepted, judged.changes) == ((), ())
    assert booth.refusal(one) is Reason.CERTIFIED


def test_funds_are_looked_at_before_keys(booth: Booth, alice: Chain) -> None:
    """65 keys cost 4 ms to check, and who has no funds pays for nothing."""
    poor = Chain(booth.genesis, "dave").fork(pay("bob", 1))

    for known in (None, False):
        assert booth.ask(poor, has_usable_keys=known).refusals[0].reason is Reason.FUNDS
    late = booth.ask(alice.fork(pay("bob", 1)), has_usable_keys=None)
    assert late.refusals[0].reason is Reason.FUNDS


def test_in_one_batch_the_first_of_two_spends_wins(booth: Booth, alice: Chain) -> None:
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))
    judged = booth.ask(one, other)

    assert judged.accepted == (one.id,)
    assert [refusal.operation for refusal in judged.refusals] == [other.id]


def test_does_not_vote_for_what_is_certified_after_voting_for_another(
    booth: Booth, alice: Chain
) -> None:
    """Two votes in one slot would convict an honest witness."""
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))
    booth.ask(one)
    booth.certify(other)

    for _ in range(2):
        assert booth.refusal(other) is Reason.CERTIFIED
        assert booth.refusal(one) is Reason.CONFLICT
        booth.start()


def test_votes_that_a_certificate_settled_leave_the_disk(booth: Booth, alice: Chain) -> None:
    one = alice.next(pay("bob", 1))
    booth.ask(one)
    booth.certify(one)

    assert not list(booth.disk.scan(Table.VOTE))
    assert not list(booth.disk.scan(Table.VOTED_OPERATION))
    assert booth.refusal(one) is Reason.CERTIFIED
    assert booth.refusal(Chain(booth.genesis, "alice").fork(pay("bob", 2))) is Reason.CONFLICT


def test_the_funds_that_count_are_certified_less_what_is_under_way(
    booth: Booth, alice: Chain
) -> None:
    half = START // 2
    first, second = alice.next(pay("bob", half)), alice.next(pay("bob", half - 2 * FEE))
    third = alice.next(pay("bob", 1))

    assert booth.refusal(first) is None
    assert booth.refusal(second) is None
    assert booth.refusal(third) is Reason.FUNDS
    booth.start()
    assert booth.refusal(third) is Reason.FUNDS
    booth.certify(second)
    assert booth.refusal(third) is Reason.FUNDS
    booth.certify(Chain(booth.genesis, "carol").next(pay("alice", 50)))
    assert booth.refusal(third) is None


def test_a_credit_counts_only_when_it_is_certified(booth: Booth) -> None:
    given = Chain(booth.genesis, "alice").next(pay("dave", 100))
    spent = Chain(booth.genesis, "dave").next(pay("bob", 50))

    assert booth.refusal(given) is None
    assert booth.refusal(spent) is Reason.FUNDS
    booth.certify(given)
    assert booth.refusal(spent) is None


def test_an_operation_follows_the_one_before_it(booth: Booth, alice: Chain) -> None:
    first, second = alice.next(pay("bob", 1)), alice.next(pay("bob", 2))

    assert booth.refusal(second) is Reason.BEHIND
    assert booth.ask(first, second).accepted == (first.id, second.id)
    booth.certify(first, second)
    fork = Chain(booth.genesis, "alice", [first, alice.fork(pay("bob", 7))])
    assert booth.refusal(fork.fork(pay("bob", 3))) is Reason.CHAIN


def test_so_many_operations_of_one_account_are_under_way_at_most() -> None:
    booth = Booth(genesis_of(1, (("alice", 10**6),)))
    alice = Chain(booth.genesis, "alice")
    chain = [alice.next(pay("bob", 1)) for _ in range(OPERATIONS_UNDER_WAY_MAX + 2)]

    *accepted, last = [booth.refusal(one) for one in chain]
    assert set(accepted) == {None}
    assert last is Reason.CHAIN


def test_time_is_not_far_ahead_and_not_before_the_last(booth: Booth, alice: Chain) -> None:
    late = NOW + CLOCK_AHEAD_MS_MAX

    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late + 1)) is Reason.TIME
    assert booth.refusal(alice.next(pay("bob", 1), time_ms=late)) is None
    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late - 1)) is Reason.TIME
    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late)) is None


def test_the_least_fee_and_usable_keys_are_asked_for(booth: Booth, alice: Chain) -> None:
    one = alice.fork(pay("bob", 1))

    assert booth.refusal(alice.fork(pay("bob", 1), fee=FEE - 1)) is Reason.FEE
    assert booth.ask(one, has_usable_keys=False).refusals[0].reason is Reason.KEY


def test_a_convicted_account_gets_no_new_vote(booth: Booth, alice: Chain) -> None:
    first = alice.next(pay("bob", 1))
    booth.ask(first)
    booth.convicted.add(account_of("alice"))

    assert booth.refusal(first) is None
    assert booth.refusal(alice.next(pay("bob", 1))) is Reason.CONVICTED


def test_two_certificates_in_one_slot_stop_all_votes(booth: Booth, alice: Chain) -> None:
    booth.certify(alice.fork(pay("bob", 1)))
    booth.certify(alice.fork(pay("bob", 2)))

    assert booth.refusal(Chain(booth.genesis, "bob").next(pay("carol", 1))) is Reason.HALTED
