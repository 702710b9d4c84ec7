"""Short hashes of many ids at once: SipHash-2-4 of the first 16 bytes of each, 64 bits, by a key.

Who places records does not know the key of a comparison yet, so he cannot choose ids
whose short hashes are equal or fall in the same places.

Source: J.-P. Aumasson, D. J. Bernstein: SipHash, a fast short-input PRF (2012).
"""

import numpy as np
from numpy.typing import NDArray

from p2pgrid.limits.crdt import SHORT_HASH_CHUNK

KEY_BYTES = 16

Words = NDArray[np.uint64]

_ROW_BYTES = 32
_HASHED_BYTES = 16
_LENGTH_BLOCK = np.uint64(_HASHED_BYTES << 56)
_STARTS = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def short_hashes(packed: bytes, key: bytes) -> Words:
    """The short hash of every id in `packed`, which holds 32 bytes for each.

    Args:
        packed: ids one after the other.
        key: 16 bytes.
    """
    assert len(key) == KEY_BYTES
    rows: Words = np.frombuffer(packed, dtype="<u8").reshape(-1, _ROW_BYTES // 8)
    found = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), SHORT_HASH_CHUNK):
        chunk = rows[start : start + SHORT_HASH_CHUNK]
        found[start : start + len(chunk)] = _hash_chunk(chunk, key)
    return found


def without(hashes: Words, others: Words) -> Words:
    """Those of `hashes` that are not among `others`."""
    result: Words = hashes[~np.isin(hashes, others)]
    return result


def _hash_chunk(rows: Words, key: bytes) -> Words:
    first, second = (
        np.uint64(int.from_bytes(key[place : place + 8], "little")) for place in (0, 8)
    )
    keys = (first, second, first, second)
    state = [
        np.full(len(rows), np.uint64(start) ^ word, np.uint64)
        for start, word in zip(_STARTS, keys, strict=True)
    ]
    spare = np.empty(len(rows), np.uint64)
    for block in (rows[:, 0], rows[:, 1], _LENGTH_BLOCK):
        state[3] ^= block
        _round(state, spare)
        _round(state, spare)
        state[0] ^= block
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(state, spare)
    result: Words = state[0] ^ state[1] ^ state[2] ^ state[3]
    return result


def _round(state: list[Words], spare: Words) -> None:
    """One SipRound in place; new arrays each time would cost twice as much."""
    v0, v1, v2, v3 = state
    for target, other, turns, mixed in (
        (v0, v1, 13, v1),
        (v2, v3, 16, v3),
        (v0, v3, 21, v3),
        (v2, v1, 17, v1),
    ):
        np.add(target, other, out=target)
        _rotate(mixed, turns, spare)
        np.bitwise_xor(mixed, target, out=mixed)
        if turns in (13, 17):
            _rotate(target, 32, spare)


def _rotate(words: Words, turns: int, spare: Words) -> None:
    np.right_shift(words, np.uint64(64 - turns), out=spare)
    np.left_shift(words, np.uint64(turns), out=words)
    np.bitwise_or(words, spare, out=words)
