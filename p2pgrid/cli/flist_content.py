"""What an flist holds, out of the grid: one file, a directory tree, or an image for other tools.

The node only brings encrypted chunks. They are opened, verified and written here, by the
person who asked, where he may write.
"""

import base64
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click

from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.flist_reading import read_flist
from p2pgrid.cli.output import (
    EXIT_STATUS,
    bar_shown,
    errors_shown,
    json_option,
    plain,
    print_json,
    yes_option,
)
from p2pgrid.durable import sync_directory
from p2pgrid.errors import BadImage, BadInput, StoreFailed
from p2pgrid.flist.blocks import block_lengths
from p2pgrid.flist.extract import extract as extract_tree
from p2pgrid.flist.fetching import unpack_blobs
from p2pgrid.flist.fl_reader import Flist, decode_flist
from p2pgrid.flist.legacy import is_legacy
from p2pgrid.flist.lookup import find_file
from p2pgrid.flist.oci_archive import write_oci_archive
from p2pgrid.flist.reading import BlockReader, GetMany
from p2pgrid.flist.tree import Entry
from p2pgrid.flist.tree_room import need_of
from p2pgrid.model.flist import FlistReference, flist_id
from p2pgrid.model.ids import ChunkId, FlistId
from p2pgrid.units import format_bytes

_DEFAULT_TAG = "latest"


@click.command("cat", epilog=EXIT_STATUS)
@click.argument("name")
@click.argument("path")
@json_option
@click.pass_obj
def cat(client: NodeClient, name: str, path: str, as_json: bool) -> None:
    """Print a file of an flist. Only its chunks are fetched; links are followed.

    NAME: publisher/name:tag, an id, or a `.fl` file.
    With --json its bytes come in pieces, in base64.

    \b
    Examples:
      p2pgrid flist cat 3f9c/web:1 etc/os-release
    """
    with errors_shown():
        data = read_flist(client, name)
        file = find_file(decode_served(data).root, os.fsencode(path))
        offset = 0
        with _blocks(client, flist_id(data), file, lambda *_: None) as plain_bytes:
            for block, length in zip(file.blocks, block_lengths(file.size), strict=True):
                piece = plain_bytes(block, length)
                if as_json:
                    text = base64.b64encode(piece).decode()
                    print_json({"offset": offset, "base64": text})
                else:
                    _print_piece(piece)
                offset += length


@click.command("extract", epilog=EXIT_STATUS)
@click.argument("name")
@click.argument("directory", type=click.Path(path_type=Path))
@yes_option
@json_option
@click.pass_obj
def extract(client: NodeClient, name: str, directory: Path, yes: bool, as_json: bool) -> None:
    """Write the tree of an flist into a directory.

    Root gets the owners, devices and setuid programs of the image as well: choose a directory
    that others cannot enter. A directory that is not empty is refused; with --yes, files of
    the same names in it are replaced, and nothing is removed.

    \b
    Examples:
      p2pgrid flist extract 3f9c/web:1 web
    """
    with errors_shown():
        data = read_flist(client, name)
        found = decode_served(data)
        place = directory if directory.is_dir() else directory.absolute().parent
        _require_room(place, need_of(found, lambda _: True).tree_bytes)
        with (
            bar_shown("extract", as_json=as_json) as on_bytes,
            _blocks(client, flist_id(data), found.root, on_bytes) as plain_bytes,
        ):
            lacks = extract_tree(found.root, directory, plain_bytes, is_merged=yes)
    told = {
        "flist": flist_id(data).hex(),
        "directory": str(directory),
        "entries": found.entry_count,
        "content_bytes": found.content_bytes,
        **asdict(lacks),
    }
    if as_json:
        print_json(told)
        return
    click.echo(plain(f"{_amount(found)} in {directory}"))
    if not lacks.has_owners:
        click.echo("all of it is yours, and no program is setuid: only root can give files away")
    if lacks.left_out:
        click.echo(f"{lacks.left_out} devices or sockets are left out")


