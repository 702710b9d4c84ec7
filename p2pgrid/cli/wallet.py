"""`p2pgrid wallet`: accounts, balances, payments."""

from datetime import UTC, datetime
from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    json_option,
    print_csv,
    print_fields,
    print_json,
    print_table,
    yes_option,
)
from p2pgrid.cli.parameters import AMOUNT
from p2pgrid.cli.passphrase import given_passphrase, passphrase_option, post_unlocked
from p2pgrid.cli.payment_proofs import proof
from p2pgrid.cli.wallet_keys import backup, change_passphrase, create_wallet, restore
from p2pgrid.cli.wallet_request import request, show_address
from p2pgrid.errors import BadInput, SignedElsewhere
from p2pgrid.limits.control import HISTORY_LISTED, LISTED_MAX
from p2pgrid.model.address import is_invoice, parse_invoice
from p2pgrid.units import SECOND_MS, format_tft

DAY = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"])
_CSV_COLUMNS = ("time", "kind", "tft", "fee", "counterparty", "operation", "status", "memo")

wallet_option = click.option(
    "--wallet", default="node", show_default=True, help="Which of your accounts."
)


@click.group(cls=NearestGroup)
def wallet() -> None:
    """Hold and send TFT.

    Every node has one account, called `node`; `wallet create` makes more.

    \b
    Examples:
      p2pgrid wallet show
      p2pgrid wallet send 3f9c…01aa 12.5
      p2pgrid wallet request 12.5 --memo lunch
    """


for command in (create_wallet, change_passphrase, backup, restore, show_address, request, proof):
    wallet.add_command(command)


