"""An image is the same from wherever it comes, and what is damaged is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import BadImage, BadInput, GridError, NotFound
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.oci import Descriptor, Index, VerifiedStream, choose_image, parse_manifest
from p2pgrid.flist.service import FlistService
from p2pgrid.flist.sources import KINDS, Source
from p2pgrid.model.ids import FlistId
from tests.flist.archives import (
    OCI_INDEX,
    directory,
    hard_link,
    member,
    raw_header,
    tar,
    write_docker_archive,
    write_layout,
)

LAYERS = [
    tar(directory("d"), member("d/a", b"1" * 700_000), member("d/b", b"2")),
    tar(member("d/.wh.b"), hard_link("c", "d/a")),
]


def ignore(progress: Progress) -> None:
    """For conversions whose progress is of no interest."""


async def convert(service: FlistService, source: str) -> FlistId:
    return (await service.convert(source, ignore)).flist


def archive_of(layout: Path) -> Path:
    """A layout in a tar file."""
    files = [path for path in sorted(layout.rglob("*")) if path.is_file()]
    path = layout.with_suffix(".tar")
    path.write_bytes(
        tar(*(member(f"./{file.relative_to(layout)}", file.read_bytes()) for file in files))
    )
    return path


async def test_one_image_is_one_flist_wherever_it_comes_from(
    service: FlistService, canary: Path
) -> None:
    layouts = {
        how: write_layout(canary / how, LAYERS, compress=how) for how in ("gzip", "zstd", "plain")
    }
    archive = archive_of(layouts["gzip"])
    saved = write_docker_archive(canary / "saved.tar", LAYERS)

    found = [await convert(service, f"oci:{layout}") for layout in layouts.values()]
    found += [await convert(service, f"oci:{layouts['gzip']}:latest")]
    found += [await convert(service, f"oci-archive:{archive}:latest")]
    found += [await convert(service, f"docker-archive:{saved}")]

    assert len(set(found)) == 1


async def test_a_directory_is_converted_without_a_configuration(
    service: FlistService, canary: Path
) -> None:
    (canary / "tree").mkdir()
    (canary / "tree" / "f").write_bytes(b"x")

    made = await service.convert(f"dir:{canary / 'tree'}", ignore)

    assert (made.entry_count, made.content_bytes, made.chunk_count) == (2, 1, 1)
    assert (await service.read(made.flist)).tags == {}


async def test_progress_goes_up_to_the_end(service: FlistService, canary: Path) -> None:
    heard: list[Progress] = []
    layout = write_layout(canary / "layout", LAYERS, compress="plain")

    await service.convert(f"oci:{layout}", heard.append)

    done = [progress.done_bytes for progress in heard]
    assert done == sorted(done)
    assert heard[-1].done_bytes == heard[-1].total_bytes == sum(map(len, LAYERS))
    assert {progress.phase for progress in heard} == {"convert"}


@pytest.mark.parametrize("place", [0, 100, -1])
@pytest.mark.parametrize("which", ["layer", "manifest", "config"])
async def test_a_flipped_bit_anywhere_is_noticed(
    which: str, place: int, service: FlistService, chunks: MemoryChunkStore, canary: Path
) -> None:
    layout = write_layout(canary / "layout", LAYERS)
    index = json.loads((layout / "index.json").read_text())
    blobs = layout / "blobs" / "sha256"
    name = index["manifests"][0]["digest"]
    manifest = json.loads((blobs / name[7:]).read_text())
    if which != "manifest":
        name = (manifest["layers"][1] if which == "layer" else manifest["config"])["digest"]
    data = bytearray((blobs / name[7:]).read_bytes())
    data[place] ^= 1
    (blobs / name[7:]).write_bytes(data)

    with pytest.raises(BadImage):
        await convert(service, f"oci:{layout}")

    assert chunks.flists() == ()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
async def test_a_truncated_archive_is_refused(
    kept: float, service: FlistService, chunks: MemoryChunkStore, canary: Path
) -> None:
    saved = write_docker_archive(canary / "saved.tar", LAYERS)
    saved.write_bytes(saved.read_bytes()[: int(saved.stat().st_size * kept)])

    with pytest.raises((BadImage, NotFound)):
        await convert(service, f"docker-archive:{saved}")

    assert chunks.flists() == ()


async def test_a_layer_of_docker_save_is_verified_by_its_plain_digest(
    service: FlistService, canary: Path
) -> None:
    saved = write_docker_archive(canary / "saved.tar", LAYERS)
    saved.write_bytes(saved.read_bytes().replace(b"1" * 100, b"1" * 99 + b"3", 1))

    with pytest.raises(BadImage, match="another digest"):
        await convert(service, f"docker-archive:{saved}")


async def test_the_configuration_of_docker_save_is_verified_by_its_name(
    service: FlistService, canary: Path
) -> None:
    saved = write_docker_archive(canary / "saved.tar", LAYERS)
    saved.write_bytes(saved.read_bytes().replace(b"/bin/sh", b"/bin/rm", 1))

    with pytest.raises(BadImage, match="another digest"):
        await convert(service, f"docker-archive:{saved}")


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"77777777777\0"])
async def test_an_archive_whose_member_claims_more_than_there_is(
    size: bytes, service: FlistService, canary: Path
) -> None:
    (canary / "a.tar").write_bytes(raw_header(b"manifest.json", b"0", 0, size=size) + bytes(9000))

    with pytest.raises(BadImage, match="truncated"):
        await convert(service, f"docker-archive:{canary / 'a.tar'}")


class Endless:
    """A blob that goes on for ever."""

    def __init__(self) -> None:
        self.given = 0

    def read(self, size: int, /) -> bytes:
        self.given += size
        return b"x" * size


def test_a_blob_that_is_longer_than_promised_is_not_read_to_its_end() -> None:
    endless = Endless()

    with pytest.raises(BadImage, match="longer"):
        VerifiedStream(endless, DIGEST, 1_000_000).finish()

    assert endless.given < 2_000_000


async def test_a_layer_that_is_a_link_to_another_is_found(
    service: FlistService, canary: Path
) -> None:
    layers = [LAYERS[0], LAYERS[0]]
    whole = write_docker_archive(canary / "whole.tar", layers)
    linked = write_docker_archive(canary / "linked.tar", layers, links={1: "../0/layer.tar"})

    assert linked.stat().st_size < whole.stat().st_size
    assert await convert(service, f"docker-archive:{linked}") == await convert(
        service, f"docker-archive:{whole}"
    )


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("", BadInput, "is not the source"),
        ("web:1", BadInput, "is not the source"),
        ("oci:", BadInput, "is not the source"),
        ("ftp:x", BadInput, "is not the source"),
        ("oci:{work}/none", NotFound, "no such file: .*none/index.json"),
        ("oci:{work}/layout:none", NotFound, "no image of tag 'none'.*latest"),
        ("docker-archive:{work}/none.tar", NotFound, "no such file"),
        ("docker-archive:{work}", BadInput, "Is a directory"),
        ("docker-archive:/dev/zero", BadInput, "is not a file"),
        ("docker-archive:{work}/layout/index.json", BadImage, "truncated"),
        ("docker-archive:{work}/some.tar", NotFound, "holds no 'manifest.json'"),
        ("docker-archive:{work}/some.tar.gz", BadInput, "gunzip"),
        ("dir:{work}/none", BadInput, "is not a directory"),
        ("dir:{work}/some.tar", BadInput, "is not a directory"),
        ("docker://UPPER/case", BadInput, "names no image"),
    ],
)
async def test_a_source_that_is_none_is_named(
    source: str, error: type[GridError], message: str, service: FlistService, canary: Path
) -> None:
    write_layout(canary / "layout", LAYERS)
    (canary / "some.tar").write_bytes(tar(member("f", b"x")))
    (canary / "some.tar.gz").write_bytes(b"\x1f\x8b" + bytes(1000))

    with pytest.raises(error, match=message) as raised:
        await convert(service, source.format(work=canary))

    assert "\n" not in str(raised.value)


def test_every_kind_of_source_can_be_written() -> None:
    assert [Source.parse(f"{kind}:x").kind for kind in KINDS] == list(KINDS)


DIGEST = "sha256:" + "0" * 64


def entry(**fields: object) -> dict[str, object]:
    return {"mediaType": "m", "digest": DIGEST, "size": 1, **fields}


def index(*platforms: str) -> Index:
    return Index(
        tuple(
            Descriptor("m", f"sha256:{number:064}", 1, one) for number, one in enumerate(platforms)
        )
    )


def test_the_image_for_our_nodes_is_chosen() -> None:
    found = index("linux/arm64", "linux/amd64", "unknown/unknown", "windows/amd64")

    assert choose_image(found) is found.manifests[1]


def test_an_index_without_an_image_for_our_nodes_is_not_found() -> None:
    with pytest.raises(NotFound, match="linux/arm64, windows/amd64 only"):
        choose_image(index("linux/arm64", "windows/amd64"))


def test_several_images_are_not_guessed_among() -> None:
    with pytest.raises(BadImage, match="several"):
        choose_image(index("", ""))


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"schemaVersion": 1, "fsLayers": []},
        {"schemaVersion": 2},
        {"schemaVersion": 2, "config": entry(size=-1), "layers": []},
        {"schemaVersion": 2, "config": entry(size=1 << 40), "layers": []},
        {"schemaVersion": 2, "config": entry(size=True), "layers": []},
        {"schemaVersion": 2, "config": entry(digest="sha256:../../etc/passwd"), "layers": []},
        {"schemaVersion": 2, "config": entry(digest="md5:" + "0" * 32), "layers": []},
        {"schemaVersion": 2, "config": entry(), "layers": [entry()] * 600},
        {"schemaVersion": 2, "config": entry(), "layers": {}},
        {"schemaVersion": 2, "config": entry(), "layers": ["x"]},
        {"schemaVersion": 2, "config": entry(), "layers": [entry(mediaType="x.encrypted")]},
        {"schemaVersion": 2, "manifests": [{}]},
        {"schemaVersion": 2, "manifests": [entry(platform="linux")]},
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(BadImage):
        parse_manifest(json.dumps(document).encode())


async def test_an_index_that_names_itself_ends(service: FlistService, canary: Path) -> None:
    """No index can hold its own digest; files need not tell the truth."""
    layout = write_layout(canary / "layout", LAYERS)
    blobs = layout / "blobs" / "sha256"
    data = (layout / "index.json").read_bytes()
    for _ in range(6):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        described = {"mediaType": OCI_INDEX, "digest": f"sha256:{digest}", "size": len(data)}
        data = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
    (layout / "index.json").write_bytes(data)

    with pytest.raises(BadImage, match="indexes of indexes"):
        await convert(service, f"oci:{layout}")
