"""A passphrase comes from where it was put, and never from an argument."""

import os
from typing import Any

import pytest

from p2pgrid.cli.passphrase import PASSPHRASE, asked_passphrase, given_passphrase, post_unlocked
from p2pgrid.cli.wallet import wallet
from p2pgrid.errors import BadInput, Locked
from tests.cli.node import FakeClient, run


@pytest.fixture
def descriptor() -> Any:
    reading, writing = os.pipe()
    os.write(writing, b"correct horse\nnot this\n")
    os.close(writing)
    yield reading
    os.close(reading)


def test_a_file_goes_before_the_environment(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSPHRASE, "other")

    assert given_passphrase(descriptor) == "correct horse"
    assert given_passphrase(None) == "other"


def test_nothing_given_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE, raising=False)

    assert given_passphrase(None) is None


def test_a_file_that_is_not_open_is_refused() -> None:
    with pytest.raises(BadInput, match="cannot read"):
        given_passphrase(987)


def test_without_a_terminal_nobody_is_asked() -> None:
    with pytest.raises(BadInput, match="nobody can type it"):
        asked_passphrase("passphrase")


def test_what_was_given_is_sent_at_once_and_not_asked_for_again() -> None:
    client = FakeClient({"/payments": Locked("sealed")})

    with pytest.raises(Locked):
        post_unlocked(client, "/payments", {"amount": 1}, "wrong")  # type: ignore[arg-type]  # a fake
    assert client.calls == [("/payments", {"amount": 1, "passphrase": "wrong"})]


def test_no_command_takes_it_as_an_argument() -> None:
    for name in ("send", "create", "restore", "backup", "passphrase"):
        assert "--passphrase-fd NUMBER" in run(wallet, name, "--help").stdout
