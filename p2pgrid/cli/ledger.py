"""`p2pgrid ledger`: how the ledger stands, and who broke its rules."""

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    follow,
    json_option,
    print_fields,
    print_json,
    print_table,
)
from p2pgrid.cli.payment_proofs import check
from p2pgrid.units import format_tft


@click.group(cls=NearestGroup)
def ledger() -> None:
    """See how the ledger stands.

    \b
    Examples:
      p2pgrid ledger status
      p2pgrid ledger evidence
      p2pgrid ledger verify
      p2pgrid ledger epochs
      p2pgrid ledger witnesses
    """


ledger.add_command(check)


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

    Slots with two certificates, if there are any, are named first; status --json has them.

    \b
    Examples:
      p2pgrid ledger evidence
    """
    with errors_shown():
        found = client.get("/ledger/evidence")
        alarms = client.get("/ledger")["alarms"]
    if as_json:
        print_json(*found)
        return
    for alarm in alarms:
        click.echo(f"ALARM: slot {alarm['slot']} has two certificates, and witnesses vote no more:")
        for operation in alarm["operations"]:
            click.echo(f"  operation {operation}")
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


@ledger.command("verify", epilog=EXIT_STATUS)
@json_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Recompute everything from the records that this node stores, and say what was checked.

    Every signature is checked again, and every balance added up anew from the genesis
    record. Fails when anything is not as it should be.

    \b
    Examples:
      p2pgrid ledger verify
      p2pgrid ledger verify --json | jq .is_sound
    """
    client: NodeClient = ctx.obj
    with errors_shown():
        found = follow(
            client.stream("/ledger/verify", {}), as_json=as_json, afterwards="p2pgrid ledger status"
        )
    if as_json:
        print_json(found)
    else:
        for check in found["checks"]:
            verdict = f"WRONG {check['wrong']}" if check["wrong"] else "ok"
            click.echo(f"{verdict:9} {check['count']:8}  {check['rule']}")
            for finding in check["findings"]:
                click.echo(f"{'':19} {finding}")
        click.echo("everything holds" if found["is_sound"] else "something does NOT hold")
    if not found["is_sound"]:
        ctx.exit(1)


@ledger.command("epochs", epilog=EXIT_STATUS)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
@json_option
@click.pass_obj
def epochs(client: NodeClient, limit: int, as_json: bool) -> None:
    """List epochs: how long they were, what they held, who decided them.

    \b
    Examples:
      p2pgrid ledger epochs
      p2pgrid ledger epochs --json | jq -r .end
    """
    with errors_shown():
        found = client.get("/ledger/epochs")[:limit]
    if as_json:
        print_json(*found)
        return
    rows = [
        {
            "epoch": str(one["epoch"]),
            "started": one["started"],
            "ended": one["ended"],
            "operations": "" if one["operations"] is None else str(one["operations"]),
            "quorum": f"{one['quorum']} of {one['weight']}",
            "end": "" if one["end"] is None else one["end"][:16],
            "settled": "yes" if one["is_settled"] else "",
        }
        for one in found
    ]
    print_table(rows, empty="no epoch has begun")


@ledger.command("witnesses", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def witnesses(client: NodeClient, as_json: bool) -> None:
    """List who votes in the current epoch, and with which key.

    \b
    Examples:
      p2pgrid ledger witnesses --json | jq -r .node
    """
    with errors_shown():
        found = client.get("/ledger/witnesses")
    if as_json:
        print_json(*found)
        return
    rows = [
        {
            "node": one["node"],
            "weight": str(one["weight"]),
            "key": "its own" if one["key"] == one["node"] else one["key"][:16],
        }
        for one in found
    ]
    print_table(rows, empty="nobody votes")
