"""A proof becomes a file, and a file is checked without any node."""

import json
from pathlib import Path

import pytest

from p2pgrid.cli.payment_proofs import check, proof
from p2pgrid.errors import NotFound
from p2pgrid.ledger.genesis_file import write_genesis
from p2pgrid.ledger.payment_proof import write_proof
from tests.cli.node import FakeClient, run
from tests.ledger.grids import account_of, genesis_of
from tests.ledger.test_payment_proof import GENESIS, PAID, late_proof

DATA = write_proof(late_proof())
PATH = f"/ledger/proofs/{PAID.id.hex()[:8]}"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with a genesis file, and where proofs are written."""
    write_genesis(tmp_path / "genesis.cbor", GENESIS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_proof_is_written_once_and_checked_offline(data: Path) -> None:
    client = FakeClient({PATH: DATA}, data)
    made = run(proof, PAID.id.hex()[:8], client=client)
    file = data / f"{PAID.id.hex()[:16]}.proof"

    assert made.exit_code == 0, made.output
    assert file.read_bytes() == DATA
    assert f"0.0000005 TFT to {account_of('bob').hex()}" in made.stdout
    again = run(proof, PAID.id.hex()[:8], client=client)
    assert (again.exit_code, "--out" in again.stderr) == (2, True)

    checked = run(check, str(file), client=FakeClient({}, data))
    assert "final: its epoch ended with it" in checked.stdout
    assert "weight 4 of 4 in epoch 1" in checked.stdout
    (data / "other").mkdir()
    told = json.loads(
        run(
            check, str(file), "--grid", str(data / "genesis.cbor"), "--json",
            client=FakeClient({}, data / "other"),
        ).stdout
    )  # fmt: skip
    assert (told["is_final"], told["operation"]) == (True, PAID.id.hex())
    assert told["outputs"] == [{"account": account_of("bob").hex(), "amount": 5}]


def test_programs_get_the_same_with_the_name_of_the_file(data: Path) -> None:
    client = FakeClient({PATH: DATA}, data)
    made = run(proof, PAID.id.hex()[:8], "--out", "rent.proof", "--json", client=client)
    told = json.loads(made.stdout)
    assert (told["file"], told["file_bytes"], told["epoch"]) == ("rent.proof", len(DATA), 1)


def test_what_does_not_hold_is_said(data: Path) -> None:
    broken, other = data / "broken.proof", data / "other.cbor"
    broken.write_bytes(DATA[:-9] + b"\0" + DATA[-8:])
    found = run(check, str(broken), client=FakeClient({}, data))
    assert (found.exit_code, "damaged" in found.stderr) == (2, True)

    (data / "right.proof").write_bytes(DATA)
    write_genesis(other, genesis_of(7))
    strange = run(check, "right.proof", "--grid", str(other), client=FakeClient({}, data))
    assert (strange.exit_code, "is of grid" in strange.stderr) == (2, True)
    nowhere = run(check, "right.proof", client=FakeClient({}, data / "nothing"))
    assert (nowhere.exit_code, "--grid" in nowhere.stderr) == (2, True)
    unknown = run(proof, "77", client=FakeClient({"/ledger/proofs/77": NotFound("none")}, data))
    assert unknown.exit_code == 1
