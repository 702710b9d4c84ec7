"""A person gets files of his own, where he said, and nothing is written anywhere else."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from p2pgrid.errors import BadInput, StoreFailed
from p2pgrid.flist.extract import Extracted, extract
from p2pgrid.flist.tree import Entry, device_number
from tests.flist.archives import apply, directory, hard_link, member, symlink, tar

TREE, CHUNKS = apply(
    tar(
        directory("./", mode=0o750, mtime=5),
        directory("d", mode=0o711, mtime=7),
        member("d/a", b"same", mode=0o4755, uid=7, gid=8, mtime=9),
        hard_link("d/b", "d/a"),
        symlink("link", "/etc/passwd"),
        member("large", os.urandom(600_000)),
        member("pipe", kind=b"6"),
    )
)
NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[Path]:
    """A directory of somebody who is not root; we are he for the block."""
    with TemporaryDirectory() as work:
        os.chown(work, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(work)
        finally:
            os.seteuid(0)
            os.setegid(0)


def take_out(into: Path, *, is_merged: bool = False, root: Entry = TREE.root) -> Extracted:
    return extract(root, into, CHUNKS.plain, is_merged=is_merged)


def test_files_of_equal_content_can_be_changed_apart(canary: Path) -> None:
    take_out(canary / "out")

    first, second = canary / "out" / "d" / "a", canary / "out" / "d" / "b"
    first.write_text("changed")
    assert second.read_text() == "same"
    assert (canary / "out" / "large").stat().st_size == 600_000
    assert (canary / "out" / "link").readlink() == Path("/etc/passwd")


@pytest.mark.root
def test_root_gets_owners_devices_and_setuid_programs(canary: Path) -> None:
    root = Entry(mode=stat.S_IFDIR | 0o755)
    root.children = {
        **TREE.root.children,
        b"null": Entry(mode=stat.S_IFCHR | 0o666, rdev=device_number(1, 3)),
        b"socket": Entry(mode=stat.S_IFSOCK | 0o666),
    }

    lacks = take_out(canary / "out", root=root)

    status = (canary / "out" / "d" / "a").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o4755, 7, 8)
    assert lacks == Extracted(has_owners=True, left_out=1)
    assert (canary / "out" / "null").stat().st_rdev == os.makedev(1, 3)


@pytest.mark.root
def test_without_root_all_is_of_the_person_and_nothing_is_setuid() -> None:
    """A setuid file would run as whoever extracted the image of a stranger."""
    root = Entry(mode=stat.S_IFDIR | 0o755)
    root.children = {
        **TREE.root.children,
        b"null": Entry(mode=stat.S_IFCHR | 0o666, rdev=device_number(1, 3)),
    }
    with as_nobody() as work:
        lacks = take_out(work / "out", root=root)
        status = (work / "out" / "d" / "a").stat()

    assert (status.st_mode & 0o7777, status.st_uid) == (0o755, NOBODY)
    assert lacks == Extracted(has_owners=False, left_out=1)


def test_a_new_directory_looks_like_the_top_of_the_tree(canary: Path) -> None:
    take_out(canary / "out")

    assert (canary / "out").stat().st_mode & 0o7777 == 0o750
    assert (canary / "out").stat().st_mtime == 5


def test_a_directory_that_is_there_keeps_its_attributes(canary: Path) -> None:
    """Whoever made it private may have had a reason."""
    (canary / "out").mkdir(0o700)

    take_out(canary / "out")

    assert (canary / "out").stat().st_mode & 0o7777 == 0o700
    assert (canary / "out" / "d").stat().st_mode & 0o7777 == 0o711


def test_a_directory_that_holds_something_is_refused(canary: Path) -> None:
    (canary / "out").mkdir()
    (canary / "out" / "mine").write_text("mine")

    with pytest.raises(BadInput, match="not empty"):
        take_out(canary / "out")

    assert [one.name for one in (canary / "out").iterdir()] == ["mine"]


def test_merging_replaces_what_has_the_same_names_only(canary: Path) -> None:
    out = canary / "out"
    (out / "d").mkdir(parents=True)
    (out / "d" / "a").write_text("old")
    (out / "d" / "mine").write_text("mine")
    (out / "pipe").write_text("a file where a pipe comes")

    take_out(out, is_merged=True)

    assert (out / "d" / "a").read_text() == "same"
    assert (out / "d" / "mine").read_text() == "mine"
    assert stat.S_ISFIFO((out / "pipe").stat().st_mode)
    assert (out / "d").stat().st_mtime == 7


def test_merging_follows_no_link_out_of_the_directory(canary: Path) -> None:
    """Neither one of the person, nor one that an image brought before."""
    outside, out = canary.parent / "outside", canary / "out"
    out.mkdir()
    (out / "d").symlink_to(outside)
    (out / "large").symlink_to(outside / "passwd")
    (out / "pipe").symlink_to(outside / "none")

    take_out(out, is_merged=True)

    assert not (out / "d").is_symlink()
    assert (out / "d" / "a").read_text() == "same"
    assert (out / "large").stat().st_size == 600_000


def test_a_directory_is_never_removed_for_a_file(canary: Path) -> None:
    (canary / "out" / "large" / "mine").mkdir(parents=True)

    with pytest.raises(StoreFailed, match="'large'"):
        take_out(canary / "out", is_merged=True)

    assert (canary / "out" / "large" / "mine").is_dir()


@pytest.mark.parametrize("into", ["none/out", "file", "file/out"])
def test_what_is_no_directory_is_refused(canary: Path, into: str) -> None:
    (canary / "file").write_text("mine")

    with pytest.raises(BadInput):
        take_out(canary / into, is_merged=True)

    assert (canary / "file").read_text() == "mine"
