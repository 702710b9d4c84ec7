"""`p2pgrid reservations`: see and end what you reserved."""

import sys
import time
from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.nearest import NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    json_option,
    print_fields,
    print_json,
    print_table,
    yes_option,
)
from p2pgrid.limits.control import LOG_POLL_SECONDS
from p2pgrid.units import format_tft

_ENDED = {"ended", "failed", "expired"}


@click.group(cls=NearestGroup)
def reservations() -> None:
    """See and end what you reserved.

    \b
    Examples:
      p2pgrid reservations list
      p2pgrid reservations logs 91ab -f
    """


@reservations.command("list", epilog=EXIT_STATUS)
@click.option("--hosted", is_flag=True, help="Those that run on this node, for farmers.")
@json_option
@click.pass_obj
def list_reservations(client: NodeClient, hosted: bool, as_json: bool) -> None:
    """List your reservations, the newest first.

    \b
    Examples:
      p2pgrid reservations list
      p2pgrid reservations list --hosted
    """
    with errors_shown():
        found = client.get("/reservations", hosted="1" if hosted else None)
    if as_json:
        print_json(*found)
        return
    print_table(
        [_row(one) for one in found],
        empty="nothing is reserved here yet" if hosted else "no reservation yet; see: p2pgrid run",
        right={"tft/hour"},
    )


@reservations.command("show", epilog=EXIT_STATUS)
@click.argument("reservation")
@json_option
@click.pass_obj
def show(client: NodeClient, reservation: str, as_json: bool) -> None:
    """Show how a reservation stands. RESERVATION: the first digits are enough.

    \b
    Examples:
      p2pgrid reservations show 91ab
    """
    with errors_shown():
        one = client.get(_path(reservation))
    if as_json:
        print_json(one)
        return
    print_fields(
        {
            "reservation": one["reservation"],
            "phase": one["phase"] + (f": {one['detail']}" if one["detail"] else ""),
            "node": one["node"],
            "workloads": ", ".join(one["workloads"]),
            "addresses": one["addresses"],
            "exit code": "-" if one["exit_code"] is None else str(one["exit_code"]),
            "ends": one["ends"],
            "price": f"{format_tft(one['price_per_hour'])} TFT an hour",
            "deposit": f"{format_tft(one['deposit'])} TFT",
            "paid": "-" if one["paid"] is None else f"{format_tft(one['paid'])} TFT",
            "refunded": "-" if one["refunded"] is None else f"{format_tft(one['refunded'])} TFT",
        }
    )


@reservations.command("logs", epilog=EXIT_STATUS)
@click.argument("reservation")
@click.option("--name", help="Which workload; needed when there are several.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the reservation ends.")
@click.pass_obj
def logs(client: NodeClient, reservation: str, name: str | None, follow: bool) -> None:
    """Print what a workload wrote.

    \b
    Examples:
      p2pgrid reservations logs 91ab
      p2pgrid reservations logs 91ab -f
    """
    with errors_shown():
        offset = 0
        while True:
            # Asked before reading: what it wrote at its end is read, too.
            is_over = not follow or client.get(_path(reservation))["phase"] in _ENDED
            offset = _print_log(client, reservation, name, offset)
            if is_over:
                return
            try:
                time.sleep(LOG_POLL_SECONDS)
            except KeyboardInterrupt:
                return


def _print_log(client: NodeClient, reservation: str, name: str | None, offset: int) -> int:
    """Print all there is after `offset`; give the offset after that."""
    while True:
        text, after = client.read(f"{_path(reservation)}/logs", name=name, offset=offset)
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()
        if after == offset:
            return offset
        offset = after


@reservations.command("cancel", epilog=EXIT_STATUS)
@click.argument("reservation")
@yes_option
@json_option
@click.pass_obj
def cancel(client: NodeClient, reservation: str, yes: bool, as_json: bool) -> None:
    """End a reservation now: its workloads are removed, the rest of the deposit returns.

    \b
    Examples:
      p2pgrid reservations cancel 91ab --yes
    """
    with errors_shown():
        one = client.get(_path(reservation))
        confirm(
            f"End {', '.join(one['workloads'])} on {one['node'][:8]} and delete its data?",
            yes=yes or as_json,
        )
        done = client.post(f"{_path(reservation)}/cancel")
    if as_json:
        print_json(done)
        return
    click.echo(
        f"{done['phase']}: paid {format_tft(done['paid'] or 0)} TFT, "
        f"refunded {format_tft(done['refunded'] or 0)} TFT"
    )


@reservations.command("reclaim", epilog=EXIT_STATUS)
@click.argument("reservation")
@json_option
@click.pass_obj
def reclaim(client: NodeClient, reservation: str, as_json: bool) -> None:
    """Take the deposit back from a node that never settled.

    Possible a day after the reservation and its grace have ended. Before
    that, `reservations cancel` asks the node to settle.

    \b
    Examples:
      p2pgrid reservations reclaim 91ab
    """
    with errors_shown():
        done = client.post(f"{_path(reservation)}/reclaim")
    if as_json:
        print_json(done)
        return
    click.echo(f"reclaimed: refunded {format_tft(done['refunded'] or 0)} TFT")


def _path(reservation: str) -> str:
    return f"/reservations/{segment(reservation)}"


def _row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "reservation": one["reservation"][:16],
        "phase": one["phase"],
        "node": one["node"][:8],
        "workloads": ",".join(one["workloads"]),
        "address": one["addresses"][0] if one["addresses"] else "-",
        "tft/hour": format_tft(one["price_per_hour"]),
        "ends": one["ends"],
    }
