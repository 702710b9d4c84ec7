"""`p2pgrid explorer`: what this node knows of the grid as a whole."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    json_option,
    plain,
    print_fields,
    print_json,
    print_table,
)
from p2pgrid.limits.control import LISTED_MAX
from p2pgrid.limits.plots import BARS_MAX
from p2pgrid.units import format_bytes

_plot_option = click.option(
    "--plot", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="Draw it into this file: PNG or SVG, by its name.",
)  # fmt: skip
_CAPACITY_FIGURES = {"used", "free", "total", "used %"}


@click.group(cls=NearestGroup)
def explorer() -> None:
    """See how much of the grid this node knows, and draw it.

    \b
    Examples:
      p2pgrid explorer status
      p2pgrid explorer stats
      p2pgrid explorer map --plot grid.png
    """


@explorer.command("status", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def status(client: NodeClient, as_json: bool) -> None:
    """Show what the node holds, how fresh it is, and with whom it was compared.

    Two nodes hold the same records if and only if they show the same root.

    \b
    Examples:
      p2pgrid explorer status
      p2pgrid explorer status --json | jq -r .root
    """
    with errors_shown():
        one = client.get("/explorer")
    if as_json:
        print_json(one)
        return
    if one["records"] is None:
        told: dict[str, Any] = {"records": "none: a light peer asks others for each answer"}
    else:
        told = _view(one)
    print_fields(
        {
            **told,
            "memory of node": format_bytes(one["resident_bytes"]),
            "running for": age(one["uptime_ms"]),
            "peers": [_peer(peer) for peer in one["peers"]],
        }
    )


def _view(one: dict[str, Any]) -> dict[str, str | list[str]]:
    kinds = one["by_kind"]
    width = max((len(str(count)) for count in kinds.values()), default=0)
    heard = one["heard_age_ms"]
    return {
        "root": one["root"],
        "records": f"{one['records']}, {format_bytes(one['memory_bytes'])}",
        "by kind": [f"{count:>{width}}  {kind.replace('_', ' ')}" for kind, count in kinds.items()],
        "contradictions": [
            str(one["contradictions"]),
            *(f"by {liar[:8]}" for liar in one["liars"]),
        ],
        "last news": "none since the start" if heard is None else f"{age(heard)} ago",
    }


def _peer(peer: dict[str, Any]) -> str:
    since = peer["reconciled_age_ms"]
    if since is not None:
        compared = f"compared {age(since)} ago"
    else:  # light peers hold nothing to compare
        compared = "not compared yet" if peer["is_node"] else "-"
    return f"{peer['peer'][:8]}  {compared}"


@explorer.command("map", epilog=EXIT_STATUS)
@_plot_option
@json_option
@click.pass_obj
def draw_map(client: NodeClient, plot: Path | None, as_json: bool) -> None:
    """Show where the capacity of the grid is, as a table or on a map of the world.

    Places are what farmers say; bubbles are as large as the cores there.

    \b
    Examples:
      p2pgrid explorer map
      p2pgrid explorer map --plot grid.png
      p2pgrid explorer map --plot grid.svg --json
    """
    from p2pgrid.plots.census import places_of
    from p2pgrid.plots.figure import check_picture
    from p2pgrid.plots.world import draw_map as draw

    with errors_shown():
        if plot is not None:
            check_picture(plot)
        nodes = all_nodes(client)
        places, unknown = places_of(nodes)
        if plot is not None:
            draw(plot, nodes)
    if as_json:
        print_json(*(asdict(place) for place in places))
        return
    if plot is not None:
        click.echo(f"{len(nodes)} nodes at {len(places)} places, drawn into {plain(str(plot))}")
        return
    rows = [
        {
            "place": place.name or "-",
            "country": place.country or "-",
            "latitude": f"{place.latitude:.2f}",
            "longitude": f"{place.longitude:.2f}",
            "status": place.status,
            "nodes": str(place.nodes),
            "cores": f"{place.cores:g}",
        }
        for place in places
    ]
    print_table(
        rows, empty="no node says where it stands",
        right={"latitude", "longitude", "nodes", "cores"},
    )  # fmt: skip
    if unknown and rows:
        click.echo(f"\n{unknown} of {len(nodes)} nodes do not say where they stand")


@explorer.command("stats", epilog=EXIT_STATUS)
@_plot_option
@json_option
@click.pass_obj
def show_stats(client: NodeClient, plot: Path | None, as_json: bool) -> None:
    """Show what the grid has in all: capacity, countries, prices, features, versions.

    \b
    Examples:
      p2pgrid explorer stats
      p2pgrid explorer stats --plot stats.svg
      p2pgrid explorer stats --json | jq .by_country
    """
    from p2pgrid.plots.census import summary_of
    from p2pgrid.plots.charts import draw_stats
    from p2pgrid.plots.figure import check_picture

    with errors_shown():
        if plot is not None:
            check_picture(plot)
        nodes = all_nodes(client)
        if plot is not None:
            draw_stats(plot, nodes)
    if as_json:
        print_json(summary_of(nodes))
        return
    if plot is not None:
        click.echo(f"{len(nodes)} nodes, drawn into {plain(str(plot))}")
        return
    _show_capacity(nodes)
    _show_counts(nodes)


def all_nodes(client: NodeClient) -> list[dict[str, Any]]:
    """Every node that the view has, page by page. Raises like `NodeClient.get`."""
    nodes: list[dict[str, Any]] = []
    page = 1
    while True:
        found = client.get("/nodes", sort="id", limit=LISTED_MAX, page=page)
        nodes += found["nodes"]
        if len(found["nodes"]) < LISTED_MAX:
            return nodes
        page += 1


def _show_capacity(nodes: list[dict[str, Any]]) -> None:
    from p2pgrid.plots.census import capacity_of

    rows = []
    for name, free, total in capacity_of(nodes):
        unit = "" if name in ("cores", "gpus") else " GiB"
        shown = [f"{amount:,.4g}{unit}" for amount in (total - free, free, total)]
        percent = f"{100 * (total - free) / total:.0f} %" if total else "-"
        rows.append({"capacity": name, **dict(zip(("used", "free", "total"), shown, strict=True)),
                     "used %": percent})  # fmt: skip
    print_table(rows, empty="", right=_CAPACITY_FIGURES)
    click.echo()


def _show_counts(nodes: list[dict[str, Any]]) -> None:
    from p2pgrid.plots.census import counts_of

    fields: dict[str, str | list[str]] = {"nodes": str(len(nodes))}
    for name, rows in counts_of(nodes, most=BARS_MAX).items():
        width = max((len(f"{count:,}") for _, count in rows), default=0)
        fields[name] = [f"{count:>{width},}  {shown}" for shown, count in rows]
    prices = sorted(node["price_permille"] / 10 for node in nodes)
    if prices:
        middle = prices[len(prices) // 2]
        fields["prices"] = f"{prices[0]:g} % to {prices[-1]:g} %, median {middle:g} %"
    print_fields(fields)
