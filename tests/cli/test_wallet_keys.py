"""The key of an account outlives its file: sealed, written down, put back."""

import json
from pathlib import Path

import pytest

from p2pgrid import keys
from p2pgrid.cli.passphrase import PASSPHRASE
from p2pgrid.cli.wallet import wallet
from p2pgrid.errors import BadInput
from p2pgrid.model.address import parse_account
from tests.cli.node import FakeClient, run

SECRET = "correct horse"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    monkeypatch.setenv(PASSPHRASE, SECRET)
    return FakeClient(data=tmp_path)


def test_a_wallet_is_sealed_and_never_written_over(client: FakeClient) -> None:
    made = json.loads(run(wallet, "create", "savings", "--json", client=client).stdout)
    again = run(wallet, "create", "savings", client=client)

    key = keys.open_wallet(client.data, "savings", SECRET)
    assert made["account"] == bytes(key.verify_key).hex()
    assert parse_account(made["address"]) == bytes(key.verify_key)
    assert keys.is_sealed(client.data, "savings")
    assert again.exit_code == 2
    assert "never written over" in again.stderr
    assert run(wallet, "create", "../x", client=client).exit_code == 2


def test_without_a_passphrase_a_wallet_is_plain_only_when_told_so(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PASSPHRASE)

    refused = run(wallet, "create", "till", client=client)
    made = run(wallet, "create", "till", "--plain", client=client)

    assert refused.exit_code == 2
    assert "--plain" in refused.stderr
    assert made.exit_code == 0
    assert not keys.is_sealed(client.data, "till")


def test_the_words_bring_a_wallet_back_elsewhere(client: FakeClient, tmp_path: Path) -> None:
    run(wallet, "create", "savings", client=client)
    printed = run(wallet, "backup", "savings", "--yes", client=client).stdout
    elsewhere = FakeClient(data=tmp_path / "elsewhere")

    back = run(wallet, "restore", "mine", client=elsewhere, typed=printed)  # numbers and all

    assert back.exit_code == 0, back.stderr
    assert keys.account_of(elsewhere.data, "mine") == keys.account_of(client.data, "savings")


def test_the_nodes_own_key_goes_back_only_where_there_is_none(
    client: FakeClient, tmp_path: Path
) -> None:
    identity = keys.open_identity(client.data)
    words = json.loads(run(wallet, "backup", "--json", client=client).stdout)["words"]
    elsewhere = FakeClient(data=tmp_path / "elsewhere")

    assert run(wallet, "restore", "node", client=elsewhere, typed=words).exit_code == 0
    assert keys.open_identity(elsewhere.data) == identity
    assert run(wallet, "restore", "node", client=client, typed=words).exit_code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("abandon " * 23, "24 words, not 23"),
        ("abandon " * 23 + "bitcon", "not in the word list: word 24"),
        ("abandon " * 24, "do not fit together"),
    ],
)
def test_words_that_are_no_key(client: FakeClient, words: str, message: str) -> None:
    result = run(wallet, "restore", "savings", client=client, typed=words)

    assert result.exit_code == 2
    assert message in result.stderr
    assert keys.wallet_names(client.data) == ()


def test_a_passphrase_is_changed_and_the_key_stays(
    client: FakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(wallet, "create", "till", "--plain", client=client)
    account = keys.account_of(client.data, "till")

    keys.change_passphrase(client.data, "till", None, "first")
    keys.change_passphrase(client.data, "till", "first", "second")

    assert bytes(keys.open_wallet(client.data, "till", "second").verify_key) == account
    with pytest.raises(BadInput, match="wrong"):
        keys.open_wallet(client.data, "till", "first")
    monkeypatch.setenv(PASSPHRASE, "second")
    taken = run(wallet, "passphrase", "till", "--plain", "--json", client=client)
    assert json.loads(taken.stdout) == {"wallet": "till", "is_sealed": False}
    assert bytes(keys.open_wallet(client.data, "till").verify_key) == account


def test_a_wrong_passphrase_changes_nothing(client: FakeClient) -> None:
    run(wallet, "create", "savings", client=client)
    before = keys.wallet_path(client.data, "savings").read_bytes()

    with pytest.raises(BadInput, match="wrong"):
        keys.change_passphrase(client.data, "savings", "guess", "mine now")

    assert keys.wallet_path(client.data, "savings").read_bytes() == before
