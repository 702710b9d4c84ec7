"""Range proofs: show to somebody who knows only a root that exactly these ids lie in a range.

A proof walks the trie from the root. What lies outside of the range is there as its
hash, what lies inside as its ids, so nothing in the range can be left out or
put in without another root.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from p2pgrid.crdt.messages import is_ascending, require, split
from p2pgrid.crdt.trie import (
    DIGEST_BYTES,
    DIGITS,
    EMPTY_DIGEST,
    FANOUT,
    ID_BYTES,
    HashTrie,
    inner_digest,
    leaf_digest,
    prefix_of,
)
from p2pgrid.errors import Refused
from p2pgrid.limits.crdt import RANGE_PROOF_PARTS_MAX, TRIE_LEAF_IDS_MAX


@dataclass(frozen=True, slots=True)
class RangeProof:
    """The parts of a trie that tell about a range, each before its children."""

    parts: tuple[bytes, ...]
    """Empty: an inner node, whose 16 children follow. 16 bytes: the hash of a part that is outside
    of the range, or empty. Longer: the ids of a leaf."""


def range_below(prefix: bytes) -> tuple[bytes, bytes]:
    """The first and the last id that begin with the digits of `prefix`."""
    digits = prefix.hex()[1::2]
    return bytes.fromhex(digits.ljust(DIGITS, "0")), bytes.fromhex(digits.ljust(DIGITS, "f"))


def prove_range(trie: HashTrie, first: bytes, last: bytes) -> RangeProof:
    """Show which ids from `first` to `last`, both included, are in the set.

    Raises:
        Refused: the range holds too much for one proof; ask for a part of it.
    """
    assert len(first) == len(last) == ID_BYTES
    parts: list[bytes] = []
    for part in _walk(trie, b"", first, last):
        parts.append(part)
        if len(parts) > RANGE_PROOF_PARTS_MAX:
            raise Refused("the range holds too much for one proof")
    return RangeProof(tuple(parts))


def verify_range(root: bytes, first: bytes, last: bytes, proof: RangeProof) -> tuple[bytes, ...]:
    """The ids from `first` to `last`, both included, of the set with this root; ascending.

    Raises:
        BrokenProtocol: the proof is not one of this range and root.
    """
    require(len(proof.parts) <= RANGE_PROOF_PARTS_MAX, "a proof of so many parts at most")
    reader = _Reader(iter(proof.parts), first, last)
    require(reader.digest_of(b"") == root, "a proof of this root")
    require(next(reader.parts, None) is None, "nothing behind a proof")
    return tuple(reader.found)


def _walk(trie: HashTrie, prefix: bytes, first: bytes, last: bytes) -> Iterator[bytes]:
    if trie.is_leaf(prefix):
        yield b"".join(trie.below(prefix)) or EMPTY_DIGEST
        return
    yield b""
    for digit, digest in enumerate(trie.children(prefix)):
        child = prefix + bytes([digit])
        if _is_outside(child, first, last):
            yield digest
        else:
            yield from _walk(trie, child, first, last)


class _Reader:
    """Computes hashes from the parts of a proof, and collects the ids of the range."""

    def __init__(self, parts: Iterator[bytes], first: bytes, last: bytes) -> None:
        self.parts = parts
        self.found: list[bytes] = []
        self._first = first
        self._last = last

    def digest_of(self, prefix: bytes) -> bytes:
        """Read the part of this prefix with all below it; its hash."""
        part = next(self.parts, None)
        require(part is not None, "a proof to its end")
        assert part is not None
        if not part:
            require(len(prefix) < DIGITS - 1, "ids once there are no more digits")
            return inner_digest(
                [self.digest_of(prefix + bytes([digit])) for digit in range(FANOUT)]
            )
        if len(part) == DIGEST_BYTES:
            is_outside = _is_outside(prefix, self._first, self._last)
            require(is_outside or part == EMPTY_DIGEST, "the ids of what is in the range")
            return part
        ids = split(part, ID_BYTES)
        require(len(ids) <= TRIE_LEAF_IDS_MAX and is_ascending(ids), "the ids of a leaf")
        require(all(prefix_of(one, len(prefix)) == prefix for one in ids), "ids that belong there")
        self.found += [one for one in ids if self._first <= one <= self._last]
        return leaf_digest(ids)


def _is_outside(prefix: bytes, first: bytes, last: bytes) -> bool:
    lowest, highest = range_below(prefix)
    return highest < first or last < lowest
