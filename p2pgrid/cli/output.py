"""What commands print: tables for people, JSON for programs, progress while it lasts, errors."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

from p2pgrid.errors import BadInput, GridError, Unreachable

EXIT_STATUS = """
\b
Exit status:
  0  done
  1  the grid refused or could not do it
  2  wrong usage
  3  the node does not answer
"""
"""Appended to the help of every command."""

_Command = TypeVar("_Command", bound=Callable[..., Any])

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, one object per line."
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


class NodeSilent(click.ClickException):
    """Shown as an error message; ends the process with status 3."""

    exit_code = 3


def fail(error: GridError) -> NoReturn:
    """End the command: the message on stderr, the kind of error in the exit status."""
    if isinstance(error, Unreachable):
        raise NodeSilent(str(error))
    if isinstance(error, BadInput):
        raise click.UsageError(str(error))
    raise click.ClickException(str(error))


@contextmanager
def errors_shown() -> Iterator[None]:
    """Turn every error of ours that leaves the block into one line and an exit status."""
    try:
        yield
    except GridError as error:
        fail(error)


def print_json(*values: object) -> None:
    """One JSON object per line, so that output can be streamed and searched."""
    for value in values:
        click.echo(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


def print_table(rows: Sequence[Mapping[str, str]], *, empty: str) -> None:
    """Columns as wide as their widest cell; headings from the keys of the first row."""
    if not rows:
        click.echo(empty)
        return
    headings = {key: key.upper() for key in rows[0]}
    widths = {key: max(len(row[key]) for row in (headings, *rows)) for key in headings}
    for row in (headings, *rows):
        click.echo("  ".join(row[key].ljust(widths[key]) for key in widths).rstrip())


def print_fields(fields: Mapping[str, str]) -> None:
    """One `name  value` line each, aligned."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        click.echo(f"{name.ljust(width)}  {value}".rstrip())


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back; `--yes` answers."""
    if not yes:
        click.confirm(question, abort=True)


def follow(messages: Iterable[dict[str, Any]], *, as_json: bool) -> Any:
    """Show the progress that a stream of messages tells; give its result.

    Quiet without a terminal and with --json.
    """
    if as_json or not sys.stderr.isatty():
        return _result_of(messages, lambda _: None)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: dict[str, Any]) -> None:
            phase, total = str(progress["phase"]), progress.get("total") or None
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], completed=progress.get("done", 0), total=total)

        return _result_of(messages, show)


def _result_of(messages: Iterable[dict[str, Any]], show: Callable[[dict[str, Any]], None]) -> Any:
    for message in messages:
        if "progress" in message:
            show(message["progress"])
        if "result" in message:
            return message["result"]
    raise Unreachable("the node ended before it answered; see its log")


def age(milliseconds: int) -> str:
    """A duration for people: 5 s, 3 min, 2 h, 4 d.

    >>> age(5_400), age(7_200_000)
    ('5 s', '2 h')
    """
    seconds = max(0, milliseconds) // 1000
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name}"
    return f"{seconds} s"
