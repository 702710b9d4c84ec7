"""`nodes list --watch`: a list that stays true, for people and for programs.

On a terminal it is redrawn in place. Otherwise every change is a line: a node that came, changed
or went, as JSON or for people.
"""

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import click

from p2pgrid.cli.output import plain, print_json
from p2pgrid.limits.control import WATCH_SECONDS

_Found = dict[str, Any]

_ALWAYS_CHANGING = {"age_ms", "uptime_ms", "round_trip_us"}


def watch_nodes(
    ask: Callable[[], _Found], draw: Callable[[_Found], list[str]], *, as_json: bool
) -> None:
    """Ask again and again until Ctrl-C, and show what there is or what changed."""
    try:
        if as_json or not sys.stdout.isatty():
            _print_changes(ask, as_json=as_json)
        else:
            _redraw(ask, draw)
    except KeyboardInterrupt:
        return


def changes(before: _Found, after: _Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """What became of nodes from one answer to the next: ("came" | "changed" | "gone", node)."""
    old = {one["node"]: one for one in before["nodes"]}
    new = {one["node"]: one for one in after["nodes"]}
    for name, one in new.items():
        if name not in old:
            yield "came", one
        elif _lasting(one) != _lasting(old[name]):
            yield "changed", one
    for name, one in old.items():
        if name not in new:
            yield "gone", one


def _lasting(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name not in _ALWAYS_CHANGING}


def _print_changes(ask: Callable[[], _Found], *, as_json: bool) -> None:
    before: _Found = {"nodes": []}
    while True:
        after = ask()
        for change, one in changes(before, after):
            if as_json:
                print_json({"change": change, **one})
            else:
                cores = one["free"]["millicores"] / 1000
                farm = plain(one["farm_name"] or one["farm"][:8])
                click.echo(f"{change:8}{one['node'][:8]}  {one['status']}, {cores:g} cores, {farm}")
        before = after
        time.sleep(WATCH_SECONDS)


def _redraw(ask: Callable[[], _Found], draw: Callable[[_Found], list[str]]) -> None:
    from rich.live import Live  # takes a while: only who watches pays
    from rich.text import Text

    with Live(auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            live.update(Text("\n".join(draw(ask())), no_wrap=True), refresh=True)
            time.sleep(WATCH_SECONDS)
