"""Money is shown to the last unit, and sent only when that was meant."""

import json
from typing import Any

import pytest

from p2pgrid.cli.wallet import wallet
from p2pgrid.errors import InsufficientBalance, Locked, SignedElsewhere
from p2pgrid.model.address import Invoice, format_account, format_invoice
from p2pgrid.model.ids import AccountId, NetworkId
from p2pgrid.units import TFT, Amount
from tests.cli.node import FakeClient, run

ACCOUNT = "3f9c01aa" * 8
VIEW: dict[str, Any] = {
    "account": ACCOUNT, "balance": 125_000_001, "sequence": 3, "head": "00" * 32, "pending": None,
    "is_convicted": False, "agreeing": 1, "asked": 1, "address": format_account(b"\x3f" * 32),
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


ELSEWHERE = SignedElsewhere("account 3f9c signed its last operation on another machine")


class UsedElsewhere(FakeClient):
    """Pays only when it is told that the other machine is at rest."""

    def post(self, path: str, body: Any = None) -> Any:
        if not body.get("take_over"):
            raise ELSEWHERE
        return super().post(path, body)


def test_who_uses_a_wallet_on_two_machines_is_asked_first() -> None:
    paid = {"/payments": {"operation": "77f0" * 16, "balance": 1}}
    client = UsedElsewhere(paid)

    refused = run(wallet, "send", ACCOUNT, "1", client=client, typed="y\nn\n")
    assert "on another machine. Is it at rest" in refused.stdout
    assert (refused.exit_code, client.calls) == (1, [])
    assert run(wallet, "send", ACCOUNT, "1", client=client, typed="y\ny\n").exit_code == 0


def test_a_script_says_beforehand_that_the_other_machine_is_at_rest() -> None:
    client = UsedElsewhere({"/payments": {"operation": "77f0" * 16, "balance": 1}})

    told = run(wallet, "send", ACCOUNT, "1", "--yes", client=client)
    assert "see --take-over" in told.stderr
    assert (told.exit_code, client.calls) == (1, [])
    assert run(wallet, "send", ACCOUNT, "1", "--yes", "--take-over", client=client).exit_code == 0


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


def test_wallets_are_listed_with_what_they_hold() -> None:
    client = FakeClient({"/wallets": [{**VIEW, "wallet": "node", "is_sealed": False}]})

    assert f"node    -       12.5000001  {ACCOUNT}" in run(wallet, "list", client=client).stdout


def test_a_history_is_asked_for_by_day_kind_and_counterparty() -> None:
    client = FakeClient({"/accounts/node/history": [ENTRY]})
    words = ["--since", "2027-01-01", "--before", "2027-02-01T12:00:00Z", "--kind", "transfer"]

    assert run(wallet, "history", *words, "--with", "savings", client=client).exit_code == 0

    asked = {
        "limit": 50, "since_ms": 1_798_761_600_000, "before_ms": 1_801_483_200_000,
        "kind": "transfer", "with": "savings",
    }  # fmt: skip
    assert client.calls == [("/accounts/node/history", asked)]


def test_a_history_as_csv_runs_nothing_in_a_spreadsheet() -> None:
    entries = [{**ENTRY, "memo": '=HYPERLINK("http://x")'}, {**ENTRY, "memo": "a,b"}]
    client = FakeClient({"/accounts/node/history": entries})

    heading, first, second = run(wallet, "history", "--csv", client=client).stdout.splitlines()

    assert heading == "time,kind,tft,fee,counterparty,operation,status,memo"
    assert first.endswith('"\'=HYPERLINK(""http://x"")"')
    assert ",-1.5000000," in first
    assert second.endswith('"a,b"')


def test_an_invoice_says_whom_how_much_and_what_for() -> None:
    network = "ab" * 16
    invoice = Invoice(
        AccountId(bytes.fromhex(ACCOUNT)), Amount(15_000_000), "lunch",
        NetworkId(bytes.fromhex(network)),
    )  # fmt: skip
    answers = {
        "/payments": {"operation": "77f0" * 16, "balance": 1},
        "/status": {"network": network},
    }
    client = FakeClient(answers)

    assert run(wallet, "send", format_invoice(invoice), "--yes", client=client).exit_code == 0

    body = {"account": ACCOUNT, "amount": 15_000_000, "wallet": "node", "memo": "lunch"}
    assert client.calls[-1] == ("/payments", body)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["2"], "leave AMOUNT out"), (["--memo", "x"], "leave --memo out"), ([], "another grid")],
)
def test_an_invoice_is_paid_as_it_is_or_not_at_all(words: list[str], message: str) -> None:
    account, grid = AccountId(bytes.fromhex(ACCOUNT)), NetworkId(bytes(16))
    text = format_invoice(Invoice(account, Amount(1), "lunch", grid))
    client = FakeClient({"/status": {"network": "ab" * 16}})

    result = run(wallet, "send", text, *words, "--yes", client=client)

    assert result.exit_code == 2
    assert message in result.stderr
    assert all(path != "/payments" for path, _ in client.calls)


def test_a_payment_without_an_amount_asks_how_much() -> None:
    result = run(wallet, "send", ACCOUNT, "--yes")

    assert result.exit_code == 2
    assert "how much?" in result.stderr


def test_a_sealed_wallet_without_a_terminal_names_the_ways() -> None:
    client = FakeClient({"/payments": Locked("the wallet 'savings' is sealed")})

    result = run(wallet, "send", ACCOUNT, "1", "--wallet", "savings", "--yes", client=client)

    assert result.exit_code == 2
    assert "--passphrase-fd" in result.stderr
    assert "P2PGRID_PASSPHRASE" in result.stderr
