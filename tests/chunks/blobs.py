"""Blobs by number, so that any process of a test knows the same ones."""

import random

from p2pgrid.chunks.chunk_store import Blob, chunk_id


def blob(number: int, size_bytes: int | None = None) -> Blob:
    """The blob of this number: 1 to 3000 random bytes unless a size is given."""
    choice = random.Random(number)
    size = choice.randrange(1, 3000) if size_bytes is None else size_bytes
    data = choice.randbytes(size)
    return Blob(chunk_id(data), data)
