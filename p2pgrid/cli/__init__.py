"""The `p2pgrid` command. One module per noun; each command is one screen of code.

Nothing here imports libp2p (3 s): commands talk to a running node, and only
`node run` becomes one.
"""

import os
from pathlib import Path

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.completion import completion
from p2pgrid.cli.demo import demo
from p2pgrid.cli.farms import farms
from p2pgrid.cli.flist import flist
from p2pgrid.cli.grid import grid
from p2pgrid.cli.ledger import ledger
from p2pgrid.cli.node import node
from p2pgrid.cli.nodes import nodes
from p2pgrid.cli.output import NearestGroup
from p2pgrid.cli.reservations import reservations
from p2pgrid.cli.reserve import reserve, run
from p2pgrid.cli.wallet import wallet


def default_data() -> Path:
    """Where a node keeps everything unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/p2pgrid")
    return Path.home() / ".local" / "share" / "p2pgrid"


@click.group(
    cls=NearestGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--data",
    envvar="P2PGRID_DATA",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_data,
    show_default="/var/lib/p2pgrid as root",
    help="Data directory of the node to run or to talk to; or set P2PGRID_DATA.",
)
@click.version_option(package_name="p2pgrid", message="p2pgrid %(version)s")
@click.pass_context
def main(ctx: click.Context, data: Path) -> None:
    """Run a node of the grid, and use the grid through it.

    \b
    Examples:
      p2pgrid demo --once                          see the whole thing work
      p2pgrid node run --grid genesis.cbor         be a node
      p2pgrid nodes list --cores 2 --memory 4G     look for capacity
      p2pgrid run publisher/name:tag               run a container somewhere
    """
    ctx.obj = NodeClient(data)


for command in (
    node, nodes, farms, grid, wallet, ledger, flist, run, reserve, reservations, demo, completion,
):  # fmt: skip
    main.add_command(command)
