"""`p2pgrid wallet address|request`: what others need to pay you."""

import sys
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.output import EXIT_STATUS, errors_shown, json_option, print_fields, print_json
from p2pgrid.cli.parameters import AMOUNT
from p2pgrid.errors import BadInput
from p2pgrid.model.address import Invoice, format_invoice
from p2pgrid.model.ids import AccountId, NetworkId
from p2pgrid.units import Amount, format_tft

picture_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False),
    help="Write the QR code as a picture: NAME.png or NAME.svg.",
)  # fmt: skip


@click.command("address", epilog=EXIT_STATUS)
@click.argument("account", default="node")
@picture_option
@json_option
@click.pass_obj
def show_address(client: NodeClient, account: str, out: Path | None, as_json: bool) -> None:
    """Print the address of an account, with a QR code on a terminal.

    \b
    Examples:
      p2pgrid wallet address
      p2pgrid wallet address savings --out savings.png
    """
    with errors_shown():
        one = client.get(f"/accounts/{segment(account)}")
        _draw(one["address"].upper(), out)  # capitals make a smaller code, and read the same
    if as_json:
        print_json({"account": one["account"], "address": one["address"]})
        return
    click.echo(one["address"])
    _show(one["address"].upper(), out)


@click.command("request", epilog=EXIT_STATUS)
@click.argument("amount", type=AMOUNT, required=False)
@click.option("--wallet", default="node", show_default=True, help="Which of your accounts.")
@click.option("--memo", default="", help="At most 64 bytes, for everybody to read.")
@picture_option
@json_option
@click.pass_obj
def request(
    client: NodeClient, amount: int | None, wallet: str, memo: str, out: Path | None, as_json: bool
) -> None:
    """Ask to be paid: an invoice to copy, with a QR code on a terminal.

    Whoever gets it pays by: p2pgrid wallet send INVOICE

    \b
    Examples:
      p2pgrid wallet request 12.5 --memo lunch
      p2pgrid wallet request --wallet till --out till.svg
    """
    with errors_shown():
        if not memo.isprintable():
            raise BadInput("a memo is one line of text")
        account = client.get(f"/accounts/{segment(wallet)}")["account"]
        network = client.get("/status")["network"]
        invoice = Invoice(
            AccountId(bytes.fromhex(account)),
            None if amount is None else Amount(amount),
            memo,
            NetworkId(bytes.fromhex(network)),
        )
        text = format_invoice(invoice)
        _draw(text, out)
    if as_json:
        print_json({"invoice": text, "account": account, "amount": amount, "memo": memo})
        return
    fields: dict[str, Any] = {"invoice": text}
    if amount is not None:
        fields["amount"] = f"{format_tft(amount)} TFT"
    print_fields(fields)
    _show(text, out)


def _draw(text: str, out: Path | None) -> None:
    """Write the picture. Raises BadInput: it can be no such file."""
    if out is None:
        return
    if out.suffix not in (".png", ".svg"):
        raise BadInput(f"{out.name} is neither a .png nor an .svg")
    import segno

    segno.make(text, micro=False).save(str(out), scale=8, border=4)


def _show(text: str, out: Path | None) -> None:
    """The code itself, where somebody can see it."""
    if out is not None:
        click.echo(f"QR code in {out}")
    elif sys.stdout.isatty():
        import segno

        segno.make(text, micro=False).terminal(compact=True)
