"""Where a passphrase comes from: a file descriptor, the environment, or whoever sits there.

In this order. Never from an argument: everybody on the machine can read those.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from p2pgrid.cli.client import Json, NodeClient
from p2pgrid.errors import BadInput, Locked
from p2pgrid.limits.keys import PASSPHRASE_BYTES_MAX

PASSPHRASE = "P2PGRID_PASSPHRASE"  # noqa: S105 - the name of the environment variable
"""Environment variable that holds it."""

_Command = TypeVar("_Command", bound=Callable[..., Any])

passphrase_option = click.option(
    "--passphrase-fd", "descriptor", type=click.IntRange(min=0), metavar="NUMBER",
    help=f"Read the passphrase from this open file; else {PASSPHRASE}, or the terminal.",
)  # fmt: skip


def given_passphrase(descriptor: int | None) -> str | None:
    """What came without asking. Raises BadInput: nothing can be read there."""
    if descriptor is None:
        return os.environ.get(PASSPHRASE)
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            line = file.readline(PASSPHRASE_BYTES_MAX + 2)
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except OSError as error:
        raise BadInput(f"cannot read a passphrase from {descriptor}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadInput("the passphrase is not text in UTF-8") from None


def asked_passphrase(what: str, *, is_new: bool = False) -> str:
    """What somebody types. Raises BadInput without a terminal, with the remedies."""
    if not sys.stdin.isatty():
        raise BadInput(
            f"{what} is needed and nobody can type it here; "
            f"set {PASSPHRASE}, or give --passphrase-fd"
        )
    again = "once more" if is_new else False
    return str(click.prompt(what, hide_input=True, confirmation_prompt=again, err=True))


def post_unlocked(client: NodeClient, path: str, body: dict[str, Any], given: str | None) -> Json:
    """POST; when the wallet turns out to be sealed, with the passphrase that somebody types.

    Nothing was signed when a wallet is locked, so asking again does nothing twice.
    """
    said = body if given is None else {**body, "passphrase": given}
    try:
        return client.post(path, said)
    except Locked:
        if given is not None:
            raise
    typed = asked_passphrase(f"passphrase of {body.get('wallet', 'the wallet')}")
    return client.post(path, {**body, "passphrase": typed})
