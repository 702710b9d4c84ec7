"""`p2pgrid node`: be a node, and see what this machine would offer."""

import logging
import logging.handlers
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from p2pgrid import keys
from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import ExistingFile, NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    age,
    errors_shown,
    json_option,
    print_fields,
    print_json,
    print_table,
)
from p2pgrid.cli.parameters import Number
from p2pgrid.config import LOG_LEVELS, read_config
from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.control import LOG_FILE_BYTES_MAX, LOG_FILES_KEPT
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import peer_text
from p2pgrid.units import format_bytes


@click.group(cls=NearestGroup)
def node() -> None:
    """Be a node of the grid.

    \b
    Examples:
      p2pgrid node capacity
      p2pgrid node run --grid genesis.cbor
      p2pgrid node status
      p2pgrid node peers
    """


@node.command("run", epilog=EXIT_STATUS)
@click.option(
    "--grid", type=ExistingFile(),
    help="Genesis file of the grid to join; needed the first time only.",
)  # fmt: skip
@click.option("--light/--full", default=None, help="Only use the grid; offer and store nothing.")
@click.option("--farm", help="Id of the farm that this node belongs to.")
@click.option("--peer", "peers", multiple=True, metavar="ADDRESS", help="A first peer.")
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Default: all, port 4001.")
@click.option("--share", type=Number(0.01, 1), help="Part of this machine to offer; default: all.")
@click.option("--mdns/--no-mdns", default=None, help="Look for peers on the local network.")
@click.option(
    "--observers", multiple=True, metavar="ADDRESS",
    help="Where anybody may listen to announcements by gossipsub; default: nowhere.",
)  # fmt: skip
@click.option(
    "--explorer-http", metavar="HOST:PORT",
    help="Answer everybody there by REST, as gridproxy does; default: nowhere.",
)  # fmt: skip
@click.option(
    "--place", metavar="LATITUDE,LONGITUDE,COUNTRY[,CITY]",
    help="Where this node stands, for those who look for one there; degrees north and east.",
)  # fmt: skip
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Default: info.")
@click.option(
    "--config", type=ExistingFile(),
    help="Default: node.toml in the data directory, if there.",
)  # fmt: skip
@click.pass_obj
def run(client: NodeClient, /, grid: Path | None, config: Path | None, **options: Any) -> None:
    """Run a node until it is stopped by Ctrl-C or SIGTERM.

    It keeps everything in the data directory, and starts again where it was.
    Running workloads go on while it is stopped.

    \b
    Examples:
      p2pgrid node run --grid genesis.cbor
      p2pgrid node run --light --peer /ip6/2001:db8::1/tcp/4001/p2p/12D3KooW…
      p2pgrid --data /srv/grid node run --farm 3f9c… --share 0.5
      p2pgrid node run --place 51.05,3.72,Belgium,Ghent
      p2pgrid node run --explorer-http 127.0.0.1:8080       then: curl 127.0.0.1:8080/stats
    """
    with errors_shown():
        settings = read_config(client.data, config)
        given = {name: value for name, value in options.items() if value not in (None, ())}
        settings = replace(settings, **given)
        _start_logging(client.data, settings.log_level)
        from p2pgrid.node import run_node

        try:
            run_node(settings, grid)
        except BadInput as error:  # the command was right; what it found is not
            raise Unusable(str(error)) from error


