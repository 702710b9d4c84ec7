"""What commands print: tables for people, JSON for programs, progress while it lasts, errors.

Names, memos and reasons come from strangers. Nothing that is printed for people
holds characters that could steer a terminal.
"""

import csv
import io
import json
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

import click

from p2pgrid.errors import BadInput, GridError, Unreachable
from p2pgrid.units import format_bytes

EXIT_STATUS = """
\b
Exit status:
  0  done
  1  the grid refused or could not do it
  2  wrong usage
  3  the node does not answer
"""
"""Appended to the help of every command."""

_BYTE_PHASES = {"convert", "export", "extract", "fetch", "unpack", "verify"}
"""Phases whose progress is counted in bytes; others count things."""

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
    message = plain(str(error))
    if isinstance(error, Unreachable):
        raise NodeSilent(message)
    if isinstance(error, BadInput):
        raise click.UsageError(message)
    raise click.ClickException(message)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Turn every error of ours that leaves the block into one line and an exit status."""
    try:
        yield
    except GridError as error:
        fail(error)
    except BrokenPipeError:
        raise  # whoever read our output has enough of it; click ends quietly
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise click.ClickException(plain(what)) from error


def print_json(*values: object) -> None:
    """One JSON object per line, so that output can be streamed and searched.

    In ASCII, which every terminal and locale takes as it is.
    """
    for value in values:
        click.echo(json.dumps(value, separators=(",", ":")))


def print_table(
    rows: Sequence[Mapping[str, str]], *, empty: str, right: Collection[str] = ()
) -> None:
    """Print `table_lines`."""
    for line in table_lines(rows, empty=empty, right=right):
        click.echo(line)


def table_lines(
    rows: Sequence[Mapping[str, str]], *, empty: str, right: Collection[str] = ()
) -> list[str]:
    """Columns as wide as their widest cell; headings from the keys of the first row.

    Args:
        rows: all with the same keys.
        empty: said instead of a table without rows.
        right: columns of figures, which stand to the right.
    """
    if not rows:
        return [empty]
    shown = [{key: plain(cell) for key, cell in row.items()} for row in rows]
    headings = {key: key.upper() for key in rows[0]}
    widths = {key: max(_width(row[key]) for row in (headings, *shown)) for key in headings}
    return [
        "  ".join(_padded(row[key], widths[key], is_right=key in right) for key in widths).rstrip()
        for row in (headings, *shown)
    ]


def print_csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """CSV (RFC 4180) with a line of headings.

    A text that a spreadsheet would run as a formula gets an apostrophe before it: memos come
    from strangers. Numbers stay numbers.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _no_formula(plain(cell)) for key, cell in row.items()})
    click.echo(text.getvalue(), nl=False)


def _no_formula(cell: str) -> str:
    is_number = cell.removeprefix("-").replace(".", "", 1).isdecimal()
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@")) and not is_number else cell


def print_fields(fields: Mapping[str, str | Sequence[str]]) -> None:
    """One `name  value` line each, aligned; of a list, every item on a line of its own."""
    width = max(len(name) for name in fields)
    for name, value in fields.items():
        items = [value] if isinstance(value, str) else [*value] or ["none"]
        for number, item in enumerate(items):
            click.echo(f"{('' if number else name).ljust(width)}  {plain(item)}".rstrip())


def plain(text: str) -> str:
    r"""The text on one line, without anything that a terminal would obey or hide.

    >>> plain("a\x1b[2J\nb")
    'a [2J b'
    """
    return "".join(one if one.isprintable() else " " for one in text)


def _width(text: str) -> int:
    """Columns on a terminal: two for most of East Asia, none for accents that combine."""
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF")
        for one in text
    )


def _padded(text: str, width: int, *, is_right: bool) -> str:
    padding = " " * (width - _width(text))
    return padding + text if is_right else text + padding


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be taken back; `--yes` answers."""
    if yes:
        return
    try:
        is_wanted = click.confirm(plain(question))
    except click.Abort:
        click.echo()
        raise click.UsageError("nobody answered, so nothing was done; --yes does not ask") from None
    if not is_wanted:
        raise click.ClickException("nothing was done")


def follow(messages: Iterable[dict[str, Any]], *, as_json: bool, afterwards: str) -> Any:
    """Show the progress that a stream of messages tells; give its result.

    Quiet without a terminal and with --json. Who stops watching stops nothing
    else, and hears by which command he sees what became of it: `afterwards`.
    """
    try:
        if as_json or not sys.stderr.isatty():
            return _result_of(messages, lambda _: None)
        return _result_shown(messages)
    except KeyboardInterrupt:
        raise click.ClickException(f"the node goes on with it; see: {afterwards}") from None


def _result_shown(messages: Iterable[dict[str, Any]]) -> Any:
    with _bars_shown() as show:
        return _result_of(messages, show)


@contextmanager
def _bars_shown() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Bars on the terminal for the block, one for each phase that is heard of."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(progress: dict[str, Any]) -> None:
            phase, done, total = str(progress["phase"]), progress["done"], progress["total"] or None
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, amount="")
            bars.update(tasks[phase], completed=done, total=total, amount=progress_text(progress))

        yield show


@contextmanager
def bar_shown(phase: str, *, as_json: bool) -> Iterator[Callable[[int, int], None]]:
    """For work of the command itself: gives what hears (done, total), and shows it.

    Quiet where `follow` is.
    """
    if as_json or not sys.stderr.isatty():
        yield lambda *_: None
        return
    with _bars_shown() as show:
        yield lambda done, total: show({"phase": phase, "done": done, "total": total})


def progress_text(progress: Mapping[str, Any]) -> str:
    """How far it is, for people.

    >>> told = {"phase": "fetch", "done": 1536, "total": 4096}
    >>> progress_text(told)
    '1.5 KiB of 4 KiB'
    >>> progress_text({**told, "peers": 3, "bytes_per_second": 2048})
    '1.5 KiB of 4 KiB, 3 peers, 2 KiB/s'
    """
    if not progress["total"]:
        return ""
    form = format_bytes if progress["phase"] in _BYTE_PHASES else str
    parts = [f"{form(progress['done'])} of {form(progress['total'])}"]
    if peer_count := progress.get("peers", 0):
        parts.append(f"{peer_count} peer{'s' * (peer_count != 1)}")
    if rate := progress.get("bytes_per_second", 0):
        parts.append(f"{format_bytes(rate)}/s")
    return ", ".join(parts)


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
