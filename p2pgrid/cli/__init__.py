"""The `p2pgrid` command. One module per noun; each command is one screen of code.

Nothing here imports libp2p (3 s): commands talk to a running node, and only
`node run` becomes one. A noun's module is imported when it is called for.
"""

import errno
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.nearest import NearestGroup

COMMANDS = {
    "node": "Be a node of the grid.",
    "nodes": "Look for capacity that nodes of the grid offer.",
    "explorer": "See how much of the grid this node knows, and draw it.",
    "farms": "Look for farms; create and change your own.",
    "grid": "Found a grid of your own, or look at one.",
    "wallet": "Hold and send TFT.",
    "ledger": "See how the ledger stands.",
    "flist": "Turn images into flists, and publish them.",
    "chunks": "Look after the chunks of images that this node keeps.",
    "run": "Run a container on the grid, paid from your account.",
    "reserve": "Reserve what a TOML document says.",
    "reservations": "See and end what you reserved.",
    "demo": "Show a whole grid at work.",
    "simulate": "Show how grids of many nodes behave, with faults.",
    "completion": "Print the completion script of a shell.",
}
"""Each command, in the order of its use, with its line in the help of `p2pgrid`."""

_MODULES = {"run": "reserve"}
"""Where a command is, if not in the module of its name."""

DEBUG = "P2PGRID_DEBUG"
"""Environment variable: show where in p2pgrid itself something failed."""


def default_data() -> Path:
    """Where a node keeps everything unless told otherwise."""
    if os.geteuid() == 0:
        return Path("/var/lib/p2pgrid")
    return Path.home() / ".local" / "share" / "p2pgrid"


class _Nouns(NearestGroup):
    """Imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"p2pgrid.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name)
        _accept_data(command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Like click's; a fault of ours is told in a line as well, unless the caller debugs."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            is_reader_gone = isinstance(error, OSError) and error.errno == errno.EPIPE
            if is_reader_gone or DEBUG in os.environ:
                raise
            text = " ".join(str(error).split())
            raise click.ClickException(
                f"p2pgrid itself failed: {type(error).__name__}: {ascii(text)[1:-1]}; "
                f"please report what it prints with {DEBUG}=1"
            ) from error

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _accept_data(command: click.Command) -> None:
    """Let `--data` stand after the verb as well, where people look for it."""
    if isinstance(command, click.Group):
        for one in command.commands.values():
            _accept_data(one)
    elif not any(one.name == "data" for one in command.params):
        command.params.append(
            click.Option(
                ["--data"],
                type=click.Path(path_type=Path, file_okay=False),
                callback=_use_data,
                expose_value=False,
                help="Data directory of the node.",
            )
        )


def _use_data(ctx: click.Context, _: click.Parameter, data: Path | None) -> None:
    if data is not None:
        from p2pgrid.cli.client import NodeClient

        ctx.obj = NodeClient(data)


@click.group(
    cls=_Nouns,
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
    from p2pgrid.cli.client import NodeClient

    ctx.obj = NodeClient(data)
