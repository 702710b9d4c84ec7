"""What a person copies is the account that was meant, or nothing."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.model.address import (
    Invoice,
    format_account,
    format_invoice,
    is_invoice,
    looks_like_address,
    parse_account,
    parse_invoice,
)
from p2pgrid.model.ids import AccountId, NetworkId
from p2pgrid.units import Amount

accounts = st.binary(min_size=32, max_size=32).map(AccountId)
invoices = st.builds(
    Invoice,
    account=accounts,
    amount=st.none() | st.integers(1, 10**18 - 1).map(Amount),  # what a person may write
    memo=st.text(max_size=16).filter(lambda one: one.isprintable()),
    grid=st.none() | st.binary(min_size=16, max_size=16).map(NetworkId),
)


@given(accounts)
def test_an_address_names_its_account_in_either_case(account: AccountId) -> None:
    address = format_account(account)

    assert parse_account(address) == account
    assert parse_account(address.upper()) == account
    assert looks_like_address(address)


@given(accounts, st.integers(0, 61), st.sampled_from(string.ascii_lowercase + string.digits))
def test_one_wrong_character_is_noticed(account: AccountId, place: int, wrong: str) -> None:
    address = format_account(account)
    mistyped = address[:place] + wrong + address[place + 1 :]

    if mistyped != address:
        with pytest.raises(BadInput, match="copy it again"):
            parse_account(mistyped)


@given(accounts, st.integers(0, 61))
def test_what_was_cut_is_noticed(account: AccountId, kept: int) -> None:
    with pytest.raises(BadInput):
        parse_account(format_account(account)[:kept])


@pytest.mark.parametrize(
    "text", ["", "tft1", "Tft1qqqsyqcyq5", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"]
)
def test_other_things_are_no_addresses(text: str) -> None:
    with pytest.raises(BadInput):
        parse_account(text)


@given(invoices)
def test_an_invoice_says_what_it_was_made_of(invoice: Invoice) -> None:
    text = format_invoice(invoice)

    assert is_invoice(text)
    assert parse_invoice(text) == invoice


@pytest.mark.parametrize(
    "rest",
    [
        "?amount=1&amount=2", "?amount=-1", "?amount=1e3", "?amount=", "?payee=x", "?memo=a%0Ab",
        "?memo=" + "x" * 65, "?grid=ff", "?amount", "#x", "?memo=" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_an_invoice_must_not_say(rest: str) -> None:
    with pytest.raises(BadInput):
        parse_invoice(f"tft:{format_account(bytes(range(32)))}{rest}")


def test_an_invoice_is_a_uri_of_its_scheme() -> None:
    address = format_account(bytes(32))
    for text in (address, f"bitcoin:{address}", f"tft://{address}", "tft:nobody"):
        with pytest.raises(BadInput):
            parse_invoice(text)
