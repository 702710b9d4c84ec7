"""The tar reader agrees with the standard library and GNU tar, and refuses what is broken."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadImage
from p2pgrid.flist.tar import MemberKind, TarReader
from p2pgrid.flist.tar_headers import parse_number, parse_pax
from tests.flist.archives import directory, hard_link, member, raw_header, symlink, tar

FORMS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
names = st.text("abcä/.x", min_size=1, max_size=120).map(lambda name: f"f/{name}z")


def read(data: bytes) -> list[tuple[str, MemberKind, int, bytes]]:
    reader = TarReader(io.BytesIO(data))
    return [
        (os.fsdecode(one.path), one.kind, one.mtime, b"".join(reader.blocks())) for one in reader
    ]


@given(
    st.lists(st.tuples(names, st.binary(max_size=2000), st.integers(0, 2**33)), max_size=6),
    st.sampled_from(FORMS[1:]),
)
def test_what_the_standard_library_writes_is_read(
    files: list[tuple[str, bytes, int]], form: int
) -> None:
    data = tar(*(member(name, content, mtime=time) for name, content, time in files), form=form)

    assert read(data) == [(name, MemberKind.FILE, time, content) for name, content, time in files]


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_of_member_is_read(form: int) -> None:
    members = [
        directory("d"),
        member("d/" + "n" * 90, b"x", uid=70000, gid=3),
        symlink("d/l", "../somewhere/else"),
        hard_link("d/h", "d/" + "n" * 90),
        member("d/p", kind=tarfile.FIFOTYPE),
        member("d/c", kind=tarfile.CHRTYPE, devmajor=1, devminor=3),
    ]

    found = list(TarReader(io.BytesIO(tar(*members, form=form))))

    assert [one.kind.value for one in found] == [info.type for info, _ in members]
    assert (found[1].uid, found[1].gid) == (70000, 3)
    assert found[2].target == b"../somewhere/else"
    assert (found[5].major, found[5].minor) == (1, 3)


@pytest.mark.parametrize("form", FORMS[1:])
def test_long_names_are_read(form: int) -> None:
    name = "/".join(["d" * 100] * 20)

    data = tar(member(name, b"x"), symlink("l", name), form=form)

    assert read(data)[0][0] == name
    assert list(TarReader(io.BytesIO(data)))[1].target == name.encode()


def test_large_numbers_are_read_in_base_256() -> None:
    data = tar(member("f", uid=2**31, mtime=2**33 - 1), form=tarfile.GNU_FORMAT)

    (found,) = TarReader(io.BytesIO(data))

    assert (found.uid, found.mtime) == (2**31, 2**33 - 1)


@pytest.mark.parametrize(
    "form",
    [
        ["--format=gnu"],
        ["--format=pax", "--sparse-version=0.0"],
        ["--format=pax", "--sparse-version=0.1"],
        ["--format=pax", "--sparse-version=1.0"],
    ],
)
def test_sparse_files_of_gnu_tar_are_read(form: list[str], tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        for number in range(40):  # more pieces than fit into one header
            file.seek(number * 100_000)
            file.write(os.urandom(5000))
        file.truncate(4_100_000)
    command = ["tar", "-C", str(tmp_path), "-S", *form, "-cf", "-", "sparse"]
    data = subprocess.run(command, check=True, capture_output=True).stdout

    assert len(data) < 1_000_000
    assert read(data)[0][3] == (tmp_path / "sparse").read_bytes()


def test_data_that_is_not_taken_is_skipped() -> None:
    data = tar(member("a", b"x" * 700_000), member("b", b"y"))

    assert [one.path for one in TarReader(io.BytesIO(data))] == [b"a", b"b"]


GOOD = tar(directory("d"), member("d/" + "f" * 120, b"x" * 1000), symlink("l", "d"))


@pytest.mark.parametrize("length", [1, 511, 700, 1100, 1536 + 512, 3000, 3500, 4001])
def test_an_archive_that_ends_within_a_member_is_refused(length: int) -> None:
    with pytest.raises(BadImage, match=r"truncated|extended header"):
        read(GOOD[:length])


def test_an_archive_without_its_last_blocks_is_read_as_some_writers_leave_it() -> None:
    """Tar has no table of contents: the digest of the layer tells that nothing is missing."""
    assert read(GOOD.rstrip(b"\0").ljust(-(-len(GOOD.rstrip(b"\0")) // 512) * 512, b"\0")) == read(
        GOOD
    )


def test_nothing_at_all_is_no_archive() -> None:
    with pytest.raises(BadImage, match="truncated"):
        read(b"")


@given(st.data())
def test_damage_gives_bad_image_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(GOOD) - 1))] = data.draw(st.integers(0, 255))

    try:
        found = read(bytes(damaged))
    except BadImage:
        return
    assert len(found) <= 3


@given(st.binary(max_size=1500))
def test_headers_of_garbage_give_bad_image_and_nothing_else(garbage: bytes) -> None:
    """The checksum is right, so that what is behind it is reached."""
    block = bytearray(garbage.ljust(1536, b"\0"))
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block[:512]):06o}\0 ".encode()

    try:
        found = read(bytes(block))
    except BadImage:
        return
    assert len(found) <= 3


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=9), st.binary(max_size=200)), max_size=5))
def test_extended_headers_are_read_as_the_format_says(pairs: list[tuple[bytes, bytes]]) -> None:
    pairs = [(key.replace(b"=", b"-"), value) for key, value in pairs]
    data = b""
    for key, value in pairs:
        rest = b" " + key + b"=" + value + b"\n"
        length = len(rest) + len(str(len(rest)))
        length += len(str(length)) - len(str(len(rest)))
        data += str(length).encode() + rest

    assert parse_pax(data) == pairs


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"99 a=b\n",
        b"6 a=b\nx",
        b"5 a=b\n",
        b"7 a b c\n",
        b"0 a=b\n",
        b"-6 a=b\n",
        b" a=b\n",
        b"13 path=a\0b\n\n",
        b"999999999999999999999999 a=b\n",
    ],
)
def test_malformed_extended_headers_are_refused(data: bytes) -> None:
    with pytest.raises(BadImage):
        parse_pax(data)


def test_negative_numbers_are_read_and_refused_where_they_make_no_sense() -> None:
    assert parse_number(b"\xff" * 12, "size") == -1
    with pytest.raises(BadImage):
        read(raw_header(b"f", b"0", -1))
