"""Layers made to break out, to exhaust us or to confuse us: refused, and nothing is written."""

import gzip
import tarfile
from pathlib import Path

import pytest
import zstandard

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import BadImage
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.service import FlistService
from tests.flist.archives import (
    apply,
    device,
    directory,
    hard_link,
    member,
    raw_header,
    symlink,
    tar,
    write_layout,
)

END = bytes(1024)
DEEP = "/".join(["d"] * 200)
HALF = "/".join(["d"] * 100)


def pax(records: bytes) -> bytes:
    """An extended header with exactly these records, before a file of 10 bytes."""
    padded = records.ljust(-(-len(records) // 512) * 512, b"\0")
    file = raw_header(b"f", b"0", 10) + b"x" * 512
    return raw_header(b"x", b"x", len(records)) + padded + file + END


def sparse(size: int, numbers: str) -> bytes:
    """A sparse file of 10 stored bytes whose map is made of these numbers."""
    records = [f"GNU.sparse.size={size}\n", f"GNU.sparse.map={numbers}\n"]
    return pax("".join(f"{len(record) + 3} {record}" for record in records).encode())


def wide_window() -> bytes:
    """A frame of a good archive that asks its reader for 256 MiB."""
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return frame.compress(tar(member("f"))) + frame.flush()


HOSTILE = {
    "parent directory": tar(member("../outside/passwd", b"evil")),
    "parent directory within": tar(member("a/../../outside/passwd", b"evil")),
    "parent directory at the end": tar(directory("a/..")),
    "absolute": tar(member("/etc/passwd", b"evil")),
    "absolute directory": tar(directory("//etc")),
    "through a link to itself": tar(symlink("l", "l"), member("l/passwd", b"evil")),
    "through links in a circle": tar(symlink("l", "a/m"), symlink("a/m", "../l"), member("l/x")),
    "through a link and up": tar(symlink("l", "a"), member("l/../../outside/passwd", b"evil")),
    "through a link to a file": tar(member("f"), symlink("l", "f"), member("l/g")),
    "through a link to a giant name": tar(symlink("l", "n" * 256), member("l/g")),
    "whiteout through links in a circle": tar(symlink("l", "l"), member("l/.wh.x")),
    "too deep through a link": tar(symlink("l", HALF), directory("l/" + HALF)),
    "up beyond the top in a path": tar(directory("a"), member("a/b/../../../c")),
    "through a file": tar(member("f", b"x"), member("f/g", b"x")),
    "hard link to the outside": tar(hard_link("h", "../outside/passwd")),
    "absolute hard link": tar(hard_link("h", "/etc/shadow")),
    "hard link through a link": tar(symlink("l", ".."), hard_link("h", "l/outside/passwd")),
    "hard link to nothing": tar(hard_link("h", "none")),
    "hard link to a directory": tar(directory("d"), hard_link("h", "d")),
    "hard link to itself": tar(hard_link("h", "h")),
    "block device": tar(device("dev/sda", 8, 0, tarfile.BLKTYPE)),
    "memory device": tar(device("dev/mem", 1, 1, tarfile.CHRTYPE)),
    "block device with a harmless number": tar(device("dev/null", 1, 3, tarfile.BLKTYPE)),
    "whiteout of the parent": tar(member("a/.wh..."), member("b")),
    "whiteout of the directory itself": tar(member("a/.wh..")),
    "whiteout of nothing": tar(member("a/.wh.")),
    "root that is a file": tar(member("./", kind=tarfile.SYMTYPE, linkname="/")),
    "name too long": tar(member("n" * 256)),
    "path too long": tar(member("/".join(["n" * 200] * 30))),
    "nested too deep": tar(member(DEEP)),
    "symbolic link to nothing": raw_header(b"l", b"2", 0) + END,
    "symbolic link too long": tar(symlink("l", "t" * 5000)),
    "owner out of range": raw_header(b"f", b"0", 0, uid=b"\x80\0\0\1\0\0\0\0") + END,
    "negative size": raw_header(b"f", b"0", -1),
    "size of an exabyte": raw_header(b"f", b"0", 0, size=b"\x80\0\0\0\x10" + bytes(7)),
    "unknown type": raw_header(b"f", b"Z", 0) + END,
    "volume in parts": raw_header(b"f", b"M", 0) + END,
    "extended header of a gigabyte": raw_header(b"f", b"x", 1 << 30),
    "long name of a gigabyte": raw_header(b"f", b"L", 1 << 30),
    "extended headers without end": (raw_header(b"f", b"x", 0) * 50) + END,
    "extended header with a lie": pax(b"99 path=a\n"),
    "extended name with a zero": pax(b"11 path=a\0\n\n"),
    "extended size of garbage": pax(b"10 size=-5\n"),
    "sparse map that overlaps": sparse(20, "0,5,4,5"),
    "sparse map out of order": sparse(20, "10,5,0,5"),
    "sparse pieces beyond the end": sparse(12, "5,10"),
    "sparse map of more than is stored": sparse(90, "0,20"),
    "sparse map of less than is stored": sparse(90, "0,5"),
    "sparse map that is cut": sparse(90, "0,5,5"),
    "bad checksum": b"f" + bytes(511) + END,
    "no archive": b"\x7fELF" + bytes(2000),
    "truncated member": tar(member("f", b"x" * 5000))[:2000],
    "data behind the end": tar(member("f")) + b"x" * (17 << 20),
    "truncated gzip": gzip.compress(tar(member("f", b"x" * 5000)))[:-9],
    "garbage behind gzip": gzip.compress(tar(member("f"))) + b"garbage",
    "damaged gzip": gzip.compress(bytes(range(256)) * 50)[:100] + b"\0" * 100,
    "damaged zstd": zstandard.compress(bytes(range(256)) * 50)[:20] + b"\xff" * 100,
    "zstd with a wide window": wide_window(),
}


@pytest.mark.parametrize("layer", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_layer_is_refused(layer: bytes) -> None:
    with pytest.raises(BadImage) as refused:
        apply(tar(directory("a")), layer)

    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("negative size", "-1 bytes"),
        ("extended header of a gigabyte", "is the limit"),
        ("long name of a gigabyte", "is the limit"),
        ("sparse map that overlaps", "overlap"),
        ("sparse map out of order", "overlap"),
        ("sparse pieces beyond the end", "does not fit"),
        ("sparse map of more than is stored", "does not fit"),
        ("sparse map that is cut", "makes no sense"),
        ("zstd with a wide window", "memory"),
    ],
)
def test_what_would_cost_memory_is_refused_before_it_does(name: str, reason: str) -> None:
    """These would be refused later too, for being truncated; by then it would be too late."""
    with pytest.raises(BadImage, match=reason):
        apply(HOSTILE[name])


@pytest.mark.parametrize("name", ["parent directory", "through a link to itself", "memory device"])
async def test_a_hostile_image_is_refused_and_nothing_is_written(
    name: str, canary: Path, service: FlistService, chunks: MemoryChunkStore
) -> None:
    layout = write_layout(canary / "layout", [HOSTILE[name]])
    heard: list[Progress] = []

    with pytest.raises(BadImage):
        await service.convert(f"oci:{layout}", heard.append)

    assert list((canary / "images").iterdir()) == []
    assert chunks.flists() == ()


async def test_a_link_to_the_outside_leads_to_the_inside(
    canary: Path, service: FlistService
) -> None:
    """The canary looks at what stands at these places outside."""
    outside = str(canary.parent / "outside")
    lower = tar(symlink("up", "../../../../outside"), symlink("away", outside))
    upper = tar(member("up/passwd", b"evil"), member("away/passwd", b"evil"))
    layout = write_layout(canary / "layout", [lower, upper])

    made = await service.convert(f"oci:{layout}", lambda progress: None)
    image = await service.prepare(made.flist, (), lambda progress: None)

    assert (image.root / "outside" / "passwd").read_text() == "evil"
    assert (image.root / outside[1:] / "passwd").read_text() == "evil"


def test_links_cannot_make_short_paths_long_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pgrid.flist.tree.IMAGE_LINK_STEPS_MAX", 1000)
    link = symlink("l", "/".join(["a", ".."] * 100))

    with pytest.raises(BadImage, match="too long"):
        apply(tar(directory("a"), link, *(member(f"l/{n}") for n in range(9))))


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pgrid.flist.tree.IMAGE_ENTRIES_MAX", 10)

    with pytest.raises(BadImage, match="more than 10 entries"):
        apply(tar(member("a/b/c/d/e/f/g/h/i/j/k")))


def test_too_many_bytes_are_refused_though_each_layer_replaces_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("p2pgrid.flist.tree.IMAGE_BYTES_MAX", 1000)

    with pytest.raises(BadImage, match="more than 1000 bytes"):
        apply(*[tar(member("f", b"x" * 300))] * 4)


def test_harmless_devices_are_kept_and_the_console_is_left_out() -> None:
    tree, _ = apply(
        tar(
            device("dev/null", 1, 3, tarfile.CHRTYPE),
            device("dev/console", 5, 1, tarfile.CHRTYPE),
        )
    )

    assert list(tree.root.children[b"dev"].children) == [b"null"]


def test_a_bomb_of_zeros_costs_one_chunk() -> None:
    """128 MiB of zeros in a hundred kilobytes of gzip."""
    header = raw_header(b"f", b"0", 128 << 20)
    packed = gzip.compress(header + bytes(16 << 20)) + gzip.compress(bytes(16 << 20)) * 7

    tree, chunks = apply(packed + gzip.compress(END))

    assert len(tree.root.children[b"f"].blocks) == 256
    assert len(chunks) == 1


@pytest.mark.parametrize("how", [gzip.compress, zstandard.compress, bytes])
def test_layers_may_be_compressed_or_not(how: "type[bytes]") -> None:
    tree, chunks = apply(how(tar(member("f", b"x" * 1_300_000))))

    assert chunks.content(tree.root.children[b"f"]) == b"x" * 1_300_000


def test_gzip_in_several_members_is_one_stream() -> None:
    data = tar(member("f", b"x" * 3000))

    tree, chunks = apply(gzip.compress(data[:1000]) + gzip.compress(data[1000:]))

    assert chunks.content(tree.root.children[b"f"]) == b"x" * 3000
