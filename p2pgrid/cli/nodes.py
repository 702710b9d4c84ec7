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
    table_lines,
)
from p2pgrid.cli.parameters import BYTES, TEXT, Number
from p2pgrid.cli.watching import watch_nodes
from p2pgrid.limits.control import LISTED_MAX
from p2pgrid.limits.farming import NODES_LISTED
from p2pgrid.units import format_bytes

_FIGURES = {"cores", "memory", "ssd", "hdd", "price", "heard", "latency", "uptime"}


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
@click.option("--gpus", type=click.IntRange(min=0), help="At least this many free.")
@click.option("--gpu", type=TEXT, help="Part of a GPU's name or id.")
@click.option("--country", type=TEXT, help="Only there.")
@click.option("--city", type=TEXT, help="Only there.")
@click.option("--farm", type=TEXT, help="Name or first digits of a farm's id.")
@click.option("--feature", type=TEXT, multiple=True, help="For example container; repeatable.")
@click.option("--price-min", type=Number(min=0, max=1000), help="In percent of the grid's prices.")
@click.option("--price-max", type=Number(min=0, max=1000), help="In percent of the grid's prices.")
@click.option("--status", type=click.Choice(["up", "standby", "down"]), help="Default: all.")
@click.option("--confirmed/--unconfirmed", default=None, help="Whether its farm lists the node.")
@click.option(
    "--contradicted/--consistent", default=None,
    help="Whether it, or its farm, is proved to have told different things at once.",
)  # fmt: skip
@click.option("--secure-boot/--no-secure-boot", default=None, help="As the node says.")
@click.option("--bare-metal/--virtual", default=None, help="As the node says.")
@click.option("--ipv6/--no-ipv6", default=None, help="An IPv6 address that others can reach.")
@click.option("--public-address/--no-public-address", default=None, help="One of the Internet.")
@click.option(
    "--sort", default="price", show_default=True,
    help="What comes first; figures: the best. Latency: as measured, to nodes connected to yours.",
    type=click.Choice(["price", "cores", "memory", "ssd", "hdd", "age", "uptime", "latency", "id"]),
)  # fmt: skip
@click.option("--reverse", is_flag=True, help="The last of the order first.")
@click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=NODES_LISTED, show_default=True,
    help="At most so many on a page.",
)  # fmt: skip
@click.option("--page", type=click.IntRange(1, LISTED_MAX), default=1, help="Which page.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C: redraw, or print what changes.")
@json_option
@click.pass_obj
def list_nodes(client: NodeClient, /, as_json: bool, watch: bool, **filters: Any) -> None:
    """List nodes, the cheapest first unless sorted otherwise.

    Marks: `?` its farm does not list the node; `!` it is proved that the node, or the farm, told
    different things at once. What you run is not put there unless you name the node.

    \b
    Examples:
      p2pgrid nodes list --cores 4 --memory 8G
      p2pgrid nodes list --feature container --country Belgium --confirmed
      p2pgrid nodes list --gpu nvidia --price-max 80 --sort uptime
      p2pgrid nodes list --status up --watch
      p2pgrid nodes list --json | jq .free
    """
    _require_price_range(filters["price_min"], filters["price_max"])
    query = {name: _asked(value) for name, value in filters.items()}

    def lines(found: dict[str, Any]) -> list[str]:
        return _lines(found, filters["page"], filters["limit"], sort=filters["sort"])

    def ask() -> dict[str, Any]:
        answer: dict[str, Any] = client.get("/nodes", **query)
        return answer

    with errors_shown():
        if watch:
            watch_nodes(ask, lines, as_json=as_json)
            return
        found = ask()
    if as_json:
        print_json(*found["nodes"])
        return
    for line in lines(found):
        click.echo(line)


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
            **_trust(one),
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
            "latency": _latency(one["round_trip_us"]),
        }
    )


def _asked(value: object) -> object:
    """A yes or no as the control API reads it; not asked: left out."""
    return int(value) if isinstance(value, bool) else value


def _require_price_range(least: float | None, most: float | None) -> None:
    if least is not None and most is not None and least > most:
        raise click.UsageError(f"--price-min {least:g} is more than --price-max {most:g}")


