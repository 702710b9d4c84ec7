"""`p2pgrid flist pull` and `seed`: images brought here by the node, from all who hold them."""

from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    follow,
    json_option,
    print_json,
)
from p2pgrid.units import format_bytes


@click.command("pull", epilog=EXIT_STATUS)
@click.argument("name")
@json_option
@click.pass_obj
def pull(client: NodeClient, name: str, as_json: bool) -> None:
    """Bring an image to this node, chunk by chunk, from all who hold it.

    NAME: publisher/name:tag, or its id. Only chunks that are not here move. The image is a
    cache: it stays until its room is needed; `flist seed` keeps it. A node that is
    restarted goes on with it.

    \b
    Examples:
      p2pgrid flist pull 3f9c/web:1
      p2pgrid flist pull 3f9c/web:1 --json | jq .given_bytes
    """
    made = _pulled(client, name, as_json=as_json, is_seeded=False)
    if not as_json:
        click.echo(_summary(made))


@click.command("seed", epilog=EXIT_STATUS)
@click.argument("name")
@click.option("--stop", "is_stop", is_flag=True, help="Seed it no more.")
@json_option
@click.pass_obj
def seed(client: NodeClient, name: str, is_stop: bool, as_json: bool) -> None:
    """Keep a whole image on this node, and serve it to whoever wants it.

    NAME: publisher/name:tag, or its id. What of it is not here is pulled first; then the
    grid is told. It stays, whatever else needs room, until `--stop`.

    \b
    Examples:
      p2pgrid flist seed 3f9c/web:1
      p2pgrid flist seed 3f9c/web:1 --stop
    """
    if is_stop:
        with errors_shown():
            stopped = client.post("/flists/stop-seeding", {"flist": name})
        if as_json:
            print_json(stopped)
        else:
            click.echo(f"flist {stopped['flist']} is seeded no more")
        return
    made = _pulled(client, name, as_json=as_json, is_seeded=True)
    if not as_json:
        click.echo(f"{_summary(made)}; it is seeded from now on")


def _pulled(client: NodeClient, name: str, *, as_json: bool, is_seeded: bool) -> dict[str, Any]:
    with errors_shown():
        made: dict[str, Any] = follow(
            client.stream("/flists/pull", {"flist": name, "seed": is_seeded}),
            as_json=as_json,
            afterwards="p2pgrid flist show",
        )
    if as_json:
        print_json(made)
    return made


def _summary(made: dict[str, Any]) -> str:
    peer_count = len(made["given_bytes"])
    came = "nothing had to be fetched"
    if peer_count:
        came = (
            f"{format_bytes(made['fetched_bytes'])} came from "
            f"{peer_count} peer{'s' * (peer_count != 1)}"
        )
    return (
        f"flist {made['flist']}\n"
        f"{format_bytes(made['content_bytes'])} in {made['chunks']} chunks; {came}"
    )
