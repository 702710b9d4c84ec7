"""What is mounted is what would have been unpacked, to the last attribute."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given

from p2pgrid.flist.blocks import Wanted, block_lengths, decode_block
from p2pgrid.flist.lazy_blocks import LazyBlocks
from p2pgrid.flist.mounted_tree import MountedTree
from p2pgrid.flist.tree import Entry, walk
from p2pgrid.flist.unpack import unpack
from p2pgrid.fuse.wire import ROOT_NODE
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.model.ids import ChunkId
from tests.flist.archives import apply, device, directory, member, symlink, tar
from tests.flist.mounts import inside, open_mount
from tests.flist.trees import contents, plant, seen

BIG = os.urandom(2 * CHUNK_BYTES + 1000)


class Nothing:
    """Blocks that never come."""

    def have(self, wanted: Wanted) -> None:
        return None

    async def bring(self, wanted: Sequence[Wanted]) -> None:
        raise AssertionError("no bytes are asked for")


@given(contents)
def test_every_entry_is_found_by_its_path(content: dict[bytes, Entry]) -> None:
    root = plant(content)
    tree = MountedTree(root, Nothing())

    for path, entry in walk(root):
        node = ROOT_NODE
        for name in path.split(b"/") if path else []:
            found = tree.child(node, name)
            assert found is not None
            node = found.node
        attributes = tree.attributes(node)
        assert (attributes.mode, attributes.uid, attributes.gid, attributes.mtime) == (
            entry.mode, entry.uid, entry.gid, entry.mtime
        )  # fmt: skip
        if entry.is_dir:
            rows = list(tree.rows(node, 0))
            assert [name for name, _ in rows] == [b".", b"..", *sorted(entry.children)]
            assert [list(tree.rows(node, start)) for start in range(len(rows))] == [
                rows[start:] for start in range(len(rows))
            ]
            assert rows[0][1] == attributes
            assert tree.child(node, b"\0 no such name") is None


def test_what_is_no_directory_has_no_rows_and_no_node_is_made_up() -> None:
    tree = MountedTree(apply(tar(member("a", b"1")))[0].root, Nothing())
    found = tree.child(ROOT_NODE, b"a")
    assert found is not None
    for ask in (
        lambda: list(tree.rows(found.node, 0)),
        lambda: tree.child(found.node, b"x"),
        lambda: tree.attributes(99),
        lambda: tree.read_now(0, 0, 1),
    ):
        with pytest.raises(KeyError):
            ask()


@pytest.mark.root
async def test_the_mounted_tree_is_the_unpacked_one(tmp_path: Path) -> None:
    tree, chunks = apply(
        tar(
            directory("bin", uid=0, gid=0, mtime=1_600_000_000),
            member("bin/tool", b"#!/bin/sh\n", mode=0o4755, uid=12, gid=34, mtime=1_500_000_000),
            symlink("bin/again", "tool"),
            symlink("etc", "/nowhere"),
            member("big", BIG, mode=0o640, mtime=5),
            member("empty", b""),
            member("exact", BIG[:CHUNK_BYTES]),
            device("null", 1, 3, b"3"),
            *(member(f"many/{number:04}", str(number).encode()) for number in range(700)),
            member("na\u00efve name", b"x"),
        )
    )

    def get_many(wanted: Sequence[ChunkId]) -> list[bytes | None]:
        return [chunks.get(one) for one in wanted]

    unpack(tree.root, tmp_path / "unpacked", lambda block, length: decode_block(
        block, chunks[block.id], plain_bytes=length
    ))  # fmt: skip
    point = tmp_path / "mounted"
    async with open_mount(tree.root, LazyBlocks(tree.root, get_many), point):
        shown = await inside(lambda: seen(point))
        assert shown == await inside(lambda: seen(tmp_path / "unpacked"))
        assert await inside(lambda: (point / "bin").stat().st_nlink) == 2
        assert await inside(lambda: stat.S_ISCHR((point / "null").stat().st_mode))

        def read_anyhow() -> bytes:
            with (point / "big").open("rb", buffering=0) as file:
                file.seek(CHUNK_BYTES - 3)
                return file.read(10) + os.pread(file.fileno(), 50, 2 * CHUNK_BYTES + 990)

        assert await inside(read_anyhow) == BIG[CHUNK_BYTES - 3 :][:10] + BIG[-10:]

        def write() -> None:
            (point / "big").write_bytes(b"")

        with pytest.raises(OSError, match="Read-only"):
            await inside(write)
    assert list(point.iterdir()) == []


def test_blocks_of_every_span_hold_it() -> None:
    tree, chunks = apply(tar(member("big", BIG)))
    held: dict[Wanted, bytearray] = {}
    for _, entry in walk(tree.root):
        for wanted in zip(entry.blocks, block_lengths(entry.size), strict=True):
            block, length = wanted
            held[wanted] = decode_block(block, chunks[block.id], plain_bytes=length)

    class All(Nothing):
        def have(self, wanted: Wanted) -> bytearray:  # type: ignore[override]  # all are here
            return held[wanted]

    mounted = MountedTree(tree.root, All())
    found = mounted.child(ROOT_NODE, b"big")
    assert found is not None
    edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, len(BIG)]
    for offset in [*edges, len(BIG) + 5]:
        for size in (0, 1, 4096, CHUNK_BYTES, 3 * CHUNK_BYTES):
            assert mounted.read_now(found.node, offset, size) == BIG[offset : offset + size]
