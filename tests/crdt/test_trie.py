"""Equal sets have equal hashes, whatever happened before; every part has the hash of its ids."""

from hashlib import blake2b

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.crdt.trie import FANOUT, HashTrie, inner_digest, leaf_digest, prefix_of
from p2pgrid.limits.crdt import TRIE_LEAF_IDS_MAX


def identity(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=32).digest()


def digest_of(ids: list[bytes], depth: int) -> bytes:
    """What a part with these ids has, by the rule."""
    if len(ids) <= TRIE_LEAF_IDS_MAX:
        return leaf_digest(sorted(ids))
    parts: list[list[bytes]] = [[] for _ in range(FANOUT)]
    for one in ids:
        parts[prefix_of(one, depth + 1)[-1]].append(one)
    return inner_digest(digest_of(part, depth + 1) for part in parts)


def alike(number: int) -> bytes:
    """Ids with the same first 15 bytes, as somebody could make them with some effort."""
    return bytes(15) + identity(number)[:17]


many = st.lists(st.tuples(st.booleans(), st.integers(0, 400)), max_size=400)


@given(many, st.sampled_from([identity, alike]))
@settings(max_examples=50)
def test_hashes_depend_on_the_set_only(steps: list[tuple[bool, int]], id_of: object) -> None:
    trie, model = HashTrie(), set[bytes]()
    make = identity if id_of is identity else alike
    for place, (is_added, number) in enumerate(steps):
        one = make(number)
        if is_added:
            assert trie.add(one) is (one not in model)
            model.add(one)
        else:
            assert trie.discard(one) is (one in model)
            model.discard(one)
        if place % 50 == 0:
            trie.root()

    assert list(trie) == sorted(model)
    assert trie.packed() == b"".join(sorted(model))
    assert len(trie) == len(model)
    assert all(one in trie for one in model)
    assert trie.root() == HashTrie(model).root()


def test_a_part_has_the_hash_of_its_ids() -> None:
    ids = [identity(number) for number in range(3000)]
    trie = HashTrie(ids)
    for prefix in (b"", b"\x0a", b"\x0a\x03", b"\x0a\x03\x00", b"\x01\x02\x03\x04"):
        below = [one for one in sorted(ids) if prefix_of(one, len(prefix)) == prefix]
        assert trie.below(prefix) == below
        assert trie.is_leaf(prefix) is (len(below) <= TRIE_LEAF_IDS_MAX)
        for digit, digest in enumerate(trie.children(prefix)):
            part = [one for one in below if prefix_of(one, len(prefix) + 1)[-1] == digit]
            assert digest == digest_of(part, len(prefix) + 1)
    assert trie.root() == inner_digest(trie.children())


def test_ids_are_found_by_their_first_bytes() -> None:
    ids = [identity(number) for number in range(1000)]
    twin = ids[7][:8] + bytes(24)
    trie = HashTrie([*ids, twin])
    assert trie.starting_with(ids[7][:8]) == sorted([ids[7], twin])
    assert trie.starting_with(ids[8][:8]) == [ids[8]]
    assert trie.starting_with(identity(5000)[:8]) == []


def test_a_hash_is_neither_a_sum_nor_a_xor() -> None:
    """{a, b} and {c, d} with a ^ b == c ^ d and a + b == c + d differ."""
    a, b = bytes(31) + b"\x01", bytes(31) + b"\x06"
    c, d = bytes(31) + b"\x02", bytes(31) + b"\x05"
    assert HashTrie([a, b]).root() != HashTrie([c, d]).root()


def test_ids_are_no_hashes_of_children() -> None:
    """Otherwise eight ids could be made that pass for sixteen parts."""
    ids = [bytes([number]) * 32 for number in range(8)]
    packed = b"".join(ids)
    children = [packed[place : place + 16] for place in range(0, 256, 16)]
    assert leaf_digest(ids) != inner_digest(children)


def test_what_is_no_id_is_not_in_it() -> None:
    trie = HashTrie([bytes(32)])
    assert bytes(31) not in trie
    assert "id" not in trie
    assert bytes(32) in trie
    assert len(trie.children()) == FANOUT
