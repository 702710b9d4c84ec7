"""`p2pgrid ledger`: how the ledger stands, and who broke its rules."""

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    json_option,
    print_fields,
    print_json,
    print_table,
)
from p2pgrid.units import format_tft


@click.group(cls=NearestGroup)
def ledger() -> None:
    """See how the ledger stands.

    \b
    Examples:
      p2pgrid ledger status
      p2pgrid ledger evidence
    """


@ledger.command("status", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def status(client: NodeClient, as_json: bool) -> None:
    """Show totals, the witnesses and the quorum.

    \b
    Examples:
      p2pgrid ledger status --json | jq .supply
    """
    with errors_shown():
        one = client.get("/ledger")
    if as_json:
        print_json(one)
        return
    fields = {
        "grid": f"{one['grid']} ({one['network']})",
        "operations": f"{one['operations']} certified in {one['batches']} batches",
        "supply": f"{format_tft(one['supply'])} TFT",
        "in accounts": f"{format_tft(one['in_accounts'])} TFT",
        "in escrow": f"{format_tft(one['in_escrow'])} TFT",
        "burnt": f"{format_tft(one['burnt'])} TFT",
        "quorum": f"{one['quorum']} of the weight {one['weight']}",
        "witnesses": one["witnesses"],
    }
    if one["waiting"]:
        fields["waiting"] = f"{one['waiting']} operations for their predecessors"
    if not one["is_caught_up"]:
        fields["behind?"] = "not compared with a peer since the start"
    if one["alarms"]:
        fields["ALARM"] = "two certificates for one slot; see: p2pgrid ledger evidence"
    print_fields(fields)


@ledger.command("evidence", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def evidence(client: NodeClient, as_json: bool) -> None:
    """List proofs that an account or a witness signed two things for one slot.

    \b
    Examples:
      p2pgrid ledger evidence
    """
    with errors_shown():
        found = client.get("/ledger/evidence")
    if as_json:
        print_json(*found)
        return
    rows = [
        {
            "culprit": one["culprit"][:16],
            "role": one["role"],
            "first": one["first"][:16],
            "second": one["second"][:16],
            "evidence": one["evidence"][:16],
        }
        for one in found
    ]
    print_table(rows, empty="nobody was caught")
