"""Blocks are read in batches, each once; what occurs again is read alone."""

import os
from collections.abc import Sequence

import pytest

from p2pgrid.errors import NotFound
from p2pgrid.flist.blocks import block_lengths
from p2pgrid.flist.reading import BlockReader
from p2pgrid.flist.tree import walk
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.ids import ChunkId
from tests.flist.archives import apply, member, tar

FILES = [os.urandom(10) for _ in range(READ_BATCH_CHUNKS + 10)]
TREE, CHUNKS = apply(
    tar(
        *(member(f"a/{n:03}", data) for n, data in enumerate(FILES)),
        *(member(f"b/{n:03}", data) for n, data in enumerate(FILES[:3])),
    )
)


def test_what_occurs_again_costs_one_chunk() -> None:
    asked: list[int] = []
    heard: list[tuple[int, int]] = []

    def get_many(chunks: Sequence[ChunkId]) -> list[bytes | None]:
        asked.append(len(chunks))
        return [CHUNKS.get(chunk) for chunk in chunks]

    def on_bytes(done: int, total: int) -> None:
        heard.append((done, total))

    with BlockReader(TREE.root, get_many, on_bytes) as reader:
        read = [
            bytes(reader.plain_bytes(block, length))
            for _, entry in walk(TREE.root)
            for block, length in zip(entry.blocks, block_lengths(entry.size), strict=True)
        ]

    assert read == FILES + FILES[:3]
    assert asked == [READ_BATCH_CHUNKS, 10, 1, 1, 1]
    assert heard[-1] == (10 * len(FILES), 10 * len(FILES))


def test_a_chunk_that_is_gone_is_not_found() -> None:
    first = TREE.root.children[b"a"].children[b"000"].blocks[0]

    with (
        BlockReader(TREE.root, lambda chunks: [None] * len(chunks), lambda *_: None) as reader,
        pytest.raises(NotFound, match="fetch the flist again"),
    ):
        reader.plain_bytes(first, 10)
