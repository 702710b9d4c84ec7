"""`p2pgrid chunks`: what this node keeps of images, and what that takes."""

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    follow,
    json_option,
    print_fields,
    print_json,
    yes_option,
)
from p2pgrid.units import format_bytes


@click.group(cls=NearestGroup)
def chunks() -> None:
    """Look after the chunks of images that this node keeps.

    \b
    Examples:
      p2pgrid chunks stats
      p2pgrid chunks verify
      p2pgrid chunks gc --all
    """


@chunks.command("stats", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def stats(client: NodeClient, as_json: bool) -> None:
    """Show how many chunks there are, and what of them may go.

    \b
    Examples:
      p2pgrid chunks stats --json | jq .loose_bytes
    """
    with errors_shown():
        found = client.get("/chunks")
    if as_json:
        print_json(found)
        return
    usage = found["usage"]
    print_fields(
        {
            "chunks": f"{usage['chunk_count']}, {format_bytes(usage['chunk_bytes'])}",
            "on disk": f"{format_bytes(usage['pack_bytes'])} "
            f"of {format_bytes(found['share_bytes'])}",
            "not needed": f"{found['loose_count']}, {format_bytes(found['loose_bytes'])}",
            "flists": f"{usage['flist_count']}, {format_bytes(usage['flist_bytes'])}",
        }
    )


@chunks.command("verify", epilog=EXIT_STATUS)
@json_option
@click.pass_context
def verify(ctx: click.Context, as_json: bool) -> None:
    """Read everything again; what is damaged is forgotten, so that it is fetched anew.

    Fails when anything was damaged or could not be read.

    \b
    Examples:
      p2pgrid chunks verify
    """
    client: NodeClient = ctx.obj
    with errors_shown():
        found = follow(
            client.stream("/chunks/verify", {}), as_json=as_json, afterwards="p2pgrid chunks stats"
        )
    if as_json:
        print_json(found)
    else:
        for what in ("damaged", "unreadable", "damaged_flists", "unreadable_flists"):
            for one in found[what]:
                click.echo(f"{what.replace('_', ' ')}  {one}")
        click.echo(f"{found['chunk_count']} chunks and {found['flist_count']} flists were read")
    if not found["is_sound"]:
        ctx.exit(1)


@chunks.command("gc", epilog=EXIT_STATUS)
@click.option("--all", "is_all", is_flag=True, help="Everything that no kept image needs.")
@yes_option
@json_option
@click.pass_obj
def collect(client: NodeClient, is_all: bool, yes: bool, as_json: bool) -> None:
    """Give up chunks beyond their share of the disk, the least lately used first.

    A node does this by itself once a minute. What its images need always stays.

    \b
    Examples:
      p2pgrid chunks gc
      p2pgrid chunks gc --all --yes
    """
    with errors_shown():
        found = client.get("/chunks")
        going_bytes = found["loose_bytes"] if is_all else found["excess_bytes"]
        if going_bytes:
            confirm(
                f"Give up {format_bytes(going_bytes)} of chunks that no image here needs?",
                yes=yes or as_json,
            )
        made = follow(
            client.stream("/chunks/gc", {"all": is_all}),
            as_json=as_json,
            afterwards="p2pgrid chunks stats",
        )
    if as_json:
        print_json(made)
        return
    click.echo(
        f"{format_bytes(made['evicted_bytes'])} of chunks went, "
        f"{format_bytes(made['freed_bytes'])} of the disk came back"
    )
