"""What is packed and unpacked is the same, and nothing is written anywhere else."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

from p2pgrid.errors import BadImage, StoreFailed
from p2pgrid.flist.blocks import Block
from p2pgrid.flist.convert import finish
from p2pgrid.flist.directory import read_directory
from p2pgrid.flist.fl import encode_flist
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.tree import Entry
from p2pgrid.flist.unpack import TreeWriter, unpack
from tests.flist.archives import Chunks, apply, hard_link, member, tar
from tests.flist.trees import PLAIN, contents, plant


def repack(path: Path) -> bytes:
    """The `.fl` file of a directory."""
    with Packer(Chunks().put, threads=1) as packer:
        tree = read_directory(path, packer, lambda done, total: None)
    return finish(tree.root, None).data


def plain_of_test(block: Block, length: int) -> bytes:
    return PLAIN[block.id]


@pytest.mark.root
@settings(max_examples=60)
@given(contents)
def test_a_tree_that_is_unpacked_and_packed_again_is_the_same(content: dict[bytes, Entry]) -> None:
    """Owners, modes with setuid, times, links, devices and pipes included."""
    root = plant(content)
    with tempfile.TemporaryDirectory() as scratch:
        unpack(root, Path(scratch) / "out", plain_of_test)

        assert repack(Path(scratch) / "out") == encode_flist(root, {})


def test_large_files_and_holes_come_out_as_they_went_in(tmp_path: Path) -> None:
    data = os.urandom(600_000) + bytes(3 << 20) + os.urandom(5)
    tree, chunks = apply(tar(member("f", data), member("zeros", bytes(4 << 20))))

    unpack(tree.root, tmp_path / "out", chunks.plain)

    assert (tmp_path / "out" / "f").read_bytes() == data
    assert (tmp_path / "out" / "zeros").stat().st_size == 4 << 20
    assert (tmp_path / "out" / "zeros").stat().st_blocks == 0


def test_equal_files_become_links_of_one(tmp_path: Path) -> None:
    tree, chunks = apply(
        tar(
            member("a", b"same"),
            hard_link("d/b", "a"),
            member("c", b"same", mode=0o600),
            member("empty"),
            member("empty too"),
        )
    )

    unpack(tree.root, tmp_path / "out", chunks.plain)

    inodes = {path.name: path.stat().st_ino for path in (tmp_path / "out").rglob("*")}
    assert inodes["a"] == inodes["b"]
    assert len({inodes["a"], inodes["c"], inodes["empty"], inodes["empty too"]}) == 4


def test_links_of_an_image_are_not_followed_while_unpacking(canary: Path) -> None:
    """Names are written in the order of their bytes, so the link is there before the rest."""
    root = plant(
        {
            b"a": Entry(mode=stat.S_IFLNK | 0o777, target=b"../../outside"),
            b"a.d": Entry(mode=stat.S_IFLNK | 0o777, target=bytes(canary.parent / "outside")),
            b"b": Entry(mode=stat.S_IFREG | 0o644),
        }
    )

    unpack(root, canary / "out", plain_of_test)

    assert (canary / "out" / "a").is_symlink()


def test_a_name_that_is_taken_meanwhile_is_not_written_through(canary: Path) -> None:
    """Somebody who could race us in our directory still cannot lead us out of it."""
    tree, chunks = apply(tar(member("d/a", b"first"), member("d/b", b"evil")))
    out = canary / "out"

    def race(block: Block, length: int) -> bytearray:
        if not (out / "d" / "b").is_symlink():
            (out / "d" / "b").symlink_to(canary.parent / "outside" / "passwd")
        return chunks.plain(block, length)

    with pytest.raises(StoreFailed, match="File exists"):
        unpack(tree.root, out, race)


def test_a_directory_that_is_there_is_not_touched(canary: Path) -> None:
    (canary / "out").mkdir()

    with pytest.raises(StoreFailed):
        unpack(plant({}), canary / "out", plain_of_test)

    assert list((canary / "out").iterdir()) == []


@pytest.mark.root
def test_a_directory_that_holds_a_device_is_refused(tmp_path: Path) -> None:
    os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(8, 0))

    with pytest.raises(BadImage, match="is a device"):
        repack(tmp_path)


def test_sockets_are_left_out(tmp_path: Path) -> None:
    os.mknod(tmp_path / "socket", stat.S_IFSOCK | 0o600)
    (tmp_path / "file").touch()

    with Packer(Chunks().put, threads=1) as packer:
        tree = read_directory(tmp_path, packer, lambda done, total: None)

    assert list(tree.root.children) == [b"file"]


def test_a_directory_that_is_exchanged_for_a_link_is_not_entered(canary: Path) -> None:
    """Whoever may write where a tree is unpacked still cannot lead it out of there."""

    class Raced(TreeWriter):
        def make_directory(self, name: bytes, directory: int) -> None:
            os.symlink(canary.parent / "outside", name, dir_fd=directory)

    tree, chunks = apply(tar(member("d/a", b"evil")))
    (canary / "out").mkdir()
    top = os.open(canary / "out", os.O_RDONLY)
    try:
        with pytest.raises(OSError, match="Not a directory"):
            Raced(top, chunks.plain).fill(tree.root, top)
    finally:
        os.close(top)
