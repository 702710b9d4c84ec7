"""Missing and damaged chunks are found, each once, and the good ones are left alone."""

from collections.abc import Sequence

import pytest

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.flist.blocks import Block
from p2pgrid.flist.verification import verify_blocks
from p2pgrid.model.ids import ChunkId
from tests.flist.archives import apply, member, tar

TREE, CHUNKS = apply(
    tar(
        member("a", b"1" * 600_000),
        member("b", b"1" * 600_000),
        *(member(f"n/{n}", b"%d" % n) for n in range(40)),
    )
)
BLOBS = [Blob(chunk, data) for chunk, data in CHUNKS.items()]
TOTAL = 600_000 + sum(len(str(n)) for n in range(40))


async def store(blobs: Sequence[Blob]) -> MemoryChunkStore:
    chunks = MemoryChunkStore()
    await chunks.put(blobs)
    return chunks


async def test_all_that_is_here_is_good() -> None:
    heard: list[tuple[int, int]] = []

    verdict = await verify_blocks(
        TREE.root, await store(BLOBS), lambda done, total: heard.append((done, total))
    )

    assert (verdict.block_count, verdict.missing, verdict.damaged) == (42, (), ())
    assert heard[-1] == (TOTAL, TOTAL)
    assert len(heard) == 2


async def test_what_is_missing_is_told_once() -> None:
    verdict = await verify_blocks(TREE.root, await store(BLOBS[1:]), lambda done, total: None)

    assert (verdict.missing, verdict.damaged) == ((BLOBS[0].chunk,), ())


@pytest.mark.parametrize("what", ["key", "size"])
async def test_a_chunk_that_is_not_what_the_flist_says_is_damaged(what: str) -> None:
    """The store holds only blobs that have their id; the flist may promise other content."""
    tree, chunks = apply(tar(member("f", b"data"), member("g", b"good")))
    file = tree.root.children[b"f"]
    block = file.blocks[0]
    if what == "key":
        file.blocks[0] = Block(ChunkId(block.id), bytes(32))
    else:
        file.size = 5
    stored = await store([Blob(chunk, data) for chunk, data in chunks.items()])

    verdict = await verify_blocks(tree.root, stored, lambda done, total: None)

    assert (verdict.missing, verdict.damaged) == ((), (block.id,))
