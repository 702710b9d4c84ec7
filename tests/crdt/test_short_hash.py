"""Short hashes are SipHash-2-4, as libsodium and its authors compute it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_shorthash_siphash24

from p2pgrid.crdt.short_hash import short_hashes, without

KEY = bytes(range(16))


def test_the_reference_vector() -> None:
    """Vector 16 of the authors' vectors_sip64."""
    (found,) = short_hashes(bytes(range(32)), KEY).tolist()
    assert found.to_bytes(8, "little").hex() == "db9bc2577fcc2a3f"


@given(
    st.binary(min_size=16, max_size=16),
    st.lists(st.binary(min_size=32, max_size=32), max_size=20),
)
def test_the_same_as_libsodium(key: bytes, ids: list[bytes]) -> None:
    expected = [crypto_shorthash_siphash24(one[:16], key) for one in ids]
    found = short_hashes(b"".join(ids), key).tolist()
    assert [one.to_bytes(8, "little") for one in found] == expected


def test_many_at_once() -> None:
    ids = np.random.default_rng(1).bytes(32 * 20_000)
    found = short_hashes(ids, KEY)
    last = int.from_bytes(crypto_shorthash_siphash24(ids[-32:-16], KEY), "little")
    assert (len(found), int(found[-1])) == (20_000, last)


def test_without() -> None:
    some, others = np.array([1, 2, 3], np.uint64), np.array([2], np.uint64)
    assert without(some, others).tolist() == [1, 3]
