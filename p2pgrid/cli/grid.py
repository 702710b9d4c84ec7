"""`p2pgrid grid`: found a grid, look at its constitution. Needs no running node."""

import secrets
from pathlib import Path

import click

from p2pgrid import clock, keys
from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.nearest import ExistingFile, NearestGroup
from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    json_option,
    print_fields,
    print_json,
)
from p2pgrid.errors import BadInput
from p2pgrid.limits.epochs import EPOCH_SECONDS_DEFAULT
from p2pgrid.model.ids import ID_BYTES, NodeId
from p2pgrid.net.address import join_address, split_address
from p2pgrid.units import format_tft, parse_tft


@click.group(cls=NearestGroup)
def grid() -> None:
    """Found a grid of your own, or look at one.

    \b
    Examples:
      p2pgrid grid create test --balance $(p2pgrid node id)=1000
      p2pgrid grid show genesis.cbor
    """


@grid.command("create", epilog=EXIT_STATUS)
@click.argument("name")
@click.option(
    "--witness", "witnesses", multiple=True, metavar="NODE[=WEIGHT]",
    help="Node id of a witness; default: this data directory's own node.",
)  # fmt: skip
@click.option(
    "--balance", "balances", multiple=True, metavar="ACCOUNT=TFT", help="What exists at first."
)
@click.option(
    "--seed", "seeds", multiple=True, metavar="ADDRESS",
    help="Address of a first peer: /ip6/…/tcp/4001/p2p/NODE.",
)  # fmt: skip
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default="genesis.cbor",
    show_default=True, help="Where to write it; never over another file.",
)  # fmt: skip
@click.option(
    "--epoch-seconds", type=click.IntRange(1), default=EPOCH_SECONDS_DEFAULT, show_default=True,
    metavar="SECONDS", help="How long witnesses keep their keys; votes pause when they change.",
)  # fmt: skip
@json_option
@click.pass_obj
def create(  # noqa: PLR0913, PLR0917 - one for each option
    client: NodeClient,
    name: str,
    witnesses: tuple[str, ...],
    balances: tuple[str, ...],
    seeds: tuple[str, ...],
    out: Path,
    epoch_seconds: int,
    as_json: bool,
) -> None:
    """Write the genesis record of a new grid.

    \b
    Examples:
      p2pgrid grid create test --balance $(p2pgrid node id)=1000
      p2pgrid grid create big --witness 3f9c… --witness 77ab… --balance 3f9c…=1000000
    """
    from p2pgrid.ledger.genesis_file import new_genesis, write_genesis

    with errors_shown():
        if out.exists():
            raise BadInput(f"{out} exists; choose another --out")
        if not witnesses:
            witnesses = (bytes(keys.open_identity(client.data).verify_key).hex(),)
        genesis = new_genesis(
            name,
            witnesses=[_witness(text) for text in witnesses],
            balances=[_balance(text) for text in balances],
            seeds=[_seed(text) for text in seeds],
            created_ms=clock.now_ms(),
            nonce=secrets.token_bytes(16),
            epoch_seconds=epoch_seconds,
        )
        write_genesis(out, genesis)
    made = {"grid": name, "network": genesis.network.hex(), "file": str(out)}
    if as_json:
        print_json(made)
        return
    click.echo(f"grid {name!r} ({made['network'][:8]}) written to {out}")
    click.echo(f"every node of it starts with: p2pgrid node run --grid {out}")


@grid.command("show", epilog=EXIT_STATUS)
@click.argument("file", type=ExistingFile())
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show a genesis record.

    \b
    Examples:
      p2pgrid grid show genesis.cbor
    """
    from p2pgrid.api.documents import format_time
    from p2pgrid.ledger.genesis_file import read_genesis

    with errors_shown():
        genesis = read_genesis(file)
    supply = sum(amount for _, amount in genesis.balances)
    if as_json:
        print_json(
            {
                "grid": genesis.name,
                "network": genesis.network.hex(),
                "created_ms": genesis.created_ms,
                "witnesses": {key.hex(): weight for key, weight in genesis.witnesses},
                "balances": {account.hex(): amount for account, amount in genesis.balances},
                "seeds": list(genesis.seeds),
            }
        )
        return
    print_fields(
        {
            "grid": f"{genesis.name} ({genesis.network.hex()})",
            "created": format_time(genesis.created_ms),
            "witnesses": [f"{key.hex()} weight {weight}" for key, weight in genesis.witnesses],
            "supply": f"{format_tft(supply)} TFT in {len(genesis.balances)} accounts",
            "seeds": genesis.seeds,
        }
    )


def _seed(text: str) -> str:
    """An address whose peer may be written as a node id, too."""
    transport, part, peer = text.rpartition("/p2p/")
    if part and len(peer) == 2 * ID_BYTES:
        try:
            return join_address(transport, NodeId(bytes.fromhex(peer)))
        except ValueError:
            raise BadInput(f"{peer!r} is not a node id of 64 hex digits") from None
    split_address(text)
    return text


def _witness(text: str) -> tuple[bytes, int]:
    key, _, weight = text.partition("=")
    try:
        return bytes.fromhex(key), int(weight or "1")
    except ValueError:
        raise BadInput(f"{text!r} is not a witness; write NODE_ID or NODE_ID=WEIGHT") from None


def _balance(text: str) -> tuple[bytes, int]:
    account, _, amount = text.partition("=")
    try:
        return bytes.fromhex(account), parse_tft(amount)
    except ValueError:
        raise BadInput(f"{text!r} is not a balance; write ACCOUNT_ID=12.5") from None