@node.command("id", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def show_id(client: NodeClient, as_json: bool) -> None:
    """Print this node's id, which is also its account; makes the key when there is none.

    \b
    Examples:
      p2pgrid node id
      p2pgrid node id --json | jq -r .peer      as it stands in addresses
    """
    with errors_shown():
        identity = NodeId(bytes(keys.open_identity(client.data).verify_key))
    if as_json:
        print_json({"node": identity.hex(), "peer": peer_text(identity)})
        return
    click.echo(identity.hex())


@node.command("status", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def status(client: NodeClient, as_json: bool) -> None:
    """Show how the running node is doing.

    \b
    Examples:
      p2pgrid node status --json | jq .peers
    """
    with errors_shown():
        one = client.get("/status")
    if as_json:
        print_json(one)
        return
    print_fields(
        {
            "node": one["node"],
            "role": one["role"],
            "grid": f"{one['grid']} ({one['network']})",
            "farm": one["farm"] or "-",
            "running for": age(one["uptime_ms"]),
            "peers": str(len(one["peers"])),
            "addresses": one["addresses"],
            "containers": one["containers"],
            "known nodes": "-" if one["known_nodes"] is None else str(one["known_nodes"]),
        }
    )


@node.command("peers", epilog=EXIT_STATUS)
@json_option
@click.pass_obj
def peers(client: NodeClient, as_json: bool) -> None:
    """Show who the running node is connected to.

    Peers that the node chose itself come first: anchors, which lasted longest and are
    dialled first after a restart, then others in distinct prefixes as far as there are.
    USEFUL is how long ago a peer last answered or brought news; FAULTS is the weight of
    invalid things that it sent and that are not forgiven yet: beyond 16 it is refused.

    \b
    Examples:
      p2pgrid node peers
      p2pgrid node peers --json | jq -r 'select(.direction == "outbound").prefix'
    """
    with errors_shown():
        found = client.get("/peers")
    if as_json:
        print_json(*found)
        return
    print_table([_peer_row(one) for one in found], empty="no peers yet", right=("faults",))


def _peer_row(one: dict[str, Any]) -> dict[str, str]:
    return {
        "peer": one["peer"][:8],
        "direction": one["direction"],
        "role": one["role"] or "-",
        "prefix": one["prefix"],
        "connected": age(one["age_ms"]),
        "useful": "-" if one["useful_ms"] is None else age(one["useful_ms"]),
        "faults": f"{one['faults']:g}",
    }


@node.command("capacity", epilog=EXIT_STATUS)
@click.option(
    "--share", type=Number(0.01, 1), default=1.0, show_default=True, help="Part of it to offer."
)
@json_option
@click.pass_obj
def capacity(client: NodeClient, share: float, as_json: bool) -> None:
    """Show what this machine has and would offer; needs no running node.

    \b
    Examples:
      p2pgrid node capacity
      p2pgrid node capacity --json | jq .total
    """
    from p2pgrid.api.documents import to_json
    from p2pgrid.farming.hardware import read_machine

    with errors_shown():
        machine = read_machine(client.data, share=share)
    if as_json:
        print_json(to_json(machine))
        return
    total, system, offered = machine.total, machine.system, machine.total.less(machine.system)
    rows = {
        "cores": [f"{one.millicores / 1000:g}" for one in (total, system, offered)],
        "memory": [format_bytes(one.memory_bytes) for one in (total, system, offered)],
        "ssd": [format_bytes(one.ssd_bytes) for one in (total, system, offered)],
        "hdd": [format_bytes(one.hdd_bytes) for one in (total, system, offered)],
        "gpus": [str(one.gpus) for one in (total, system, offered)],
    }
    click.echo(f"{'':8}{'TOTAL':>12}{'SYSTEM':>12}{'OFFERED':>12}")
    for name, cells in rows.items():
        click.echo(f"{name:8}" + "".join(f"{cell:>12}" for cell in cells))


class _OneLine(logging.Formatter):
    """Leaves tracebacks to the file."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        record = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        return super().format(record)


def _start_logging(data: Path, level: str) -> None:
    """Log to stderr for the service manager, and to a rotated file for people.

    Raises Unusable: the data directory cannot be made or written.
    """
    form = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = logging.handlers.RotatingFileHandler(
            data / "node.log", maxBytes=LOG_FILE_BYTES_MAX, backupCount=LOG_FILES_KEPT
        )
    except OSError as error:
        raise Unusable(f"the data directory {data} cannot be used: {error.strerror}") from error
    logging.captureWarnings(capture=True)
    root = logging.getLogger()
    screen = logging.StreamHandler(sys.stderr)
    screen.setFormatter(_OneLine(form))
    file.setFormatter(logging.Formatter(form))
    for handler in (screen, file):
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("p2pgrid").setLevel(level.upper())
