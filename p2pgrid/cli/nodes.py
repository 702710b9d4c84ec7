"""`p2pgrid nodes`: look for capacity."""

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
from p2pgrid.cli.parameters import BYTES, Number
from p2pgrid.limits.control import LISTED_MAX
from p2pgrid.limits.farming import NODES_LISTED
from p2pgrid.units import format_bytes

_FIGURES = {"cores", "memory", "ssd", "hdd", "price", "heard"}


@click.group(cls=NearestGroup)
def nodes() -> None:
    """Look for capacity that nodes of the grid offer.

    \b
    Examples:
      p2pgrid nodes list --memory 8G --feature container
      p2pgrid nodes show 3f9c01aa
    """


@nodes.command("list", epilog=EXIT_STATUS)
@click.option("--cores", type=Number(min=0), help="At least this many free.")
@click.option("--memory", type=BYTES, help="At least this much free, for example 4G.")
@click.option("--ssd", type=BYTES, help="At least this much free.")
@click.option("--hdd", type=BYTES, help="At least this much free.")
@click.option("--country", help="Only there.")
@click.option("--farm", help="Name or first digits of a farm's id.")
@click.option("--feature", multiple=True, help="For example container; may be given again.")
@click.option("--status", type=click.Choice(["up", "standby", "down"]), help="Default: all.")
@click.option(
    "--sort", default="price", show_default=True, help="What comes first; figures: the best.",
    type=click.Choice(["price", "cores", "memory", "ssd", "hdd", "age", "id"]),
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=NODES_LISTED, show_default=True,
    help="At most so many.",
)  # fmt: skip
@json_option
@click.pass_obj
def list_nodes(client: NodeClient, /, as_json: bool, **filters: Any) -> None:
    """List nodes, the cheapest first unless sorted otherwise.

    \b
    Examples:
      p2pgrid nodes list --cores 4 --memory 8G
      p2pgrid nodes list --feature container --country Belgium
      p2pgrid nodes list --json | jq .free
    """
    with errors_shown():
        found = client.get("/nodes", **filters)
    if as_json:
        print_json(*found["nodes"])
        return
    rows = [_row(one) for one in found["nodes"]]
    print_table(rows, empty="no node fits; try fewer filters", right=_FIGURES)
    if found.get("asked"):
        click.echo(f"\n{found['agreed']} of {found['asked']} peers asked gave this answer")


@nodes.command("show", epilog=EXIT_STATUS)
@click.argument("node_id")
@json_option
@click.pass_obj
def show_node(client: NodeClient, node_id: str, as_json: bool) -> None:
    """Show all that a node says of itself. NODE_ID: the first digits are enough.

    \b
    Examples:
      p2pgrid nodes show 3f9c01aa
    """
    with errors_shown():
        one = client.get(f"/nodes/{segment(node_id)}")
    if as_json:
        print_json(one)
        return
    print_fields(
        {
            "node": one["node"],
            "farm": f"{one['farm_name'] or '-'} ({one['farm']})"
            + ("" if one["is_confirmed"] else ", unconfirmed"),
            "status": f"{one['status']}, heard of {age(one['age_ms'])} ago",
            "free": _capacity(one["free"]),
            "total": _capacity(one["total"]),
            "system": _capacity(one["system"]),
            "price": f"{one['price_permille'] / 10:g} % of the grid's",
            "features": ", ".join(one["features"]) or "none",
            "location": _location(one["location"]),
            "hardware": ", ".join(
                text for text in (one["hardware"]["board"], one["hardware"]["cpu_model"]) if text
            ),
            "secure boot": _yes_no(one["hardware"]["secure_boot"]),
            "virtual": one["hardware"]["virtualized"] or "no",
            "addresses": one["addresses"],
            "version": one["version"],
        }
    )


def _row(one: dict[str, Any]) -> dict[str, str]:
    free = one["free"]
    return {
        "node": one["node"][:8],
        "farm": (one["farm_name"] or one["farm"][:8]) + ("" if one["is_confirmed"] else " ?"),
        "status": one["status"],
        "cores": f"{free['millicores'] / 1000:g}",
        "memory": format_bytes(free["memory_bytes"]),
        "ssd": format_bytes(free["ssd_bytes"]),
        "hdd": format_bytes(free["hdd_bytes"]) if free["hdd_bytes"] else "-",
        "price": f"{one['price_permille'] / 10:g} %",
        "features": ",".join(one["features"]) or "-",
        "heard": age(one["age_ms"]),
    }


def _capacity(one: dict[str, int]) -> str:
    parts = [
        f"{one['millicores'] / 1000:g} cores",
        f"{format_bytes(one['memory_bytes'])} memory",
        f"{format_bytes(one['ssd_bytes'])} SSD",
        f"{format_bytes(one['hdd_bytes'])} HDD",
    ]
    return ", ".join(parts + ([f"{one['gpus']} GPUs"] if one["gpus"] else []))


def _location(one: dict[str, Any] | None) -> str:
    if one is None:
        return "not said"
    return ", ".join(text for text in (one["city"], one["country"]) if text) or "not said"


def _yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
