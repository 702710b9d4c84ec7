"""`p2pgrid flist`: images as flists, and the names they are published under."""

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.flist_content import cat, export, extract
from p2pgrid.cli.flist_mount import mount
from p2pgrid.cli.flist_names import limit_option, print_names, publishers, search, tag
from p2pgrid.cli.flist_pull import pull, seed
from p2pgrid.cli.flist_reading import decode_any, open_flist, read_file
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    follow,
    json_option,
    plain,
    print_fields,
    print_json,
)
from p2pgrid.flist.fl import TAG_CONFIG
from p2pgrid.flist.image_config import image_config
from p2pgrid.flist.legacy import is_legacy
from p2pgrid.flist.listing import Listed, compare_trees, list_tree
from p2pgrid.flist.tree import walk
from p2pgrid.model.flist import flist_id
from p2pgrid.units import format_bytes

_LOCAL_SCHEMES = ("docker-archive:", "oci:", "oci-archive:", "dir:")


@click.group(cls=NearestGroup)
def flist() -> None:
    """Turn images into flists, and publish them.

    \b
    Examples:
      p2pgrid flist convert docker-archive:web.tar --name web:1
      p2pgrid flist list
      p2pgrid flist cat 3f9c/web:1 etc/os-release
    """


for command in (cat, extract, export, mount, pull, seed, search, tag, publishers):
    flist.add_command(command)


@flist.command("convert", epilog=EXIT_STATUS)
@click.argument("source")
@click.option("--name", help="Publish it as NAME[:TAG] at once.")
@click.option("--description", default="", help="Shown by `flist list`.")
@json_option
@click.pass_obj
def convert(
    client: NodeClient, source: str, name: str | None, description: str, as_json: bool
) -> None:
    """Convert an image; its chunks are kept and served by this node.

    \b
    SOURCE is one of
      docker://registry/repository:tag   docker-archive:FILE.tar
      oci:DIRECTORY   oci-archive:FILE   dir:DIRECTORY

    \b
    Examples:
      p2pgrid flist convert docker-archive:web.tar --name web:1
      p2pgrid flist convert docker://localhost:5000/team/app:2
    """
    body = {"source": absolute_source(source), "name": name, "description": description}
    with errors_shown():
        made = follow(
            client.stream("/flists", body), as_json=as_json, afterwards="p2pgrid flist list"
        )
    if as_json:
        print_json(made)
        return
    click.echo(
        f"flist {made['flist']}\n"
        f"{made['entries']} entries, {format_bytes(made['content_bytes'])} in "
        f"{made['chunks']} chunks"
    )
    if made["name"]:
        click.echo(f"published as {made['name']}")


@flist.command("publish", epilog=EXIT_STATUS)
@click.argument("flist_id")
@click.argument("name")
@click.option("--description", default="", help="Shown by `flist list`.")
@json_option
@click.pass_obj
def publish(client: NodeClient, flist_id: str, name: str, description: str, as_json: bool) -> None:
    """Give an flist of this node a NAME[:TAG] that the whole grid can use.

    FLIST_ID: the first digits are enough.

    \b
    Examples:
      p2pgrid flist publish 5d1c… web:1
    """
    body = {"flist": flist_id, "name": name, "description": description}
    with errors_shown():
        made = client.post("/flists/names", body)
    if as_json:
        print_json(made)
        return
    click.echo(f"published as {made['name']}")


@flist.command("verify", epilog=EXIT_STATUS)
@click.argument("name")
@json_option
@click.pass_obj
def verify(client: NodeClient, name: str, as_json: bool) -> None:
    """Read every chunk of an flist of this node, and tell what is missing or damaged.

    NAME: publisher/name:tag, or its id. Exit status 1 unless all of it is good.

    \b
    Examples:
      p2pgrid flist verify 3f9c/web:1
    """
    with errors_shown():
        told = follow(
            client.stream("/flists/verify", {"flist": name}),
            as_json=as_json,
            afterwards="p2pgrid flist verify",
        )
    if as_json:
        print_json(told)
    else:
        click.echo(f"flist {told['flist']}: {told['blocks']} blocks")
        for kind in ("missing", "damaged"):
            for chunk in told[kind]:
                click.echo(f"{kind}  {chunk}")
    if told["missing"] or told["damaged"]:
        raise click.exceptions.Exit(1)


@flist.command("remove", epilog=EXIT_STATUS)
@click.argument("name")
@json_option
@click.pass_obj
def remove(client: NodeClient, name: str, as_json: bool) -> None:
    """Take back a NAME[:TAG] of this node; the flist itself stays.

    \b
    Examples:
      p2pgrid flist remove web:1
    """
    with errors_shown():
        gone = client.post("/flists/names/withdraw", {"name": name})
    if as_json:
        print_json(gone)
        return
    click.echo(f"{gone['name']} is taken back")


