"""A stream of symbols shows exactly the differences of two sets, and garbage costs little."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.crdt import riblt
from p2pgrid.crdt.riblt import SYMBOL_BYTES, Cells, Decoder, Encoder, check_of, decode_cells
from p2pgrid.crdt.short_hash import Words, short_hashes
from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.crdt import RIBLT_SYMBOLS_MAX

some = st.sets(st.integers(1, 2**64 - 1), max_size=60)


def words(items: object) -> Words:
    return np.array(sorted(items), np.uint64)  # type: ignore[call-overload]  # of integers


def decode_from(ours: Words, theirs: Words, *, step: int = 8, size_max: int = 4000) -> Decoder:
    decoder, encoder = Decoder(Encoder(ours)), Encoder(theirs)
    while not decoder.is_done and len(decoder) < size_max and not decoder.is_exhausted:
        first, end = len(decoder), len(decoder) + step
        encoder.extend(end)
        decoder.receive(decode_cells(encoder.cells.encode(first, end)))
    return decoder


@given(some, some, some)
def test_exactly_the_differences_are_found(
    shared: set[int], mine: set[int], others: set[int]
) -> None:
    decoder = decode_from(words(shared | mine), words(shared | others))
    assert decoder.is_done
    ours, theirs = decoder.differences()
    assert set(ours.tolist()) == (shared | mine) - (shared | others)
    assert set(theirs.tolist()) == (shared | others) - (shared | mine)


@settings(max_examples=5)
@given(st.integers(0, 2**32), st.sampled_from([10, 100, 1000]))
def test_about_one_and_a_half_symbols_a_difference(seed: int, count: int) -> None:
    chosen = np.random.default_rng(seed)
    shared = chosen.integers(1, 2**63, 5000).astype(np.uint64)
    fresh = chosen.integers(1, 2**63, count).astype(np.uint64)
    decoder = decode_from(shared, np.concatenate((shared, fresh)), step=max(1, count // 20))
    assert decoder.is_done
    assert len(decoder) <= 2 * count + 30


def test_symbols_are_the_same_in_one_piece_and_in_many() -> None:
    items = np.arange(1, 500, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    one, many = Encoder(items), Encoder(items)
    one.extend(300)
    for size in (1, 2, 50, 51, 300):
        many.extend(size)
    assert one.cells.encode(0, 300) == many.cells.encode(0, 300)
    assert len(one.cells.encode(7, 9)) == 2 * SYMBOL_BYTES


# --- hostile --------------------------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_random_symbols_find_nothing_and_end(seed: int) -> None:
    chosen = np.random.default_rng(seed)
    decoder = Decoder(Encoder(words({1, 2, 3})))
    decoder.receive(decode_cells(chosen.bytes(SYMBOL_BYTES * 500)))
    assert not decoder.is_done
    assert decoder._steps < 10


def test_an_item_that_is_found_twice_is_of_no_set() -> None:
    """Taken out of a cell where it does not belong, it comes up in those where it does."""
    item = words({2**63 + 1})
    cells = Cells.of(10)
    cells.put(np.array([9]), item, check_of(item))
    with pytest.raises(BrokenProtocol):
        Decoder(Encoder(words(()))).receive(cells)


def test_more_items_than_symbols_are_of_no_set() -> None:
    chosen = np.random.default_rng(1)
    items = chosen.integers(1, 2**63, 20).astype(np.uint64)
    decoder = Decoder(Encoder(words(())))
    decoder._found |= set(range(1))
    with pytest.raises(BrokenProtocol):
        decoder.receive(Cells(items, check_of(items)))


def test_a_chain_of_single_items_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item uncovers one more, which costs a step: whoever sends it pays no less than we."""
    monkeypatch.setattr(riblt, "RIBLT_STEPS_MAX", 3)
    chosen = np.random.default_rng(2)
    fresh = chosen.integers(1, 2**63, 300).astype(np.uint64)
    decoder = decode_from(words(()), fresh, step=100)
    assert decoder.is_exhausted
    assert decoder._steps == 3


def test_more_symbols_than_the_limit_are_not_made() -> None:
    with pytest.raises(AssertionError):
        Encoder(words({1})).extend(RIBLT_SYMBOLS_MAX + 1)


# --- the key --------------------------------------------------------------------------------------


def keyed(packed: bytes) -> Words:
    return short_hashes(packed, b"a key of 16 byte")


def unkeyed(packed: bytes) -> Words:
    """What anybody can compute before: the ids' own first bytes."""
    return np.frombuffer(packed, "<u8").reshape(-1, 4)[:, 0].copy()


@pytest.mark.parametrize(("hashes_of", "is_jammed"), [(keyed, False), (unkeyed, True)])
def test_crafted_ids_jam_only_where_there_is_no_key(
    hashes_of: Callable[[bytes], Words], *, is_jammed: bool
) -> None:
    """Pairs of ids whose first 8 bytes are equal: 2^32 work each, for who knows the hash."""
    chosen = np.random.default_rng(3)
    halves = [chosen.bytes(8) for _ in range(20)]
    crafted = b"".join(half + chosen.bytes(24) for half in halves for _ in range(2))
    victim = chosen.bytes(32)
    decoder = decode_from(hashes_of(chosen.bytes(3200)), hashes_of(crafted + victim), size_max=200)
    _, theirs = decoder.differences()
    assert (len(theirs) < 41) is is_jammed
