"""Proofs of payments: taken from the grid as a file, and checked by anybody without it."""

from pathlib import Path
from typing import Any

import click

from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.cli.nearest import ExistingFile
from p2pgrid.cli.output import (
    EXIT_STATUS,
    errors_shown,
    json_option,
    plain,
    print_fields,
    print_json,
)
from p2pgrid.errors import BadInput, StoreFailed
from p2pgrid.ledger.genesis_file import GENESIS_NAME, read_genesis
from p2pgrid.ledger.payment_proof import ProvenOperation, check_proof, read_proof
from p2pgrid.limits.epochs import PROOF_BYTES_MAX
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.operation import Transfer
from p2pgrid.units import format_bytes, format_tft


@click.command("proof", epilog=EXIT_STATUS)
@click.argument("operation")
@click.option("--out", type=click.Path(path_type=Path), help="Default: its first digits, .proof")
@json_option
@click.pass_obj
def proof(client: NodeClient, operation: str, out: Path | None, as_json: bool) -> None:
    """Write a file that proves OPERATION to anybody who has the genesis file of the grid.

    OPERATION is its id, or the first digits of one of your own; `wallet history` lists them.

    \b
    Examples:
      p2pgrid wallet proof 77f0a1
      p2pgrid wallet proof 77f0a1 --out rent.proof
    """
    with errors_shown():
        data, _ = client.read(f"/ledger/proofs/{segment(operation)}")
        proven = check_proof(read_proof(data), _genesis(client, None))
        path = out or Path(f"{proven.id.hex()[:16]}.proof")
        _write_new(path, data)
    if as_json:
        print_json({"file": str(path), "file_bytes": len(data), **_told(proven)})
        return
    click.echo(plain(f"{format_bytes(len(data))} in {path}"))
    _print(proven)


@click.command("check-proof", epilog=EXIT_STATUS)
@click.argument("file", type=ExistingFile())
@click.option("--grid", type=ExistingFile(), help="The genesis file; default: the node's own.")
@json_option
@click.pass_obj
def check(client: NodeClient, file: Path, grid: Path | None, as_json: bool) -> None:
    """Check a payment proof: every signature from the genesis on. Needs no node and no network.

    \b
    Examples:
      p2pgrid ledger check-proof rent.proof
      p2pgrid ledger check-proof rent.proof --grid genesis.cbor --json | jq .is_final
    """
    with errors_shown():
        try:
            with file.open("rb") as opened:
                data = opened.read(PROOF_BYTES_MAX + 1)
        except OSError as error:
            raise BadInput(f"cannot read {file}: {error.strerror}") from error
        proven = check_proof(read_proof(data), _genesis(client, grid))
    if as_json:
        print_json(_told(proven))
    else:
        _print(proven)


def _genesis(client: NodeClient, grid: Path | None) -> Genesis:
    """Of the grid that the proof should be of. Raises BadInput, with the remedy."""
    path = grid or client.data / GENESIS_NAME
    if not path.exists():
        raise BadInput(f"there is no genesis file {path}; name one by --grid")
    return read_genesis(path)


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there yet. Raises BadInput, StoreFailed."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError as error:
        raise BadInput(f"{path} is there already; name another by --out") from error
    except OSError as error:
        raise StoreFailed(f"cannot write {path}: {error.strerror}") from error


def _told(proven: ProvenOperation) -> dict[str, Any]:
    operation = proven.operation
    payload = operation.payload
    outputs, memo = (payload.outputs, payload.memo) if isinstance(payload, Transfer) else ((), b"")
    return {
        "operation": proven.id.hex(),
        "account": operation.account.hex(),
        "kind": type(payload).__name__,
        "outputs": [{"account": to.hex(), "amount": amount} for to, amount in outputs],
        "memo": memo.decode(errors="replace"),
        "time_ms": operation.time_ms,
        "epoch": proven.epoch,
        "weight_signed": proven.weight_signed,
        "weight_total": proven.weight_total,
        "is_final": proven.is_final,
    }


def _print(proven: ProvenOperation) -> None:
    told = _told(proven)
    signed = f"witnesses of weight {proven.weight_signed} of {proven.weight_total} in epoch"
    paid = [f"{format_tft(one['amount'])} TFT to {one['account']}" for one in told["outputs"]]
    print_fields(
        {
            "operation": told["operation"],
            "kind": told["kind"],
            "account": told["account"],
            "paid": paid or "-",
            "memo": told["memo"] or "-",
            "signed by": f"{signed} {proven.epoch}",
            "standing": "final: its epoch ended with it" if proven.is_final else "certified",
        }
    )
