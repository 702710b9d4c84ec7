"""A history adds up to the balance, for everybody and every kind of operation."""

from hypothesis import given, settings

from p2pgrid.ledger.views import history_of, pending_entry
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import Transfer
from tests.ledger.grids import FEE, Chain, account_of, escrow_terms, genesis_of, pay
from tests.ledger.test_state import GENESIS, NAMES, Author, histories, state_of


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_history_adds_up_to_the_balance(author: Author) -> None:
    state = state_of(author.history)
    first = dict(GENESIS.balances)
    for name in NAMES:
        account = account_of(name)
        entries = history_of(state, account)

        earned = sum(entry.amount - entry.fee for entry in entries)
        assert first.get(account, 0) + earned == state.account(account).balance
        times = [entry.time_ms for entry in entries]
        assert times == sorted(times, reverse=True)
        assert len({entry.operation for entry in entries}) == len(entries)


def test_both_sides_see_a_payment_with_its_memo() -> None:
    payload = Transfer(outputs=pay("bob", 5).outputs, memo="für Brot".encode())
    one = Chain(genesis_of(1), "alice").next(payload)
    state = state_of([one])
    (given_away,) = history_of(state, account_of("alice"))
    (got,) = history_of(state, account_of("bob"))

    assert (given_away.amount, given_away.fee, given_away.memo) == (-5, FEE, "für Brot")
    assert (got.amount, got.fee, got.counterparty) == (5, 0, account_of("alice"))


def test_what_is_pending_shows_what_it_will_take() -> None:
    entry = pending_entry(
        RecordId(bytes(32)), Chain(genesis_of(1), "alice").fork(escrow_terms()).record
    )

    assert (entry.amount, entry.fee, entry.status) == (-100, FEE, "pending")
