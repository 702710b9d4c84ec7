"""`p2pgrid explorer`: what this node knows of the grid as a whole."""

from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    json_option,
    print_fields,
    print_json,
)
from p2pgrid.units import format_bytes


@click.group(cls=NearestGroup)
def explorer() -> None:
    """See how much of the grid this node knows, and draw it.

    \b
    Examples:
      p2pgrid explorer status
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
        "contradictions": str(one["contradictions"]),
        "last news": "none since the start" if heard is None else f"{age(heard)} ago",
    }


def _peer(peer: dict[str, Any]) -> str:
    since = peer["reconciled_age_ms"]
    return f"{peer['peer'][:8]}  " + (
        "not compared yet" if since is None else f"compared {age(since)} ago"
    )