def _lines(found: dict[str, Any], page: int, limit: int, *, sort: str) -> list[str]:
    """The list as people see it."""
    rows = [_row(one, sort) for one in found["nodes"]]
    table = table_lines(rows, empty=_why_nothing(found, page, limit), right=_FIGURES)
    notes = _notes(found, page)
    return [*table, "", *notes] if notes else table


def _why_nothing(found: dict[str, Any], page: int, limit: int) -> str:
    total = found.get("total") or 0
    if page == 1 or not total:
        return "no node fits; try fewer filters"
    pages = -(-total // limit)
    about = "" if found.get("is_total_exact", True) else "about "
    there_are = "there is 1 page" if pages == 1 else f"there are {about}{pages} pages"
    return f"no page {page}: {there_are} of {about}{total} nodes"


def _notes(found: dict[str, Any], page: int) -> list[str]:
    """What a person has to know of the list: how much of it this is, and who vouches for it."""
    lines = []
    shown, total = len(found["nodes"]), found.get("total")
    if total is not None and total > shown > 0:
        about = "" if found.get("is_total_exact", True) else "about "
        lines.append(f"{shown} of {about}{total} nodes; page {page}")
    if any(one["is_contradicted"] or one["is_farm_contradicted"] for one in found["nodes"]):
        lines.append("! is proved to have told different things at once")
    if found.get("asked"):
        youngest = found.get("youngest_age_ms")
        heard = "" if youngest is None else f"; the newest record is {age(youngest)} old"
        lines.append(f"{found['agreed']} of {found['asked']} peers asked gave this answer{heard}")
    return lines


def _row(one: dict[str, Any], sort: str) -> dict[str, str]:
    free = one["free"]
    sorted_by = {}
    if sort == "latency":
        sorted_by = {"latency": _latency(one["round_trip_us"])}
    elif sort == "uptime":
        sorted_by = {"uptime": age(one["uptime_ms"])}
    return {
        "node": one["node"][:8] + (" !" if one["is_contradicted"] else ""),
        "farm": (one["farm_name"] or one["farm"][:8])
        + ("" if one["is_confirmed"] else " ?")
        + (" !" if one["is_farm_contradicted"] else ""),
        "status": one["status"],
        "cores": f"{free['millicores'] / 1000:g}",
        "memory": format_bytes(free["memory_bytes"]),
        "ssd": format_bytes(free["ssd_bytes"]),
        "hdd": format_bytes(free["hdd_bytes"]) if free["hdd_bytes"] else "-",
        "price": f"{one['price_permille'] / 10:g} %",
        "features": ",".join(one["features"]) or "-",
        "heard": age(one["age_ms"]),
        **sorted_by,
    }


def _trust(one: dict[str, Any]) -> dict[str, str]:
    """A line on whoever is proved to lie; none as a rule."""
    liars = [
        who
        for who, is_liar in (
            ("the node", one["is_contradicted"]),
            ("its farm", one["is_farm_contradicted"]),
        )
        if is_liar
    ]
    return {"proved": f"{' and '.join(liars)} told different things at once"} if liars else {}


def _capacity(one: dict[str, int]) -> str:
    parts = [
        f"{one['millicores'] / 1000:g} cores",
        f"{format_bytes(one['memory_bytes'])} memory",
        f"{format_bytes(one['ssd_bytes'])} SSD",
        f"{format_bytes(one['hdd_bytes'])} HDD",
    ]
    return ", ".join(parts + ([f"{one['gpus']} GPUs"] if one["gpus"] else []))


def _latency(round_trip_us: int | None) -> str:
    """There and back."""
    if round_trip_us is None:
        return "-"
    return f"{round_trip_us} µs" if round_trip_us < 1000 else f"{round_trip_us / 1000:.1f} ms"


def _location(one: dict[str, Any] | None) -> str:
    if one is None:
        return "not said"
    return ", ".join(text for text in (one["city"], one["country"]) if text) or "not said"


def _yes_no(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "unknown"}[value]
