"""Whoever shall pay gets all that it takes, and can check it."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.cli.wallet import wallet
from p2pgrid.model.address import format_account, parse_invoice
from tests.cli.node import FakeClient, run

ACCOUNT = bytes(range(32))
NETWORK = bytes(range(16))
ANSWERS: dict[str, Any] = {
    "/accounts/node": {"account": ACCOUNT.hex(), "address": format_account(ACCOUNT)},
    "/status": {"network": NETWORK.hex()},
}


def test_a_request_is_an_invoice_on_this_grid() -> None:
    result = run(
        wallet, "request", "12.5", "--memo", "lunch & more", "--json", client=FakeClient(ANSWERS)
    )

    said = json.loads(result.stdout)
    invoice = parse_invoice(said["invoice"])
    assert (invoice.account, invoice.grid, invoice.memo) == (ACCOUNT, NETWORK, "lunch & more")
    assert invoice.amount == said["amount"] == 125_000_000


def test_an_address_is_one_line_without_a_terminal() -> None:
    assert (
        run(wallet, "address", client=FakeClient(ANSWERS)).stdout == format_account(ACCOUNT) + "\n"
    )


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_the_code_is_a_picture_when_wanted(tmp_path: Path, name: str, start: bytes) -> None:
    out = tmp_path / name

    result = run(wallet, "request", "1", "--out", str(out), client=FakeClient(ANSWERS))

    assert result.exit_code == 0
    assert out.read_bytes().startswith(start)


def test_other_pictures_are_refused(tmp_path: Path) -> None:
    result = run(wallet, "address", "--out", str(tmp_path / "a.gif"), client=FakeClient(ANSWERS))

    assert result.exit_code == 2
    assert "neither a .png nor an .svg" in result.stderr


def test_a_memo_is_one_line() -> None:
    assert run(wallet, "request", "1", "--memo", "a\nb", client=FakeClient(ANSWERS)).exit_code == 2
