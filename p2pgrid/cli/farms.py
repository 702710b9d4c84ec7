"""`p2pgrid farms`: who offers the nodes, and where the money goes."""

from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    json_option,
    print_fields,
    print_json,
    print_table,
)
from p2pgrid.cli.parameters import Number
from p2pgrid.cli.passphrase import given_passphrase, passphrase_option, post_unlocked

_PROVED = "it told different things at once"


@click.group(cls=NearestGroup)
def farms() -> None:
    """Look for farms; create and change your own.

    \b
    Examples:
      p2pgrid farms list
      p2pgrid farms create "Green Valley"
    """


@farms.command("list", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def list_farms(client: NodeClient, as_json: bool) -> None:
    """List the farms that this node knows.

    `!` marks those that are proved to have told different things at once.

    \b
    Examples:
      p2pgrid farms list
    """
    with errors_shown():
        found = client.get("/farms")
    if as_json:
        print_json(*found)
        return
    print_table(
        [_row(one) for one in found],
        empty="no farm yet; create one: p2pgrid farms create NAME",
        right={"nodes", "price"},
    )


@farms.command("show", epilog=EXIT_STATUS)
@click.argument("farm")
@json_option
@click.pass_obj
def show_farm(client: NodeClient, farm: str, as_json: bool) -> None:
    """Show one farm. FARM: its name or the first digits of its id.

    \b
    Examples:
      p2pgrid farms show "Green Valley"
    """
    with errors_shown():
        one = client.get(f"/farms/{segment(farm)}")
    if as_json:
        print_json(one)
        return
    print_fields(
        {
            "farm": one["farm"],
            "name": one["title"],
            "payout": one["payout"],
            "price": f"{one['price_permille'] / 10:g} % of the grid's",
            "changed": f"{age(one['age_ms'])} ago",
            **({"proved": _PROVED} if one["is_contradicted"] else {}),
            "nodes": one["nodes"],
        }
    )


@farms.command("create", epilog=EXIT_STATUS)
@click.argument("name")
@click.option("--payout", help="Account that earns; a new farm takes its own, wallet `farm`.")
@click.option(
    "--price", "price_percent", type=Number(10, 1000),
    help="Percent of the grid's prices; a new farm takes 100.",
)  # fmt: skip
@click.option("--member", "members", multiple=True, help="Further node ids that may claim it.")
@passphrase_option
@json_option
@click.pass_obj
def create_farm(
    client: NodeClient, /, as_json: bool, descriptor: int | None, **document: Any
) -> None:
    """Create a farm, or change your own; this node becomes its member.

    Its key is kept in the data directory as wallet `farm`; keep a copy of it
    (p2pgrid wallet backup farm), and seal it (p2pgrid wallet passphrase farm).
    What is not given when it changes stays as it was.

    \b
    Examples:
      p2pgrid farms create "Green Valley"
      p2pgrid farms create "Green Valley" --price 80 --member 3f9c…
    """
    with errors_shown():
        made = post_unlocked(client, "/farms", document, given_passphrase(descriptor))
    if as_json:
        print_json(made)
        return
    click.echo(f"farm {made['title']!r} is {made['farm']}; it is paid to {made['payout']}")
    click.echo(f"other nodes join it by: p2pgrid node run --farm {made['farm']}")


def _row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "farm": one["farm"][:8],
        "name": one["title"] + (" !" if one["is_contradicted"] else ""),
        "nodes": str(len(one["nodes"])),
        "price": f"{one['price_permille'] / 10:g} %",
        "payout": one["payout"][:8],
        "changed": age(one["age_ms"]) + " ago",
    }
