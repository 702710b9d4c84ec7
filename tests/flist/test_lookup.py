"""A path leads where it would lead a process of the container, and never out of the tree."""

import pytest

from p2pgrid.errors import BadImage, NotFound
from p2pgrid.flist.lookup import find_entry, find_file
from p2pgrid.limits.flist import IMAGE_LINKS_FOLLOWED_MAX
from tests.flist.archives import apply, directory, member, symlink, tar

ROOT = apply(
    tar(
        member("usr/lib/os-release", b"Debian"),
        symlink("etc/os-release", "../usr/lib/os-release"),
        symlink("lib", "usr/lib"),
        symlink("deep/absolute", "/etc/os-release"),
        symlink("deep/out", "../../../../../lib/os-release"),
        symlink("loop", "loop"),
        symlink("nowhere", "/none"),
        directory("empty"),
        *(symlink(f"chain/{n}", f"{n + 1}") for n in range(IMAGE_LINKS_FOLLOWED_MAX)),
        member(f"chain/{IMAGE_LINKS_FOLLOWED_MAX}", b"end"),
        symlink("chain/longer", "0"),
    )
)[0].root


@pytest.mark.parametrize(
    "path",
    [
        b"usr/lib/os-release",
        b"/usr//lib/./os-release",
        b"etc/os-release",
        b"lib/os-release",
        b"deep/absolute",
        b"deep/out",
        b"../../etc/../lib/os-release",
    ],
)
def test_every_way_leads_to_the_file(path: bytes) -> None:
    assert find_file(ROOT, path) is ROOT.children[b"usr"].children[b"lib"].children[b"os-release"]


def test_the_top_is_an_entry_too() -> None:
    assert find_entry(ROOT, b"/") is ROOT
    assert find_entry(ROOT, b"empty/..") is ROOT


@pytest.mark.parametrize(
    "path", [b"none", b"nowhere", b"usr/lib/os-release/x", b"", b"empty", b"a" * 5000]
)
def test_what_is_no_file_is_not_found(path: bytes) -> None:
    with pytest.raises(NotFound):
        find_file(ROOT, path)


def test_links_have_an_end() -> None:
    assert find_file(ROOT, b"chain/0").size == 3
    for endless in (b"loop", b"chain/longer"):
        with pytest.raises(BadImage, match="never end"):
            find_file(ROOT, endless)
