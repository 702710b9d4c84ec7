"""`p2pgrid wallet create|passphrase|backup|restore`: the keys of accounts. They need no node."""

import sys
from typing import TYPE_CHECKING

import click

from p2pgrid import keys
from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.output import (
    EXIT_STATUS,
    confirm,
    errors_shown,
    json_option,
    print_json,
    yes_option,
)
from p2pgrid.cli.passphrase import asked_passphrase, given_passphrase, passphrase_option
from p2pgrid.errors import BadInput
from p2pgrid.model.address import format_account

if TYPE_CHECKING:
    from mnemonic import Mnemonic

WORDS = 24
_WORDS_READ_MAX = 4096

plain_option = click.option(
    "--plain", is_flag=True, help="No passphrase: the file's permissions alone protect the key."
)


@click.command("create", epilog=EXIT_STATUS)
@click.argument("name")
@plain_option
@passphrase_option
@json_option
@click.pass_obj
def create_wallet(
    client: NodeClient, name: str, plain: bool, descriptor: int | None, as_json: bool
) -> None:
    """Make a new account; needs no running node.

    The key is a file in the data directory, sealed by a passphrase. Whoever has
    both owns the money; without them it is lost: see p2pgrid wallet backup.

    \b
    Examples:
      p2pgrid wallet create savings
      p2pgrid wallet create till --plain
      p2pgrid wallet create savings --passphrase-fd 3 3<secret
    """
    with errors_shown():
        keys.wallet_path(client.data, name)
        passphrase = None if plain else _new_passphrase(name, descriptor)
        key = keys.create_wallet(client.data, name, passphrase=passphrase)
    _tell(client, name, bytes(key.verify_key), as_json=as_json)


@click.command("passphrase", epilog=EXIT_STATUS)
@click.argument("name")
@plain_option
@passphrase_option
@click.option(
    "--new-passphrase-fd", "new_descriptor", type=click.IntRange(min=0), metavar="NUMBER",
    help="Read the new one from this open file instead of the terminal.",
)  # fmt: skip
@json_option
@click.pass_obj
def change_passphrase(
    client: NodeClient, name: str, plain: bool, descriptor: int | None,
    new_descriptor: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Set, change or (--plain) take away the passphrase of a wallet.

    Copies of the file that were made before still open by the old one.

    \b
    Examples:
      p2pgrid wallet passphrase savings
      p2pgrid wallet passphrase savings --passphrase-fd 3 --new-passphrase-fd 4 3<old 4<new
    """
    with errors_shown():
        old = None
        if keys.is_sealed(client.data, name):
            old = given_passphrase(descriptor) or asked_passphrase(f"passphrase of {name}")
            keys.open_wallet(client.data, name, old)  # before the new one is asked for
        new = None
        if not plain:
            given = given_passphrase(new_descriptor) if new_descriptor is not None else None
            new = given or asked_passphrase(f"new passphrase of {name}", is_new=True)
        keys.change_passphrase(client.data, name, old, new)
    if as_json:
        print_json({"wallet": name, "is_sealed": new is not None})
        return
    click.echo(f"{name} is {'sealed by the new passphrase' if new else 'sealed no more'}")


@click.command("backup", epilog=EXIT_STATUS)
@click.argument("name", default="node")
@passphrase_option
@yes_option
@json_option
@click.pass_obj
def backup(client: NodeClient, name: str, descriptor: int | None, yes: bool, as_json: bool) -> None:
    """Print the key of a wallet as 24 words, to be written on paper (BIP-39).

    Whoever reads the words owns the account, without any passphrase.

    \b
    Examples:
      p2pgrid wallet backup savings
    """
    with errors_shown():
        sealed = keys.is_sealed(client.data, name)
        given = given_passphrase(descriptor) if sealed else None
        passphrase = (given or asked_passphrase(f"passphrase of {name}")) if sealed else None
        key = keys.open_wallet(client.data, name, passphrase)
        confirm(
            f"Print the key of {name!r}? Whoever sees the words owns the account.",
            yes=yes or as_json,
        )
        words = _words().to_mnemonic(bytes(key))
    if as_json:
        print_json({"wallet": name, "account": bytes(key.verify_key).hex(), "words": words})
        return
    listed = words.split()
    for row in range(0, WORDS, 6):
        numbered = (f"{row + at:2d} {word:<9}" for at, word in enumerate(listed[row : row + 6], 1))
        click.echo("  ".join(numbered).rstrip())


@click.command("restore", epilog=EXIT_STATUS)
@click.argument("name")
@plain_option
@passphrase_option
@json_option
@click.pass_obj
def restore(
    client: NodeClient, name: str, plain: bool, descriptor: int | None, as_json: bool
) -> None:
    """Put a wallet back from its 24 words, typed or on standard input.

    The wallet `node` is the node's identity; it goes back where there is none yet.
    Use one key on one machine at a time: two that sign for the same place of
    an account block it.

    \b
    Examples:
      p2pgrid wallet restore savings
      p2pgrid wallet restore savings --passphrase-fd 3 3<secret <words.txt
    """
    with errors_shown():
        key = keys.key_of_seed(_seed_of(_typed_words()))
        needs_none = plain or name == keys.NODE_WALLET
        passphrase = None if needs_none else _new_passphrase(name, descriptor)
        keys.create_wallet(client.data, name, key=key, passphrase=passphrase)
    _tell(client, name, bytes(key.verify_key), as_json=as_json)


def _tell(client: NodeClient, name: str, account: bytes, *, as_json: bool) -> None:
    if as_json:
        address = format_account(account)
        print_json({"wallet": name, "account": account.hex(), "address": address})
        return
    click.echo(f"account {account.hex()}\naddress {format_account(account)}")
    click.echo(f"key in  {keys.wallet_path(client.data, name)}")


def _new_passphrase(name: str, descriptor: int | None) -> str:
    given = given_passphrase(descriptor)
    if given is not None:
        return given
    try:
        return asked_passphrase(f"new passphrase of {name}", is_new=True)
    except BadInput as error:
        raise BadInput(f"{error}, or --plain for none") from None


def _typed_words() -> str:
    if sys.stdin.isatty():
        return str(click.prompt(f"the {WORDS} words", hide_input=True, err=True))
    return sys.stdin.read(_WORDS_READ_MAX)


def _seed_of(text: str) -> bytes:
    """The seed that the words say. Raises BadInput, without the words in it."""
    words = [one for one in text.casefold().split() if not one.isdigit()]
    if len(words) != WORDS:
        raise BadInput(f"a key is {WORDS} words, not {len(words)}")
    known = _words()
    strange = [str(at) for at, one in enumerate(words, 1) if one not in known.wordlist]
    if strange:
        raise BadInput(f"not in the word list: word {', '.join(strange)}")
    try:
        return bytes(known.to_entropy(words))
    except ValueError:
        raise BadInput("the words do not fit together: one is wrong, or their order is") from None


def _words() -> "Mnemonic":
    from mnemonic import Mnemonic

    return Mnemonic("english")
