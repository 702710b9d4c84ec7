"""Whoever knows a root cannot be told more, less or other ids of a range than are there."""

from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.crdt.range_proof import RangeProof, prove_range, range_below, verify_range
from p2pgrid.crdt.trie import EMPTY_DIGEST, HashTrie
from p2pgrid.errors import BrokenProtocol, Refused

IDS = sorted(blake2b(b"%d" % number, digest_size=32).digest() for number in range(3000))
TRIE = HashTrie(IDS)
ENDS = st.one_of(st.sampled_from(IDS), st.binary(min_size=32, max_size=32))


@settings(max_examples=50)
@given(ENDS, ENDS)
def test_exactly_the_ids_of_the_range_are_shown(one: bytes, other: bytes) -> None:
    first, last = sorted((one, other))
    proof = prove_range(TRIE, first, last)
    found = verify_range(TRIE.root(), first, last, proof)
    assert list(found) == [identity for identity in IDS if first <= identity <= last]


@given(st.integers(0, 200))
def test_small_sets(count: int) -> None:
    trie = HashTrie(IDS[:count])
    first, last = range_below(b"")
    proof = prove_range(trie, first, last)
    assert verify_range(trie.root(), first, last, proof) == tuple(IDS[:count])


def test_a_range_below_a_prefix() -> None:
    first, last = range_below(b"\x0a\x03")
    assert (first[:1], first[1:]) == (b"\xa3", bytes(31))
    assert (last[:1], last[1:]) == (b"\xa3", b"\xff" * 31)
    found = verify_range(TRIE.root(), first, last, prove_range(TRIE, first, last))
    assert list(found) == TRIE.below(b"\x0a\x03")


def test_a_proof_is_bounded() -> None:
    wide = HashTrie(blake2b(b"%d" % number, digest_size=32).digest() for number in range(20_000))
    with pytest.raises(Refused):
        prove_range(wide, *range_below(b""))
    assert len(prove_range(wide, *range_below(b"\x01")).parts) < 400
    with pytest.raises(BrokenProtocol):
        verify_range(TRIE.root(), *range_below(b""), RangeProof((b"",) * 1025))


# --- lies -----------------------------------------------------------------------------------------

RANGE = (IDS[100], IDS[400])
GOOD = prove_range(TRIE, *RANGE).parts
LEAF = next(place for place, part in enumerate(GOOD) if len(part) > 64)


def lies() -> list[tuple[bytes, ...]]:
    before, leaf, after = GOOD[:LEAF], GOOD[LEAF], GOOD[LEAF + 1 :]
    return [
        (),
        GOOD[:-1],
        (*GOOD, EMPTY_DIGEST),
        (*before, leaf[32:], *after),
        (*before, leaf + b"\xff" * 32, *after),
        (*before, leaf[:-1], *after),
        (*before, leaf[32:64] + leaf[:32] + leaf[64:], *after),
        (*before, EMPTY_DIGEST, *after),
        (b"".join(IDS[:65]),),
        (TRIE.root(),),
        (b"",) * 1000,
    ]


@pytest.mark.parametrize("parts", lies(), ids=range(len(lies())))
def test_lies_are_refused(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(BrokenProtocol):
        verify_range(TRIE.root(), *RANGE, RangeProof(parts))


def test_what_is_in_the_range_cannot_hide_behind_its_hash() -> None:
    """The hash is right, so the root would be: only the rule about the range stops it."""
    with pytest.raises(BrokenProtocol, match="the ids of what is in the range"):
        verify_range(TRIE.root(), *RANGE, RangeProof((b"", *TRIE.children())))


def test_a_proof_of_another_range_is_none() -> None:
    with pytest.raises(BrokenProtocol):
        verify_range(TRIE.root(), *range_below(b"\x0e"), RangeProof(GOOD))