@flist.command("list", epilog=EXIT_STATUS)
@click.argument("title", required=False)
@limit_option
@json_option
@click.pass_obj
def list_flists(client: NodeClient, title: str | None, limit: int, as_json: bool) -> None:
    """List the names that the grid knows. TITLE: only names such as publisher/TITLE:tag.

    \b
    Examples:
      p2pgrid flist list
      p2pgrid flist list web
    """
    with errors_shown():
        found = client.get("/flists", title=title, limit=limit)
    print_names(found, empty="no such name is published", as_json=as_json)


@flist.command("tree", epilog=EXIT_STATUS)
@click.argument("name")
@click.argument("path", default="")
@json_option
@click.pass_obj
def tree(client: NodeClient, name: str, path: str, as_json: bool) -> None:
    """List what an flist holds. PATH: only what is there and beneath it.

    NAME: publisher/name:tag, an id, or a `.fl` file (also one that rfs packed, or an old
    .flist), which needs no node.

    \b
    Examples:
      p2pgrid flist tree 3f9c/web:1 etc
      p2pgrid flist tree web.fl --json | jq .path
    """
    with errors_shown():
        for one in list_tree(open_flist(client, name).root, os.fsencode(path)):
            if as_json:
                print_json(asdict(one))
            else:
                click.echo(plain(_line(one)))


@flist.command("diff", epilog=EXIT_STATUS)
@click.argument("old")
@click.argument("new")
@json_option
@click.pass_obj
def diff(client: NodeClient, old: str, new: str, as_json: bool) -> None:
    """List the paths in which two flists differ, and in what.

    OLD, NEW: publisher/name:tag, ids, or `.fl` files.

    \b
    Examples:
      p2pgrid flist diff 3f9c/web:1 3f9c/web:2
    """
    with errors_shown():
        trees = [open_flist(client, name).root for name in (old, new)]
    for one in compare_trees(*trees):
        if as_json:
            print_json(asdict(one))
        else:
            click.echo(plain(f"{one.path}  {', '.join(one.what)}"))


@flist.command("show", epilog=EXIT_STATUS)
@click.argument("name")
@json_option
@click.pass_obj
def show(client: NodeClient, name: str, as_json: bool) -> None:
    """Show the names of an flist and who has it, or what a `.fl` file says.

    NAME: publisher/name:tag, an id, or a file, also one that rfs packed, or an old .flist.

    \b
    Examples:
      p2pgrid flist show 3f9c/web:1
      p2pgrid flist show web.fl
      p2pgrid flist show 3f9c/web:1 --json | jq .holders
    """
    if Path(name).is_file():
        with errors_shown():
            told = file_facts(read_file(name))
        if as_json:
            print_json(told)
        else:
            print_fields({key: _shown(value) for key, value in told.items()})
        return
    with errors_shown():
        one = client.get(f"/flists/{segment(name)}")
    if as_json:
        print_json(one)
        return
    print_fields(
        {
            "flist": one["flist"],
            "names": [
                f"{named['name']}  {format_bytes(named['content_bytes'])}, "
                f"{age(named['age_ms'])} ago"
                for named in one["names"]
            ],
            "holders": one["holders"],
            "is here": "yes" if one["is_here"] else "no",
        }
    )


def file_facts(data: bytes) -> dict[str, Any]:
    """What a `.fl` file says about itself and how its image is run. Raises BadImage."""
    found = decode_any(data)
    config = image_config(found.tags.get(TAG_CONFIG, "{}"))
    chunks = {block.id for _, entry in walk(found.root) for block in entry.blocks}
    return {
        "flist": flist_id(data).hex(),
        "format": "0-flist" if is_legacy(data) else "fl",
        "flist_bytes": len(data),
        "content_bytes": found.content_bytes,
        "entries": found.entry_count,
        "chunks": len(chunks),
        "tags": sorted(found.tags),
        "command": [*config.entrypoint, *config.command],
        "env": [f"{key}={value}" for key, value in config.env],
        "user": config.user,
        "working_directory": config.working_directory,
        "ports": [f"{port.number}/{port.protocol.name.lower()}" for port in config.ports],
        "stop_signal": config.stop_signal,
    }


def _shown(value: Any) -> str | list[str]:
    return value if isinstance(value, list) else str(value)


def _line(one: Listed) -> str:
    """As `ls -l`, with owners as numbers: names are those of the image, not of this machine."""
    day = datetime.fromtimestamp(one.mtime, UTC).date()
    size = one.device or str(one.size)
    arrow = f" -> {one.target}" if one.target else ""
    return f"{one.mode}  {one.uid}:{one.gid}  {size:>10}  {day}  {one.path}{arrow}"


def absolute_source(source: str) -> str:
    """The same source for a node with another working directory."""
    for scheme in _LOCAL_SCHEMES:
        if source.startswith(scheme) and source != scheme:
            return scheme + str(Path(source.removeprefix(scheme)).absolute())
    return source