@click.command("export", epilog=EXIT_STATUS)
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@yes_option
@json_option
@click.pass_obj
def export(client: NodeClient, name: str, file: Path, yes: bool, as_json: bool) -> None:
    """Write an flist as an OCI image archive for other tools. --yes replaces FILE.

    \b
    Examples:
      p2pgrid flist export 3f9c/web:1 web.tar
      skopeo copy oci-archive:web.tar docker://registry.example/team/web:1
    """
    with errors_shown():
        data = read_flist(client, name)
        found = decode_served(data)
        _require_room(file.absolute().parent, need_of(found, lambda _: True).tree_bytes)
        with (
            bar_shown("export", as_json=as_json) as on_bytes,
            _blocks(client, flist_id(data), found.root, on_bytes) as plain_bytes,
            _new_file(file, is_replaced=yes) as partial,
        ):
            made = write_oci_archive(partial, found, _tag(name), plain_bytes)
            file_bytes = partial.tell()
    told = {
        "flist": flist_id(data).hex(),
        "file": str(file),
        "file_bytes": file_bytes,
        **asdict(made),
    }
    if as_json:
        print_json(told)
        return
    click.echo(plain(f"{_amount(found)} in {file}, image {made.manifest}"))
    if made.left_out:
        click.echo(f"{made.left_out} sockets are left out")


def decode_served(data: bytes) -> Flist:
    """An flist whose chunks may be somewhere. Raises BadImage."""
    if is_legacy(data):
        raise BadImage(
            "the chunks of an old flist are in a database of its time, not on the grid; "
            "`flist show`, `tree` and `diff` read the flist itself"
        )
    return decode_flist(data)


def blobs_of(client: NodeClient, flist: FlistId) -> GetMany:
    """Gives chunks of an flist by way of the node, which fetches what it has not."""

    def get_many(chunks: Sequence[ChunkId]) -> list[bytes | None]:
        wanted = {"flist": flist.hex(), "chunks": [chunk.hex() for chunk in chunks]}
        return [*unpack_blobs(client.read_posted("/flists/blobs", wanted), len(chunks))]

    return get_many


@contextmanager
def _blocks(
    client: NodeClient, flist: FlistId, root: Entry, on_bytes: Callable[[int, int], None]
) -> Iterator[Callable[..., bytearray]]:
    """Gives the plain bytes of blocks, in the order of `walk`, by way of the node."""
    with BlockReader(root, blobs_of(client, flist), on_bytes) as reader:
        yield reader.plain_bytes


@contextmanager
def _new_file(path: Path, *, is_replaced: bool) -> Iterator[BinaryIO]:
    """A file that gets its name, durably, when the block ends well, and else is gone."""
    if path.is_dir() or (path.exists() and not is_replaced):
        raise BadInput(
            f"{path} is there already" + ("" if path.is_dir() else "; --yes replaces it")
        )
    partial = path.with_name(f".{os.urandom(8).hex()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_directory(path.absolute().parent)
    except OSError as error:
        raise StoreFailed(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _require_room(directory: Path, needed_bytes: int) -> None:
    """Raise StoreFailed where the disk has not so much left; a hostile flist may say anything."""
    try:
        free_bytes = shutil.disk_usage(directory).free
    except OSError as error:
        raise BadInput(f"cannot write into {directory}: {error.strerror}") from error
    if needed_bytes > free_bytes:
        raise StoreFailed(
            f"there is no room in {directory}: it may take {format_bytes(needed_bytes)}, "
            f"{format_bytes(free_bytes)} are free"
        )


def _tag(name: str) -> str:
    """What an image is called in its archive. A `.fl` file tells no tag."""
    return _DEFAULT_TAG if Path(name).is_file() else FlistReference.parse(name).tag or _DEFAULT_TAG


def _amount(found: Flist) -> str:
    return f"{found.entry_count} entries, {format_bytes(found.content_bytes)}"


def _print_piece(piece: bytearray) -> None:
    """To a program as it is; on a terminal without what would steer it."""
    if sys.stdout.isatty():
        lines = piece.decode(errors="replace").split("\n")
        click.echo("\n".join(plain(line) for line in lines), nl=False)
    else:
        sys.stdout.buffer.write(piece)
