"""Money is shown to the last unit, and sent only when that was meant."""

import json
from typing import Any

import pytest

from p2pgrid import keys
from p2pgrid.cli.wallet import wallet
from p2pgrid.errors import InsufficientBalance
from p2pgrid.units import TFT
from tests.cli.node import FakeClient, run

ACCOUNT = "3f9c01aa" * 8
VIEW: dict[str, Any] = {
    "account": ACCOUNT, "balance": 125_000_001, "sequence": 3, "head": "00" * 32, "pending": None,
    "is_convicted": False, "agreeing": 1, "asked": 1,
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "time": "2027-01-17T02:35:53Z", "kind": "transfer", "amount": -15_000_000, "fee": 100,
    "counterparty": ACCOUNT, "operation": "77f0" * 16, "status": "certified",
    "memo": "lunch\x1b[2J",
}  # fmt: skip


def test_an_account_is_shown_in_tft_and_in_units() -> None:
    client = FakeClient({"/accounts/node": VIEW})

    assert "balance     12.5000001 TFT" in run(wallet, "show", client=client).stdout
    assert json.loads(run(wallet, "show", "--json", client=client).stdout)["balance"] == 125_000_001


def test_what_matters_of_an_account_is_said() -> None:
    view = {**VIEW, "pending": "aa" * 32, "is_convicted": True, "agreeing": 2, "asked": 3}
    client = FakeClient({"/accounts/a%2Fb": view})

    text = run(wallet, "show", "a/b", client=client).stdout

    assert "operation aaaa" in text
    assert "2 of 3 peers asked say so" in text
    assert "p2pgrid ledger evidence" in text


def test_a_history_is_aligned_and_harmless() -> None:
    entries = [ENTRY, {**ENTRY, "amount": TFT * 10**6, "counterparty": None, "fee": 0, "memo": ""}]
    client = FakeClient({"/accounts/node/history": entries})

    heading, first, second = run(wallet, "history", client=client).stdout.splitlines()

    end = heading.index("TFT") + len("TFT")
    assert first[:end].endswith("      -1.5000000")
    assert second[:end].endswith(" 1000000.0000000")
    assert first.endswith("lunch [2J")
    assert client.calls == [("/accounts/node/history", {"limit": 50})]


def test_sending_asks_with_the_whole_amount_and_account() -> None:
    client = FakeClient({"/payments": {"operation": "77f0" * 16, "balance": 1}})

    result = run(wallet, "send", ACCOUNT, "1.5", client=client, typed="n\n")

    assert result.exit_code == 1
    assert f"Send 1.5000000 TFT from 'node' to {ACCOUNT}?" in result.stdout
    assert client.calls == []


@pytest.mark.parametrize("option", ["--yes", "--json"])
def test_sending_asks_nothing_when_told_so(option: str) -> None:
    client = FakeClient({"/payments": {"operation": "77f0" * 16, "balance": 1}})

    result = run(wallet, "send", ACCOUNT, "0.0000001", "--memo", "é", option, client=client)

    assert result.exit_code == 0
    body = {"account": ACCOUNT, "amount": 1, "wallet": "node", "memo": "é"}
    assert client.calls == [("/payments", body)]


@pytest.mark.parametrize("amount", ["1.00000001", "1,5", "-1", "nan", "1e3", ""])
def test_an_amount_that_is_not_exact_is_refused(amount: str) -> None:
    client = FakeClient()

    result = run(wallet, "send", "--yes", "--", ACCOUNT, amount, client=client)

    assert result.exit_code == 2
    assert "at most 7 decimals" in result.stderr
    assert client.calls == []


def test_too_little_money_is_one_line() -> None:
    client = FakeClient({"/payments": InsufficientBalance("account 3f9c holds 1 TFT")})

    result = run(wallet, "send", ACCOUNT, "2", "--yes", client=client)

    assert result.exit_code == 1
    assert result.stderr == "Error: account 3f9c holds 1 TFT\n"


def test_a_wallet_needs_no_node_and_is_never_written_over(tmp_path: Any) -> None:
    client = FakeClient(data=tmp_path)

    made = json.loads(run(wallet, "create", "savings", "--json", client=client).stdout)
    again = run(wallet, "create", "savings", client=client)

    assert made["account"] == bytes(keys.open_wallet(tmp_path, "savings").verify_key).hex()
    assert again.exit_code == 2
    assert "never written over" in again.stderr
    assert run(wallet, "create", "../x", client=client).exit_code == 2


def test_wallets_are_listed_with_what_they_hold() -> None:
    client = FakeClient({"/wallets": [{**VIEW, "wallet": "node"}]})

    assert f"node    12.5000001  {ACCOUNT}" in run(wallet, "list", client=client).stdout
