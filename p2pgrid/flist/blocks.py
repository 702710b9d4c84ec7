"""From plain bytes to chunks and back, exactly as rfs does it.

    key  = blake2b-256(plain)            plain: 512 KiB, the last of a file shorter
    comp = raw snappy of plain
    blob = AES-256-GCM(key, nonce = key[:12]) of comp, tag of 16 bytes at the end
    id   = blake2b-256(blob)

Whoever holds a blob but not the flist cannot read it. A nonce may be used twice only with the
same key, which is the same plain text. Ids depend on the snappy encoder, hence cramjam.
"""

from hashlib import blake2b
from typing import NamedTuple

import cramjam
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from p2pgrid.errors import BadImage
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX, CHUNK_BYTES
from p2pgrid.model.ids import ChunkId

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16


class Block(NamedTuple):
    """One piece of a file as an flist names it."""

    id: ChunkId
    key: bytes
    """blake2b-256 of the plain bytes; opens the chunk."""


Wanted = tuple[Block, int]
"""(a block, how many plain bytes it holds)."""


def encode_block(plain: bytes) -> tuple[Block, bytes]:
    r"""The block for up to CHUNK_BYTES of a file, and the blob to store. 0.3 GB/s.

    >>> encode_block(b"hello world\n")[0].id.hex()[:8]
    'd139c46e'
    """
    assert 0 < len(plain) <= CHUNK_BYTES, f"a block has 1 to {CHUNK_BYTES} bytes, not {len(plain)}"
    key = blake2b(plain, digest_size=KEY_BYTES).digest()
    # The compressed buffer goes on as it is: turning it into `bytes` costs as much as hashing.
    packed = memoryview(cramjam.snappy.compress_raw(plain))
    blob = AESGCM(key).encrypt(key[:_NONCE_BYTES], packed, None)
    return Block(ChunkId(blake2b(blob, digest_size=KEY_BYTES).digest()), key), blob


def decode_block(block: Block, blob: bytes, *, plain_bytes: int) -> bytearray:
    """The plain bytes of a blob that came from anywhere.

    `plain_bytes` is what the flist says it holds; nothing larger is ever allocated.

    Raises:
        BadImage: the blob is not the one the block names, or what it holds is not
            what the flist promises.
    """
    if len(blob) > CHUNK_BLOB_BYTES_MAX or _hash(blob) != block.id:
        raise BadImage(f"chunk {block.id.hex()} is damaged: its bytes have another hash")
    try:
        packed = AESGCM(block.key).decrypt(block.key[:_NONCE_BYTES], blob, None)
        # The length stands in front: look before anything of that size is allocated.
        if cramjam.snappy.decompress_raw_len(packed) != plain_bytes or plain_bytes > CHUNK_BYTES:
            raise BadImage(f"chunk {block.id.hex()} does not hold {plain_bytes} bytes")
        plain = bytearray(plain_bytes)
        written = cramjam.snappy.decompress_raw_into(packed, plain)
    except (InvalidTag, cramjam.DecompressionError) as error:
        raise BadImage(f"chunk {block.id.hex()} does not open with its key") from error
    if written != plain_bytes or _hash(plain) != block.key:
        raise BadImage(f"chunk {block.id.hex()} holds other bytes than its flist says")
    return plain


def block_lengths(size: int) -> list[int]:
    """Plain bytes of each block of a file of `size` bytes.

    >>> block_lengths(CHUNK_BYTES + 1), block_lengths(0)
    ([524288, 1], [])
    """
    full, rest = divmod(size, CHUNK_BYTES)
    return [CHUNK_BYTES] * full + ([rest] if rest else [])


def _hash(data: bytes | bytearray) -> bytes:
    return blake2b(data, digest_size=KEY_BYTES).digest()
