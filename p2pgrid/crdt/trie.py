r"""A set of 32-byte ids as a hash trie: equal sets have equal hashes, part by part.

    inner node   more than TRIE_LEAF_IDS_MAX ids; 16 children, by the next four bits of the id
    leaf         the ids, ascending

The shape follows from the set alone, so replicas that added and dropped ids in
any order have the same hashes. A hash is plain blake2b over ids or over the
hashes of the children: sums and XORs of ids can be made equal for unequal sets
by whoever may place records, and would hide a victim's record. A change costs
its path; hashes are computed when somebody asks for them.

A prefix is the first four-bit digits of an id, one byte each: `b"\x0a\x03"`
is where ids begin with `a3`. The subset below a prefix has the hash that a trie
of just these ids has, whether or not there is a node for it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from hashlib import blake2b

from p2pgrid.limits.crdt import TRIE_LEAF_IDS_MAX

DIGEST_BYTES = 16
ID_BYTES = 32
DIGITS = 2 * ID_BYTES
"""Four-bit digits of an id, so also the greatest depth."""
FANOUT = 16

_LEAF = b"p2pgrid.leaf"
_INNER = b"p2pgrid.inner"


class _Leaf:
    __slots__ = ("digest", "ids")

    def __init__(self, ids: list[bytes]) -> None:
        self.ids = ids
        self.digest: bytes | None = None


class _Inner:
    __slots__ = ("changed", "children", "count", "digest", "digests")

    def __init__(self, children: list["_Node"], count: int) -> None:
        self.children = children
        self.count = count
        self.digest: bytes | None = None
        self.digests = bytearray(FANOUT * DIGEST_BYTES)
        """Of the children, one after the other."""
        self.changed = (1 << FANOUT) - 1
        """A bit for each child whose digest in there is not that of now."""


_Node = _Leaf | _Inner


def leaf_digest(ids: Iterable[bytes]) -> bytes:
    """The hash, 16 bytes, of few ids in order."""
    return blake2b(b"".join(ids), digest_size=DIGEST_BYTES, person=_LEAF).digest()


def inner_digest(children: Iterable[bytes | bytearray]) -> bytes:
    """The hash, 16 bytes, of a node whose 16 children have these hashes."""
    return blake2b(b"".join(children), digest_size=DIGEST_BYTES, person=_INNER).digest()


EMPTY_DIGEST = leaf_digest(())


class HashTrie:
    """A set of 32-byte ids that knows the hash of every part of it."""

    __slots__ = ("_root",)

    def __init__(self, ids: Iterable[bytes] = ()) -> None:
        found = sorted(set(ids))
        assert all(len(identity) == ID_BYTES for identity in found)
        self._root = _build(found, 0)

    def __len__(self) -> int:
        return _count(self._root)

    def __contains__(self, identity: object) -> bool:
        if not isinstance(identity, bytes) or len(identity) != ID_BYTES:
            return False
        ids = self._leaf_of(identity).ids
        place = bisect_left(ids, identity)
        return place < len(ids) and ids[place] == identity

    def __iter__(self) -> Iterator[bytes]:
        """All ids, ascending; the set must not change meanwhile."""
        for leaf in _leaves(self._root):
            yield from leaf.ids

    def packed(self) -> bytes:
        """All ids, ascending, one after the other."""
        return b"".join(b"".join(leaf.ids) for leaf in _leaves(self._root))

    # --- changes ----------------------------------------------------------------------------------

    def add(self, identity: bytes) -> bool:
        """Make sure that `identity`, 32 bytes, is in the set; whether it was not."""
        assert len(identity) == ID_BYTES
        path, leaf = self._way_to(identity)
        ids = leaf.ids
        place = bisect_left(ids, identity)
        if place < len(ids) and ids[place] == identity:
            return False
        ids.insert(place, identity)
        leaf.digest = None
        for depth, inner in enumerate(path):
            inner.count += 1
            inner.digest = None
            inner.changed |= 1 << _digit(identity, depth)
        if len(ids) > TRIE_LEAF_IDS_MAX:
            self._put(path, identity, _build(ids, len(path)))
        return True

    def discard(self, identity: bytes) -> bool:
        """Make sure that `identity` is not in the set; whether it was."""
        path, leaf = self._way_to(identity)
        place = bisect_left(leaf.ids, identity)
        if place == len(leaf.ids) or leaf.ids[place] != identity:
            return False
        del leaf.ids[place]
        leaf.digest = None
        for depth, inner in enumerate(path):
            inner.count -= 1
            inner.digest = None
            inner.changed |= 1 << _digit(identity, depth)
            if inner.count <= TRIE_LEAF_IDS_MAX:
                ids = [one for below in _leaves(inner) for one in below.ids]
                self._put(path[:depth], identity, _Leaf(ids))
                break
        return True

    # --- questions --------------------------------------------------------------------------------

    def root(self) -> bytes:
        """The hash of the whole set, 16 bytes: equal if and only if the sets are."""
        return _digest(self._root)

    def is_leaf(self, prefix: bytes) -> bool:
        """Whether so few ids are below `prefix` that they are not divided further."""
        return isinstance(self._node(prefix), _Leaf)

    def children(self, prefix: bytes = b"") -> tuple[bytes, ...]:
        """The hashes, 16 bytes, of the 16 parts below `prefix`. Costs what changed."""
        node = self._node(prefix)
        if isinstance(node, _Inner):
            _digest(node)
            held = bytes(node.digests)
            return tuple(held[at : at + DIGEST_BYTES] for at in range(0, len(held), DIGEST_BYTES))
        parts = _parts(node.ids, len(prefix))
        return tuple(leaf_digest(part) if part else EMPTY_DIGEST for part in parts)

    def below(self, prefix: bytes) -> list[bytes]:
        """All ids that begin with the digits of `prefix`, ascending."""
        return [identity for leaf in _leaves(self._node(prefix)) for identity in leaf.ids]

    def starting_with(self, cut: bytes) -> list[bytes]:
        """All ids whose first bytes are `cut`, ascending; for cuts that few ids share."""
        node, depth = self._root, 0
        while isinstance(node, _Inner) and depth < 2 * len(cut):
            node = node.children[_digit(cut, depth)]
            depth += 1
        found: list[bytes] = []
        for leaf in _leaves(node):
            ids = leaf.ids
            place = bisect_left(ids, cut)
            while place < len(ids) and ids[place].startswith(cut):
                found.append(ids[place])
                place += 1
        return found

    # --- inside -----------------------------------------------------------------------------------

    def _leaf_of(self, identity: bytes) -> _Leaf:
        node, depth = self._root, 0
        while type(node) is _Inner:
            byte = identity[depth >> 1]
            node = node.children[byte & 15 if depth & 1 else byte >> 4]
            depth += 1
        assert isinstance(node, _Leaf)
        return node

    def _way_to(self, identity: bytes) -> tuple[list[_Inner], _Leaf]:
        """The inner nodes above the leaf of `identity`, the root first, and the leaf."""
        path: list[_Inner] = []
        node = self._root
        depth = 0
        while type(node) is _Inner:
            path.append(node)
            byte = identity[depth >> 1]
            node = node.children[byte & 15 if depth & 1 else byte >> 4]
            depth += 1
        assert isinstance(node, _Leaf)
        return path, node

    def _put(self, path: list[_Inner], identity: bytes, node: _Node) -> None:
        if path:
            path[-1].children[_digit(identity, len(path) - 1)] = node
        else:
            self._root = node

    def _node(self, prefix: bytes) -> _Node:
        """The node of a prefix; where the trie is less deep, a leaf made of what there is."""
        node = self._root
        for digit in prefix:
            if isinstance(node, _Leaf):
                return _Leaf([one for one in node.ids if _begins_with(one, prefix)])
            node = node.children[digit]
        return node


def prefix_of(identity: bytes, depth: int) -> bytes:
    """The first `depth` digits of an id."""
    return bytes(_digit(identity, place) for place in range(depth))


def _build(ids: list[bytes], depth: int) -> _Node:
    if len(ids) <= TRIE_LEAF_IDS_MAX:
        return _Leaf(ids)
    return _Inner([_build(part, depth + 1) for part in _parts(ids, depth)], len(ids))


def _parts(ids: Iterable[bytes], depth: int) -> list[list[bytes]]:
    parts: list[list[bytes]] = [[] for _ in range(FANOUT)]
    for identity in ids:
        parts[_digit(identity, depth)].append(identity)
    return parts


def _count(node: _Node) -> int:
    return len(node.ids) if isinstance(node, _Leaf) else node.count


def _digest(node: _Node) -> bytes:
    if node.digest is None:
        if isinstance(node, _Leaf):
            node.digest = leaf_digest(node.ids)
        else:
            changed = node.changed
            while changed:
                place = changed.bit_length() - 1
                changed ^= 1 << place
                start = place * DIGEST_BYTES
                node.digests[start : start + DIGEST_BYTES] = _digest(node.children[place])
            node.changed = 0
            node.digest = inner_digest((node.digests,))
    return node.digest


def _leaves(node: _Node) -> Iterator[_Leaf]:
    if isinstance(node, _Leaf):
        yield node
        return
    for child in node.children:
        yield from _leaves(child)


def _digit(identity: bytes, depth: int) -> int:
    byte = identity[depth >> 1]
    return byte & 15 if depth & 1 else byte >> 4


def _begins_with(identity: bytes, prefix: bytes) -> bool:
    return all(_digit(identity, depth) == digit for depth, digit in enumerate(prefix))
