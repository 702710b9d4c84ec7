"""`p2pgrid flist mount`: an image as a directory at once; its chunks come when they are read."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.flist_content import blobs_of, decode_served
from p2pgrid.cli.flist_reading import read_flist
from p2pgrid.cli.output import EXIT_STATUS, errors_shown, json_option, plain, print_json
from p2pgrid.model.flist import flist_id
from p2pgrid.units import format_bytes

if TYPE_CHECKING:
    from p2pgrid.flist.lazy_blocks import LazyBlocks
    from p2pgrid.flist.mounted_tree import MountedTree


@click.command("mount", epilog=EXIT_STATUS)
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--on-demand", is_flag=True, help="Fetch only what is read, and nothing beforehand.")
@json_option
@click.pass_obj
def mount(client: NodeClient, name: str, directory: Path, on_demand: bool, as_json: bool) -> None:
    """Show the tree of an flist in a directory, read-only, until Ctrl-C. Needs root.

    It is there at once. What is read comes first; the rest of the image follows behind it.
    A read fails when its chunk does not come within a minute.

    \b
    Examples:
      mkdir /mnt/web; p2pgrid flist mount 3f9c/web:1 /mnt/web
    """
    from p2pgrid.flist.lazy_blocks import LazyBlocks
    from p2pgrid.flist.mounted_tree import MountedTree

    with errors_shown():
        data = read_flist(client, name)
        found = decode_served(data)
        blocks = LazyBlocks(found.root, blobs_of(client, flist_id(data)))
        tree = MountedTree(found.root, blocks)
        told = {
            "flist": flist_id(data).hex(),
            "directory": str(directory.absolute()),
            "entries": found.entry_count,
            "content_bytes": found.content_bytes,
        }

        def tell(event: str) -> None:
            if as_json:
                print_json({"event": event, **told})
            elif event == "mounted":
                amount = f"{found.entry_count} entries, {format_bytes(found.content_bytes)}"
                click.echo(plain(f"{amount} at {directory}; Ctrl-C unmounts"))
            elif event == "complete":
                click.echo("all of it has come")

        _serve(directory, tree, blocks, tell, is_lazy=on_demand)


def _serve(
    directory: Path,
    tree: "MountedTree",
    blocks: "LazyBlocks",
    tell: Callable[[str], None],
    *,
    is_lazy: bool,
) -> None:
    """Mount, and serve until a signal comes or somebody unmounts. Raises GridError."""
    import trio

    from p2pgrid.fuse.device import mounted, read_far_ahead
    from p2pgrid.fuse.session import serve

    async def fetch_all() -> None:
        await blocks.run()
        tell("complete")

    async def main() -> None:
        with (
            trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals,
            mounted(directory, "p2pgrid") as device,
        ):
            async with trio.open_nursery() as nursery:

                async def serve_to_the_end() -> None:
                    await serve(device, tree)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(serve_to_the_end)
                nursery.start_soon(trio.to_thread.run_sync, read_far_ahead, directory)
                if not is_lazy:
                    nursery.start_soon(fetch_all)
                tell("mounted")
                async for _ in signals:
                    break
                nursery.cancel_scope.cancel()

    trio.run(main)
    tell("unmounted")
