"""Blocks are byte for byte those of rfs, and nothing but what was packed ever comes out."""

from hashlib import blake2b

import cramjam
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import Block, block_lengths, decode_block, encode_block
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX, CHUNK_BYTES
from p2pgrid.model.ids import ChunkId

VECTORS = [
    (
        b"hello world\n",
        "c71b05fd1d1c7bf7e928ff18e58db5193e9316416cc26ba9cc9094da80d7011e",
        "d139c46e6cc65acfa2eef1d0cd7abf014667fdc9a5ca75d9184671f97301a0db",
        30,
    ),
    (
        b"some random data to store",
        "b83d15e3b4175fe39f3e86c7b3ed233167c37d779970e6137e7a8d1ddf865fae",
        "d9a070eafd4626be8b079980dbc0a2ed7c3355cd600b70ad6408467281af5ab7",
        43,
    ),
    (
        bytes(4096),
        "686ede9288c391e7e05026e56f2f91bfd879987a040ea98445dabc76f55b8e5f",
        "8036726c87794aa106471b06ea41ee6c358a2bdae446e4acdef3d760657a6012",
        212,
    ),
    (
        bytes(7 * i % 251 for i in range(524288)),
        "c3ecf7dbbcf36fa08b50f7326425b4879b295fc67d43cc5e08f93fb9d113cb63",
        "47c3d6588b4fb0c93d246fe44ae0260a2ff7e3d66dbce94024c2db2a23d261bb",
        26563,
    ),
]


@pytest.mark.parametrize(("plain", "key", "chunk", "blob_bytes"), VECTORS)
def test_blocks_are_those_of_rfs(plain: bytes, key: str, chunk: str, blob_bytes: int) -> None:
    block, blob = encode_block(plain)

    assert block.key.hex() == key
    assert block.id.hex() == chunk
    assert len(blob) == blob_bytes
    assert decode_block(block, blob, plain_bytes=len(plain)) == plain


def test_the_blob_is_that_of_rfs() -> None:
    _, blob = encode_block(b"hello world\n")

    assert blob.hex() == "e565e4a3ac6198a15bf18a61f66ca364542240205ab53f72e221a7bc1837"


@given(st.binary(min_size=1, max_size=5000))
def test_what_was_packed_comes_out(plain: bytes) -> None:
    block, blob = encode_block(plain)

    assert decode_block(block, blob, plain_bytes=len(plain)) == plain
    assert len(blob) <= CHUNK_BLOB_BYTES_MAX


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_is_noticed(plain: bytes, data: st.DataObject) -> None:
    block, blob = encode_block(plain)
    bit = data.draw(st.integers(0, len(blob) * 8 - 1))
    flipped = bytearray(blob)
    flipped[bit // 8] ^= 1 << bit % 8

    with pytest.raises(BadImage, match="another hash"):
        decode_block(block, bytes(flipped), plain_bytes=len(plain))


def forged(packed: bytes, key: bytes) -> tuple[Block, bytes]:
    """A chunk whose id is right, made by somebody who lies about the rest."""
    blob = AESGCM(key).encrypt(key[:12], packed, None)
    return Block(ChunkId(blake2b(blob, digest_size=32).digest()), key), blob


def test_content_that_is_not_of_its_key_is_refused() -> None:
    block, blob = forged(bytes(cramjam.snappy.compress_raw(b"other")), bytes(32))

    with pytest.raises(BadImage, match="other bytes"):
        decode_block(block, blob, plain_bytes=5)


def test_a_bomb_is_refused_before_anything_is_allocated() -> None:
    """Its header promises 1 GiB; with the header believed, this test needs that memory."""
    block, blob = forged(b"\x80\x80\x80\x80\x04" + b"x" * 20, bytes(32))

    for plain_bytes in (100, 2**30):
        with pytest.raises(BadImage, match="does not hold"):
            decode_block(block, blob, plain_bytes=plain_bytes)


@pytest.mark.parametrize("packed", [b"", b"\x05", b"\x05\xff\xff", b"\xff" * 12])
def test_garbage_inside_is_refused(packed: bytes) -> None:
    block, blob = forged(packed, bytes(32))

    with pytest.raises(BadImage):
        decode_block(block, blob, plain_bytes=5)


def test_the_wrong_key_is_refused() -> None:
    block, blob = encode_block(b"hello world\n")

    with pytest.raises(BadImage, match="does not open"):
        decode_block(Block(block.id, bytes(32)), blob, plain_bytes=12)


@given(st.integers(0, 10 * CHUNK_BYTES))
def test_block_lengths_add_up(size: int) -> None:
    lengths = block_lengths(size)

    assert sum(lengths) == size
    assert all(length == CHUNK_BYTES for length in lengths[:-1])