@wallet.command("list", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def list_wallets(client: NodeClient, as_json: bool) -> None:
    """List your accounts and what they hold.

    \b
    Examples:
      p2pgrid wallet list
    """
    with errors_shown():
        found = client.get("/wallets")
    if as_json:
        print_json(*found)
        return
    rows = [
        {
            "wallet": one["wallet"],
            "sealed": "yes" if one["is_sealed"] else "-",
            "tft": format_tft(one["balance"]),
            "account": one["account"],
        }
        for one in found
    ]
    print_table(rows, empty="no wallet", right={"tft"})


@wallet.command("show", epilog=EXIT_STATUS)
@click.argument("account", default="node")
@json_option
@click.pass_obj
def show_wallet(client: NodeClient, account: str, as_json: bool) -> None:
    """Show what an account holds. ACCOUNT: the name of a wallet, or anybody's address or id.

    \b
    Examples:
      p2pgrid wallet show
      p2pgrid wallet show savings --json | jq .balance
    """
    with errors_shown():
        one = client.get(f"/accounts/{segment(account)}")
    if as_json:
        print_json(one)
        return
    fields = {
        "account": one["account"],
        "address": one["address"],
        "balance": f"{format_tft(one['balance'])} TFT",
        "operations": str(one["sequence"]),
    }
    if one["pending"]:
        fields["pending"] = f"operation {one['pending']}"
    if one["asked"] > 1:
        fields["agreed"] = f"{one['agreeing']} of {one['asked']} peers asked say so"
    if one["is_convicted"]:
        fields["blocked"] = (
            "until the epoch ends: it signed two operations for one place; "
            "see: p2pgrid ledger evidence"
        )
    print_fields(fields)


@wallet.command("send", epilog=EXIT_STATUS)
@click.argument("account")
@click.argument("amount", type=AMOUNT, required=False)
@wallet_option
@click.option("--memo", help="At most 64 bytes, for everybody to read.")
@click.option(
    "--take-over",
    is_flag=True,
    help="Pay although the wallet was last used on another machine; do when that one is at rest.",
)
@passphrase_option
@yes_option
@json_option
@click.pass_obj
def send(  # noqa: PLR0913, PLR0917 - one for each option
    client: NodeClient, account: str, amount: int | None, wallet: str, memo: str | None,
    take_over: bool, descriptor: int | None, yes: bool, as_json: bool,
) -> None:  # fmt: skip
    """Pay AMOUNT TFT to ACCOUNT; done when a quorum of witnesses has certified it.

    ACCOUNT is an address, an id, one of your wallets, or an invoice, which may say the amount.

    \b
    Examples:
      p2pgrid wallet send tft1qq… 12.5
      p2pgrid wallet send 3f9c…01aa 0.0000001 --wallet savings --yes
      p2pgrid wallet send 'tft:tft1qq…?amount=12.5&memo=lunch'
    """
    with errors_shown():
        if is_invoice(account):
            account, amount, memo = _asked(client, account, amount, memo)
        if amount is None:
            raise BadInput("how much? give AMOUNT after the account, in TFT")
        given = given_passphrase(descriptor)
    about = f", memo {memo!r}" if memo else ""
    question = f"Send {format_tft(amount)} TFT from {wallet!r} to {account}{about}?"
    confirm(question, yes=yes or as_json)
    body = {"account": account, "amount": amount, "wallet": wallet, "memo": memo or ""}
    with errors_shown():
        done = _paid(client, body, given, take_over=take_over, may_ask=not (yes or as_json))
    if as_json:
        print_json(done)
        return
    click.echo(f"certified: operation {done['operation']}")
    click.echo(f"balance    {format_tft(done['balance'])} TFT")


def _paid(
    client: NodeClient, body: dict[str, Any], given: str | None, *, take_over: bool, may_ask: bool
) -> Any:
    """Pay; somebody who uses the wallet on two machines is asked first, or told by the error."""
    taken = {**body, "take_over": True}
    try:
        return post_unlocked(client, "/payments", taken if take_over else body, given)
    except SignedElsewhere as warning:
        if not may_ask:
            raise SignedElsewhere(f"{warning}. Nothing was paid; see --take-over") from None
        confirm(f"{warning}. Is it at rest, and shall this machine pay?", yes=False)
    return post_unlocked(client, "/payments", taken, given)


def _asked(
    client: NodeClient, text: str, amount: int | None, memo: str | None
) -> tuple[str, int | None, str]:
    """Account, amount and memo of an invoice. Raises BadInput: not what is typed beside it."""
    invoice = parse_invoice(text)
    if invoice.amount is not None and amount not in (None, invoice.amount):
        raise BadInput(f"the invoice asks for {format_tft(invoice.amount)} TFT; leave AMOUNT out")
    if invoice.memo and memo not in (None, invoice.memo):
        raise BadInput(f"the invoice says {invoice.memo!r} already; leave --memo out")
    if invoice.grid is not None and invoice.grid.hex() != client.get("/status")["network"]:
        raise BadInput("the invoice is of another grid; paying here would not reach whoever asks")
    wanted = amount if invoice.amount is None else invoice.amount
    return invoice.account.hex(), wanted, invoice.memo or memo or ""


@wallet.command("history", epilog=EXIT_STATUS)
@click.argument("account", default="node")
@click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=HISTORY_LISTED, show_default=True,
    help="At most so many.",
)  # fmt: skip
@click.option("--since", type=DAY, help="From this day or time on, UTC: 2027-01-31, …T12:00:00.")
@click.option("--before", type=DAY, help="Up to this day or time, UTC.")
@click.option("--kind", help="Only operations of one kind: transfer, open-escrow, …")
@click.option("--with", "other", metavar="ACCOUNT", help="Only what went to or came from it.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for a spreadsheet.")
@json_option
@click.pass_obj
def history(  # noqa: PLR0913, PLR0917 - one for each option
    client: NodeClient, account: str, limit: int, since: datetime | None, before: datetime | None,
    kind: str | None, other: str | None, as_csv: bool, as_json: bool,
) -> None:  # fmt: skip
    """List what went in and out of an account, the newest first.

    \b
    Examples:
      p2pgrid wallet history
      p2pgrid wallet history savings --since 2027-01-01 --kind transfer --json
      p2pgrid wallet history --before 2027-01-01 --limit 10000 --csv > 2026.csv
    """
    query = {"since_ms": _unix_ms(since), "before_ms": _unix_ms(before), "kind": kind}
    asked = {name: value for name, value in {**query, "with": other}.items() if value is not None}
    with errors_shown():
        found = client.get(f"/accounts/{segment(account)}/history", limit=limit, **asked)
    if as_json:
        print_json(*found)
    elif as_csv:
        print_csv(_CSV_COLUMNS, [_csv_row(one) for one in found])
    else:
        rows = [_history_row(one) for one in found]
        print_table(rows, empty="nothing yet" if not asked else "nothing", right={"tft", "fee"})


def _unix_ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.replace(tzinfo=UTC).timestamp() * SECOND_MS)


def _csv_row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "time": one["time"],
        "kind": one["kind"],
        "tft": format_tft(one["amount"]),
        "fee": format_tft(one["fee"]),
        "counterparty": one["counterparty"] or "",
        "operation": one["operation"],
        "status": one["status"],
        "memo": one["memo"],
    }


def _history_row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "time": one["time"],
        "what": one["kind"],
        "tft": format_tft(one["amount"]),
        "fee": format_tft(one["fee"]) if one["fee"] else "-",
        "with": (one["counterparty"] or "-")[:8],
        "operation": one["operation"][:8],
        "status": one["status"],
        "memo": one["memo"],
    }
