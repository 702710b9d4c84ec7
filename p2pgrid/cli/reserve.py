"""`p2pgrid run` and `p2pgrid reserve`: make a reservation."""

import sys
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.flist_names import warn_of_strangers
from p2pgrid.cli.nearest import ExistingFile
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    follow,
    json_option,
    print_fields,
    print_json,
    print_table,
    yes_option,
)
from p2pgrid.cli.parameters import AMOUNT, BYTES, DURATION, Number
from p2pgrid.errors import NoFittingNode
from p2pgrid.limits.reservation import DOCUMENT_BYTES_MAX
from p2pgrid.units import GIB, MIB, format_tft

dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Show prices and which nodes fit; reserve nothing."
)
price_option = click.option("--price-max", type=AMOUNT, help="TFT per hour, at most.")
node_option = click.option("--node", help="First digits of the node to use; default: the best.")
except_option = click.option(
    "--except-farm", "except_farms", multiple=True, help="Not on this farm."
)


@click.command("run", epilog=EXIT_STATUS)
@click.argument("image")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--name", default="main", show_default=True, help="Name of the container.")
@click.option(
    "--cores",
    type=Number(0.01, 1024),
    default=1,
    show_default=True,
    help="Parts of one count, too.",
)
@click.option("--memory", type=BYTES, default=512 * MIB, show_default="512M", help="At most.")
@click.option("--disk", type=BYTES, default=GIB, show_default="1G", help="Writable layer.")
@click.option("--env", multiple=True, metavar="NAME=VALUE", help="May be given again.")
@click.option(
    "--port", "ports", multiple=True, metavar="PORT", help="Such as 8080 or 53/udp; again."
)
@click.option(
    "--restart", type=click.Choice(["never", "on-failure", "always"]), default="never",
    show_default=True, help="When it is started again after its end.",
)  # fmt: skip
@click.option(
    "--duration", type=DURATION, default="1h", show_default=True, help="Such as 90s, 30m, 7d."
)
@price_option
@node_option
@except_option
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def run(client: NodeClient, /, as_json: bool, **wanted: Any) -> None:
    """Run a container on the grid, paid from your account.

    IMAGE is publisher/name:tag or the id of an flist. COMMAND replaces the image's own;
    put it behind `--`, so that its options are not taken for ours.

    \b
    Examples:
      p2pgrid run 3f9c/web:1 --memory 256M --duration 2h
      p2pgrid run 3f9c/web:1 --dry-run
      p2pgrid run 3f9c/tools:latest -- sh -c 'echo hello'
    """
    document = _document(wanted)
    _reserve(client, document, as_json=as_json)


@click.command("reserve", epilog=EXIT_STATUS)
@click.argument("file", type=ExistingFile())
@price_option
@node_option
@except_option
@dry_run_option
@yes_option
@json_option
@click.pass_obj
def reserve(client: NodeClient, /, file: Path, as_json: bool, **wanted: Any) -> None:
    """Reserve what a TOML document says.

    \b
    Examples:
      p2pgrid reserve web.toml --dry-run
      p2pgrid reserve web.toml

    \b
    A document:
      duration = "2h"
      [[container]]
      name = "web"
      image = "3f9c/web:1"
      cores = 1
      memory = "256M"
      disk = "1G"
      ports = [8080]
    """
    try:
        with file.open("rb") as opened:
            text = opened.read(DOCUMENT_BYTES_MAX + 1).decode()
    except OSError as error:
        raise click.UsageError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file} is not a text in UTF-8") from error
    _reserve(client, {"toml": text, **wanted}, as_json=as_json)


def _document(wanted: dict[str, Any]) -> dict[str, Any]:
    """The flags of `run` as the document of one container."""
    container = {
        "name": wanted.pop("name"),
        "image": wanted.pop("image"),
        "cores": wanted.pop("cores"),
        "memory": wanted.pop("memory"),
        "disk": wanted.pop("disk"),
        "command": list(wanted.pop("command")),
        "env": _environment(wanted.pop("env")),
        "ports": list(wanted.pop("ports")),
        "restart": wanted.pop("restart"),
    }
    duration = wanted.pop("duration")
    return {"document": {"duration": duration, "container": [container]}, **wanted}


def _environment(pairs: tuple[str, ...]) -> dict[str, str]:
    split = {name: (equals, value) for name, equals, value in (p.partition("=") for p in pairs)}
    for name, (equals, _) in split.items():
        if not equals:
            raise click.UsageError(f"--env {name}: write NAME=VALUE")
    return {name: value for name, (_, value) in split.items()}


def _reserve(client: NodeClient, body: dict[str, Any], *, as_json: bool) -> None:
    with errors_shown():
        yes = body.pop("yes") or as_json or not sys.stdin.isatty()
        if body.pop("dry_run"):
            _show_candidates(client.post("/reservations/candidates", body), as_json=as_json)
            return
        if not yes:
            _ask(client.post("/reservations/candidates", body))
        made = follow(
            client.stream("/reservations", body),
            as_json=as_json,
            afterwards="p2pgrid reservations list",
        )
    if as_json:
        print_json(made)
        return
    if yes:  # who was asked has heard it
        warn_of_strangers(made["unknown_publishers"])
    code = "" if made["exit_code"] is None else f", exit code {made['exit_code']}"
    click.echo(
        f"{made['phase']}{code}: reservation {made['reservation'][:16]} on node {made['node'][:8]}"
    )
    if made["addresses"]:  # what ended at once may have none
        print_fields(dict(zip(made["workloads"], made["addresses"], strict=False)))
    click.echo(
        f"{format_tft(made['price_per_hour'])} TFT an hour, "
        f"{format_tft(made['deposit'])} TFT deposited"
    )
    click.echo(f"see: p2pgrid reservations logs|show|cancel {made['reservation'][:16]}")


def _ask(found: dict[str, Any]) -> None:
    """Say what it costs, before it does. Nothing is asked when no node fits: that is an error."""
    if found["fitting"]:
        warn_of_strangers(found["unknown_publishers"])
        best = found["fitting"][0]
        confirm(
            f"Deposit {format_tft(best['deposit'])} TFT, for {format_tft(best['price_per_hour'])} "
            "TFT an hour on the best node? What is not used comes back.",
            yes=False,
        )


def _show_candidates(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        _print_candidates(found)
        warn_of_strangers(found["unknown_publishers"])
    if not found["fitting"]:
        raise NoFittingNode("no node fits; ask for less, or look at: p2pgrid nodes list")


def _print_candidates(found: dict[str, Any]) -> None:
    rows = [
        {
            "node": one["node"][:8],
            "farm": one["farm_name"] or one["farm"][:8],
            "tft/hour": format_tft(one["price_per_hour"]),
            "deposit": format_tft(one["deposit"]),
        }
        for one in found["fitting"]
    ]
    print_table(rows, empty="no node fits", right={"tft/hour", "deposit"})
    if found["others"]:
        click.echo("\nNot these:")
        print_fields({f"  {one['node'][:8]}": one["reason"] for one in found["others"]})
