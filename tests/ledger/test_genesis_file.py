"""A genesis file is read as it was written, or refused with a hint; never read as another grid."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.ledger.genesis_file import (
    decode_genesis,
    encode_genesis,
    new_genesis,
    read_genesis,
    write_genesis,
)
from p2pgrid.model.genesis import Genesis
from tests.ledger.grids import NOW, account_of, genesis_of, node_of


def founded(**changes: object) -> Genesis:
    given: dict[str, object] = {
        "witnesses": [(node_of("two"), 1), (node_of("one"), 2)],
        "balances": [(account_of("bob"), 5), (account_of("alice"), 7)],
        "created_ms": NOW,
        "nonce": bytes(16),
    }
    return new_genesis("test", **{**given, **changes})  # type: ignore[arg-type]  # some are wrong on purpose


def test_what_is_written_is_read(tmp_path: Path) -> None:
    genesis = founded()
    write_genesis(tmp_path / "genesis.cbor", genesis)

    assert read_genesis(tmp_path / "genesis.cbor") == genesis
    assert [path.name for path in tmp_path.iterdir()] == ["genesis.cbor"]


@given(st.data())
def test_one_flipped_bit_anywhere_is_noticed(data: st.DataObject) -> None:
    whole = bytearray(encode_genesis(genesis_of(4)))
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BadInput, match="genesis file"):
        decode_genesis(bytes(whole))


@given(st.integers(0, 600))
def test_a_cut_file_is_noticed(length: int) -> None:
    whole = encode_genesis(genesis_of(4))

    with pytest.raises(BadInput):
        decode_genesis(whole[: min(length, len(whole) - 1)])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing\.cbor cannot be read"):
        read_genesis(tmp_path / "missing.cbor")


@pytest.mark.parametrize(
    "change",
    [
        {"witnesses": []},
        {"witnesses": [(b"short", 1)]},
        {"witnesses": [(bytes(32), 1)]},
        {"witnesses": [(node_of("one"), 0)]},
        {"witnesses": [(node_of("one"), 1), (node_of("one"), 1)]},
        {"balances": [(account_of("bob"), 2**63)]},
        {"balances": [(account_of("bob"), 1), (account_of("bob"), 1)]},
        {"balances": [(bytes(32), 1)]},
        {"nonce": b""},
    ],
)
def test_a_grid_that_makes_no_sense_is_not_founded(change: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        founded(**change)
