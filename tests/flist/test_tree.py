"""Layers change the tree as the OCI image specification says."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.tree import (
    Entry,
    ImageTree,
    device_major,
    device_minor,
    device_number,
    split_path,
    walk,
)
from tests.flist.archives import apply, directory, hard_link, member, paths, symlink, tar


def test_files_of_an_upper_layer_replace_those_below() -> None:
    tree, chunks = apply(tar(member("a", b"old")), tar(member("a", b"new"), member("b/c", b"x")))

    assert paths(tree) == ["a", "b", "b/c"]
    assert chunks.content(tree.root.children[b"a"]) == b"new"


def test_a_whiteout_hides_what_is_below_and_itself() -> None:
    tree, _ = apply(tar(member("d/a"), member("d/b")), tar(member("d/.wh.a"), member(".wh.none")))

    assert paths(tree) == ["d", "d/b"]


def test_a_whiteout_of_a_directory_hides_all_of_it() -> None:
    tree, _ = apply(tar(member("d/e/a"), member("x")), tar(member(".wh.d")))

    assert paths(tree) == ["x"]


@pytest.mark.parametrize("mark_comes_first", [True, False])
def test_a_whiteout_does_not_hide_its_own_layer(mark_comes_first: bool) -> None:
    upper = [member("d/.wh.a"), member("d/a", b"new")]
    layer = tar(*(upper if mark_comes_first else reversed(upper)))

    tree, chunks = apply(tar(member("d/a", b"old")), layer)

    assert chunks.content(tree.root.children[b"d"].children[b"a"]) == b"new"


@pytest.mark.parametrize("mark_comes_first", [True, False])
def test_an_opaque_directory_keeps_only_its_own_layer(mark_comes_first: bool) -> None:
    upper = [member("d/.wh..wh..opq"), member("d/e/new")]
    layer = tar(*(upper if mark_comes_first else reversed(upper)))

    tree, _ = apply(tar(member("d/old"), member("d/e/old"), member("f")), layer)

    assert paths(tree) == ["d", "d/e", "d/e/new", "f"]


def test_a_whiteout_by_a_directory_that_is_made_anew_hides_the_old_content() -> None:
    tree, _ = apply(tar(member("d/old")), tar(member(".wh.d"), directory("d"), member("d/new")))

    assert paths(tree) == ["d", "d/new"]


def test_a_directory_over_a_directory_keeps_the_content_and_takes_the_attributes() -> None:
    tree, _ = apply(tar(member("d/a")), tar(directory("d", mode=0o700, uid=7)))

    assert paths(tree) == ["d", "d/a"]
    assert tree.root.children[b"d"].mode == stat.S_IFDIR | 0o700
    assert tree.root.children[b"d"].uid == 7


def test_a_file_over_a_directory_and_back_leaves_nothing_of_the_other() -> None:
    tree, _ = apply(tar(member("d/a")), tar(member("d")), tar(directory("d")))

    assert paths(tree) == ["d"]
    assert tree.root.children[b"d"].is_dir


def test_the_root_takes_attributes_and_keeps_everything() -> None:
    tree, _ = apply(tar(member("a")), tar(directory("./", mode=0o711, mtime=9)))

    assert paths(tree) == ["a"]
    assert (tree.root.mode, tree.root.mtime) == (stat.S_IFDIR | 0o711, 9)


def test_hard_links_share_their_content_also_over_layers() -> None:
    tree, chunks = apply(tar(member("a", b"x" * 600_000)), tar(hard_link("d/b", "a")))

    below = tree.root.children[b"d"].children[b"b"]
    assert below.blocks is tree.root.children[b"a"].blocks
    assert chunks.content(below) == b"x" * 600_000


def test_a_replaced_hard_link_leaves_the_other_alone() -> None:
    tree, chunks = apply(tar(member("a", b"1"), hard_link("b", "a")), tar(member("b", b"2")))

    assert chunks.content(tree.root.children[b"a"]) == b"1"
    assert chunks.content(tree.root.children[b"b"]) == b"2"


def test_symbolic_links_are_kept_as_they_are() -> None:
    tree, _ = apply(tar(symlink("l", "/etc/passwd"), symlink("m", "../../..")))

    assert tree.root.children[b"l"].target == b"/etc/passwd"
    assert tree.root.children[b"m"].target == b"../../.."


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("usr/lib", "usr/lib/f"),
        ("/usr/lib", "usr/lib/f"),
        ("./usr//bin/../lib/", "usr/lib/f"),
        ("../../../usr", "usr/f"),
        ("/", "f"),
        ("..", "f"),
        ("again", "usr/lib/f"),
        ("/missing/deep", "missing/deep/f"),
    ],
)
def test_a_path_through_a_link_below_stays_inside_the_tree(target: str, place: str) -> None:
    lower = tar(directory("usr/bin"), directory("usr/lib"), symlink("again", "usr/lib"))

    tree, chunks = apply(lower, tar(symlink("l", target)), tar(member("l/f", b"data")))

    found = tree.find(place.encode().split(b"/"))
    assert found is not None
    assert chunks.content(found) == b"data"
    assert tree.root.children[b"l"].target == target.encode()


def test_whiteouts_and_hard_links_go_through_links_as_well() -> None:
    lower = tar(member("usr/lib/a"), member("usr/lib/b"), symlink("lib", "usr/lib"))

    tree, _ = apply(lower, tar(member("lib/.wh.a"), hard_link("c", "lib/b")))

    assert paths(tree) == ["c", "lib", "usr", "usr/lib", "usr/lib/b"]


def test_an_opaque_mark_behind_a_link_keeps_its_own_layer() -> None:
    lower = tar(member("usr/lib/a"), symlink("lib", "usr/lib"))

    tree, _ = apply(lower, tar(member("lib/b"), member("lib/.wh..wh..opq")))

    assert paths(tree) == ["lib", "usr", "usr/lib", "usr/lib/b"]


def test_the_last_name_of_a_path_replaces_a_link() -> None:
    """What containerd and umoci do: only what stands in front of it is followed."""
    lower = tar(directory("a"), symlink("l", "a"), symlink("m", "a"), member("f"))

    tree, _ = apply(lower, tar(directory("l"), member("m"), symlink("f", "a")))

    assert tree.root.children[b"l"].is_dir
    assert stat.S_ISREG(tree.root.children[b"m"].mode)
    assert stat.S_ISLNK(tree.root.children[b"f"].mode)


def test_bookkeeping_of_aufs_is_ignored() -> None:
    tree, chunks = apply(tar(member("a")), tar(member(".wh..wh.plnk/x"), member(".wh..wh.aufs")))

    assert "a" in paths(tree)
    assert chunks == {}


def test_whiteouts_carry_no_data_into_the_store() -> None:
    _, chunks = apply(tar(member("a")), tar(member(".wh.a", b"data that nobody wants")))

    assert chunks == {}


def test_a_plain_directory_may_have_names_like_whiteouts() -> None:
    tree = ImageTree(has_whiteouts=False)
    tree.add(b".wh.a", Entry(mode=stat.S_IFREG | 0o644))

    assert paths(tree) == [".wh.a"]


places = st.sampled_from([b"a", b"b", b"a/a", b"a/b", b"b/a", b"a/a/a", b"a/a/b"])
marks = st.lists(st.tuples(st.sampled_from([b".wh.", b".wh..wh..opq"]), places), max_size=3)


@given(st.lists(places, max_size=5), st.lists(places, max_size=3), marks, st.data())
def test_what_is_hidden_does_not_depend_on_the_order_within_the_layer(
    lower: list[bytes], upper: list[bytes], marks: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """All are directories, so that every order is a valid layer."""
    names = [*upper]
    for mark, place in marks:
        parent, slash, name = place.rpartition(b"/")
        names.append(parent + slash + mark + name if mark == b".wh." else place + b"/" + mark)

    def result(order: list[bytes]) -> list[str]:
        tree = ImageTree()
        for layer in (lower, order):
            tree.begin_layer()
            for name in layer:
                tree.add(name, Entry(mode=stat.S_IFDIR | 0o755))
        return paths(tree)

    shuffled = data.draw(st.permutations(names))
    assert set(result(names)) == set(result(shuffled))


link_targets = st.lists(st.sampled_from(["a", "b", "..", ".", "", "a/b"]), max_size=4).map("/".join)


@given(st.dictionaries(places, link_targets.filter(bool), max_size=4), st.lists(places, max_size=4))
def test_a_tree_of_any_links_is_a_tree(links: dict[bytes, str], files: list[bytes]) -> None:
    tree = ImageTree()
    tree.begin_layer()
    try:
        for path, target in links.items():
            tree.add(path, Entry(mode=stat.S_IFLNK | 0o777, target=target.encode()))
        for path in files:
            tree.add(path + b"/f", Entry(mode=stat.S_IFREG | 0o644))
    except BadImage:
        return
    seen = [id(entry) for _, entry in walk(tree.root)]
    assert len(seen) == len(set(seen))
    assert all(split_path(path) for path, _ in walk(tree.root) if path)


@given(st.integers(0, 4095), st.integers(0, 2**20 - 1))
def test_device_numbers_are_those_of_linux(major: int, minor: int) -> None:
    assert device_number(major, minor) == os.makedev(major, minor)
    assert (device_major(os.makedev(major, minor)), device_minor(os.makedev(major, minor))) == (
        major,
        minor,
    )


@given(st.binary(max_size=40))
def test_no_path_leads_out(path: bytes) -> None:
    try:
        found = split_path(path)
    except BadImage:
        return
    assert not {b"", b".", b".."} & set(found)
    assert not any(b"/" in name or b"\0" in name for name in found)


def test_walk_gives_directories_before_what_is_in_them() -> None:
    tree, _ = apply(tar(member("b/c/d"), member("a"), member("b/a")))

    assert [path for path, _ in walk(tree.root)] == [b"", b"a", b"b", b"b/a", b"b/c", b"b/c/d"]
