"""The names of images: searched, given, and who gives them."""

from typing import Any

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    json_option,
    plain,
    print_json,
    print_table,
)
from p2pgrid.limits.control import FLISTS_LISTED, LISTED_MAX
from p2pgrid.units import format_bytes

limit_option = click.option(
    "--limit", type=click.IntRange(1, LISTED_MAX), default=FLISTS_LISTED, show_default=True,
    help="At most so many.",
)  # fmt: skip


@click.command("search", epilog=EXIT_STATUS)
@click.argument("words", nargs=-1, required=True)
@limit_option
@json_option
@click.pass_obj
def search(client: NodeClient, words: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List the names in which every one of WORDS occurs, or in their description.

    \b
    Examples:
      p2pgrid flist search debian python
    """
    with errors_shown():
        found = client.get("/flists", search=" ".join(words), limit=limit)
    print_names(found, empty="no name speaks of that", as_json=as_json)


@click.command("tag", epilog=EXIT_STATUS)
@click.argument("old")
@click.argument("new")
@click.option("--description", default="", help="Shown by `flist list`.")
@json_option
@click.pass_obj
def tag(client: NodeClient, old: str, new: str, description: str, as_json: bool) -> None:
    """Publish the flist called OLD as NEW[:TAG], too. It has to be on this node.

    \b
    Examples:
      p2pgrid flist tag 3f9c/web:2 web:latest
    """
    body = {"flist": old, "is_name": True, "name": new, "description": description}
    with errors_shown():
        made = client.post("/flists/names", body)
    if as_json:
        print_json(made)
        return
    click.echo(plain(f"published as {made['name']}"))


@click.command("publishers", epilog=EXIT_STATUS)
@click.option("--forget", metavar="ACCOUNT", help="Warn of this one again before it is run.")
@json_option
@click.pass_obj
def publishers(client: NodeClient, forget: str | None, as_json: bool) -> None:
    """List who publishes images, and of whom you have run something.

    \b
    Examples:
      p2pgrid flist publishers
      p2pgrid flist publishers --forget 3f9c…01aa
    """
    with errors_shown():
        if forget is not None:
            gone = client.post("/publishers/forget", {"publisher": forget})
            if as_json:
                print_json(gone)
            else:
                click.echo(f"{gone['publisher']} is unknown again")
            return
        found = client.get("/publishers")
    if as_json:
        print_json(*found)
        return
    print_table([_publisher_row(one) for one in found], empty="nobody", right={"names"})


def print_names(found: list[dict[str, Any]], *, empty: str, as_json: bool) -> None:
    """Published names, for people or programs."""
    if as_json:
        print_json(*found)
        return
    print_table([_name_row(one) for one in found], empty=empty, right={"size", "holders"})


def warn_of_strangers(strangers: list[dict[str, Any]]) -> None:
    """Say on stderr who publishes what is about to be run, when nothing of him ran before."""
    for one in strangers:
        newest = one["newest_age_ms"]
        when = "" if newest is None else f", the newest {age(newest)} ago"
        click.echo(
            f"note: you have run nothing of publisher {one['publisher'][:16]} before "
            f"({one['names']} names{when})",
            err=True,
        )


def _name_row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "name": f"{one['publisher'][:8]}/{one['title']}:{one['tag']}",
        "size": format_bytes(one["content_bytes"]),
        "flist": one["flist"][:16],
        "holders": str(one["holders"]),
        "published": f"{age(one['age_ms'])} ago",
        "description": one["description"],
    }


def _publisher_row(one: dict[str, Any]) -> dict[str, str]:
    newest = one["newest_age_ms"]
    standing = "yourself" if one["is_own"] else "run before" if one["is_known"] else "unknown"
    return {
        "publisher": one["publisher"][:16],
        "standing": standing,
        "names": str(one["names"]),
        "newest": "-" if newest is None else f"{age(newest)} ago",
        "address": one["address"],
    }
