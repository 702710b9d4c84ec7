"""A grid is founded in one step, over nothing that exists, and shown again."""

import json
from pathlib import Path

import pytest

from p2pgrid import keys
from p2pgrid.cli.grid import grid
from tests.cli.node import FakeClient, run
from tests.ledger.grids import account_of, node_of

WITNESS, ACCOUNT = node_of("witness").hex(), account_of("alice").hex()


def test_a_grid_is_founded_and_shown(tmp_path: Path) -> None:
    out, client = tmp_path / "genesis.cbor", FakeClient(data=tmp_path / "data")
    words = ["--witness", f"{WITNESS}=2", "--balance", f"{ACCOUNT}=12.5", "--out", str(out)]
    made = run(grid, "create", "test", *words, "--json", client=client)
    assert made.exit_code == 0, made.stderr

    shown = json.loads(run(grid, "show", str(out), "--json").stdout)
    assert shown["network"] == json.loads(made.stdout)["network"]
    assert shown["witnesses"] == {WITNESS: 2}
    assert shown["balances"] == {ACCOUNT: 125_000_000}
    people = run(grid, "show", str(out)).stdout
    assert f"{WITNESS} weight 2" in people
    assert "12.5000000 TFT in 1 accounts" in people


def test_whoever_names_witnesses_needs_no_key_of_his_own(tmp_path: Path) -> None:
    client = FakeClient(data=tmp_path / "data")
    words = ["--witness", WITNESS, "--out", str(tmp_path / "genesis.cbor")]

    assert run(grid, "create", "test", *words, client=client).exit_code == 0
    assert not client.data.exists()


def test_without_witnesses_it_is_this_node(tmp_path: Path) -> None:
    out, client = tmp_path / "genesis.cbor", FakeClient(data=tmp_path / "data")
    assert run(grid, "create", "test", "--out", str(out), client=client).exit_code == 0

    own = bytes(keys.open_identity(client.data).verify_key).hex()
    assert json.loads(run(grid, "show", str(out), "--json").stdout)["witnesses"] == {own: 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["test", "--witness", "abc"], "write NODE_ID or NODE_ID=WEIGHT"),
        (["test", "--witness", f"{WITNESS}=x"], "write NODE_ID or NODE_ID=WEIGHT"),
        (["test", "--witness", f"{WITNESS}=-1"], "weight"),
        (["test", "--witness", "00" * 32], "not an Ed25519 key"),
        (["test", "--witness", WITNESS, "--witness", WITNESS], "named twice"),
        (["test", "--witness", WITNESS, "--balance", ACCOUNT], "write ACCOUNT_ID=12.5"),
        (["test", "--witness", WITNESS, "--balance", f"{ACCOUNT}=-1"], "write ACCOUNT_ID=12.5"),
        (["Bad Name", "--witness", WITNESS], "name"),
    ],
)
def test_a_grid_that_cannot_be_is_not_written(
    tmp_path: Path, words: list[str], message: str
) -> None:
    out, client = tmp_path / "genesis.cbor", FakeClient(data=tmp_path / "data")

    result = run(grid, "create", *words, "--out", str(out), client=client)

    assert result.exit_code == 2
    assert message in result.stderr
    assert not out.exists()


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    out = tmp_path / "genesis.cbor"
    out.write_text("precious")

    result = run(grid, "create", "test", "--witness", WITNESS, "--out", str(out))

    assert result.exit_code == 2
    assert "choose another --out" in result.stderr
    assert out.read_text() == "precious"


def test_a_file_that_is_no_genesis_is_refused(tmp_path: Path) -> None:
    (tmp_path / "genesis.cbor").write_bytes(b"\0" * 100)

    result = run(grid, "show", str(tmp_path / "genesis.cbor"))

    assert result.exit_code == 2
    assert "not a genesis file" in result.stderr
