"""`p2pgrid wallet`: accounts, balances, payments."""

from typing import Any

import click

from p2pgrid import keys
from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    json_option,
    print_fields,
    print_json,
    print_table,
    yes_option,
)
from p2pgrid.cli.parameters import AMOUNT
from p2pgrid.limits.control import HISTORY_LISTED, LISTED_MAX
from p2pgrid.units import format_tft

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
    """


@wallet.command("create", epilog=EXIT_STATUS)
@click.argument("name")
@json_option
@click.pass_obj
def create_wallet(client: NodeClient, name: str, as_json: bool) -> None:
    """Make a new account; needs no running node.

    The key is a file in the data directory that only you can read. Whoever has
    it owns the money; without it the money is lost.

    \b
    Examples:
      p2pgrid wallet create savings
    """
    with errors_shown():
        key = keys.create_wallet(client.data, name)
    made = {"wallet": name, "account": bytes(key.verify_key).hex()}
    if as_json:
        print_json(made)
        return
    click.echo(f"account {made['account']}\nkey in  {keys.wallet_path(client.data, name)}")


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
        {"wallet": one["wallet"], "tft": format_tft(one["balance"]), "account": one["account"]}
        for one in found
    ]
    print_table(rows, empty="no wallet", right={"tft"})


@wallet.command("show", epilog=EXIT_STATUS)
@click.argument("account", default="node")
@json_option
@click.pass_obj
def show_wallet(client: NodeClient, account: str, as_json: bool) -> None:
    """Show what an account holds. ACCOUNT: the name of a wallet, or any account's id.

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
        "balance": f"{format_tft(one['balance'])} TFT",
        "operations": str(one["sequence"]),
    }
    if one["pending"]:
        fields["pending"] = f"operation {one['pending']}"
    if one["asked"] > 1:
        fields["agreed"] = f"{one['agreeing']} of {one['asked']} peers asked say so"
    if one["is_convicted"]:
        fields["blocked"] = "it signed two operations for one place; see: p2pgrid ledger evidence"
    print_fields(fields)


@wallet.command("send", epilog=EXIT_STATUS)
@click.argument("account")
@click.argument("amount", type=AMOUNT)
@wallet_option
@click.option("--memo", default="", help="At most 64 bytes, for everybody to read.")
@yes_option
@json_option
@click.pass_obj
def send(  # noqa: PLR0913, PLR0917 - one for each option
    client: NodeClient, account: str, amount: int, wallet: str, memo: str, yes: bool, as_json: bool
) -> None:
    """Pay AMOUNT TFT to ACCOUNT; done when a quorum of witnesses has certified it.

    \b
    Examples:
      p2pgrid wallet send 3f9c…01aa 12.5
      p2pgrid wallet send 3f9c…01aa 0.0000001 --wallet savings --yes
    """
    confirm(f"Send {format_tft(amount)} TFT from {wallet!r} to {account}?", yes=yes or as_json)
    body = {"account": account, "amount": amount, "wallet": wallet, "memo": memo}
    with errors_shown():
        done = client.post("/payments", body)
    if as_json:
        print_json(done)
        return
    click.echo(f"certified: operation {done['operation']}")
    click.echo(f"balance    {format_tft(done['balance'])} TFT")


@wallet.command("history", epilog=EXIT_STATUS)
@click.argument("account", default="node")
@click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=HISTORY_LISTED, show_default=True,
    help="At most so many.",
)  # fmt: skip
@json_option
@click.pass_obj
def history(client: NodeClient, account: str, limit: int, as_json: bool) -> None:
    """List what went in and out of an account, the newest first.

    \b
    Examples:
      p2pgrid wallet history
      p2pgrid wallet history savings --json
    """
    with errors_shown():
        found = client.get(f"/accounts/{segment(account)}/history", limit=limit)
    if as_json:
        print_json(*found)
        return
    print_table([_history_row(one) for one in found], empty="nothing yet", right={"tft", "fee"})


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
