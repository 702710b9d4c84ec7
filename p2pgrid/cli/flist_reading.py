"""Flists as a person names them: a file, or what the node knows by that name."""

from pathlib import Path

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.errors import BadInput
from p2pgrid.flist.fl_reader import Flist, decode_flist
from p2pgrid.flist.legacy import decode_legacy, is_legacy
from p2pgrid.limits.chunks import FLIST_BYTES_MAX


def open_flist(client: NodeClient, name: str) -> Flist:
    """The flist in a file of that name, or the one that the node knows by it.

    Raises:
        BadInput: the file cannot be read, or is no flist.
        GridError: what the node says went wrong.
    """
    return decode_any(read_flist(client, name))


def decode_any(data: bytes) -> Flist:
    """What a `.fl` file says, or an old flist of before them. Raises BadImage."""
    return decode_legacy(data) if is_legacy(data) else decode_flist(data)


def read_flist(client: NodeClient, name: str) -> bytes:
    """The `.fl` file itself. Raises as `open_flist`, but for what is in it."""
    if Path(name).is_file():
        return read_file(name)
    data, _ = client.read(f"/flist-files/{segment(name)}")
    return data


def read_file(name: str) -> bytes:
    """What a file holds, and not much more than an flist may have. Raises BadInput."""
    try:
        with Path(name).open("rb") as file:
            return file.read(FLIST_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"cannot read {name}: {error.strerror}") from error
