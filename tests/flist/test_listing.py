"""A tree is listed as it is, and two of them differ in what was changed."""

import tarfile

import pytest

from p2pgrid.errors import BadImage, NotFound
from p2pgrid.flist.listing import Difference, compare_trees, list_tree
from tests.flist.archives import apply, device, directory, member, symlink, tar

TREE, _ = apply(
    tar(
        directory("etc", mtime=5),
        member("etc/passwd", b"root", mode=0o4755, uid=1, gid=2, mtime=7),
        symlink("etc/link", "passwd"),
        device("null", 1, 3, tarfile.CHRTYPE),
    )
)


def test_every_entry_is_told_by_name() -> None:
    rows = {one.path: one for one in list_tree(TREE.root)}

    assert list(rows) == [".", "etc", "etc/link", "etc/passwd", "null"]
    file = rows["etc/passwd"]
    assert (file.mode, file.uid, file.gid, file.size, file.mtime) == ("-rwsr-xr-x", 1, 2, 4, 7)
    assert (rows["etc/link"].mode, rows["etc/link"].target) == ("lrwxrwxrwx", "passwd")
    assert rows["null"].device == "1:3"
    assert rows["etc"].device == ""


@pytest.mark.parametrize("path", [b"etc", b"/etc/", b"./etc"])
def test_a_part_of_it_keeps_its_whole_paths(path: bytes) -> None:
    found = [one.path for one in list_tree(TREE.root, path)]

    assert found == ["etc", "etc/link", "etc/passwd"]


@pytest.mark.parametrize("path", [b"none", b"etc/link/x", b"etc/passwd/x"])
def test_a_path_that_is_not_there_is_said(path: bytes) -> None:
    with pytest.raises(NotFound, match="holds no"):
        list(list_tree(TREE.root, path))


def test_a_path_that_leaves_is_refused() -> None:
    with pytest.raises(BadImage):
        list(list_tree(TREE.root, b"etc/../.."))


def test_names_that_are_no_text_are_told() -> None:
    tree, _ = apply(tar(member("a\udcff"), form=tarfile.GNU_FORMAT))

    assert [one.path for one in list_tree(tree.root)] == [".", "a\\xff"]


def test_the_same_tree_does_not_differ() -> None:
    assert list(compare_trees(TREE.root, TREE.root)) == []


def test_what_changed_is_named() -> None:
    lower = tar(
        *(member("content", b"1"), member("mode"), member("owner"), member("time", mtime=1)),
        *(symlink("target", "a"), member("kind"), member("gone"), directory("d")),
        device("device", 1, 3, tarfile.CHRTYPE),
    )
    upper = tar(
        *(member("content", b"2"), member("mode", mode=0o600), member("owner", uid=9)),
        *(member("time", mtime=2), symlink("target", "b"), directory("kind", mtime=3)),
        *(member(".wh.gone"), member("d/new"), device("device", 1, 5, tarfile.CHRTYPE)),
    )

    found = compare_trees(apply(lower)[0].root, apply(lower, upper)[0].root)

    changed = ("content", "device", "kind", "mode", "owner", "target", "time")
    wanted = [Difference(one, (one,)) for one in changed]
    wanted += [Difference("d/new", ("added",)), Difference("gone", ("removed",))]
    assert list(found) == sorted(wanted, key=lambda one: one.path)
