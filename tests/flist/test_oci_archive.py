"""An exported flist is an image again: the same tree, the same configuration, the same flist."""

import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from p2pgrid.errors import BadImage
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.fl import TAG_CONFIG, encode_flist
from p2pgrid.flist.fl_reader import Flist, decode_flist
from p2pgrid.flist.image_config import STARTUP_FILE
from p2pgrid.flist.oci_archive import Exported, write_oci_archive
from p2pgrid.flist.service import FlistService
from p2pgrid.flist.tree import Entry
from p2pgrid.model.flist import flist_id
from tests.flist.archives import (
    Chunks,
    apply,
    device,
    directory,
    hard_link,
    member,
    symlink,
    tar,
    write_layout,
)

LAYERS = [
    tar(
        directory("./", mode=0o711, mtime=3),
        member("bin/tool", b"#!" + os.urandom(600_000), mode=0o4755, uid=3_000_000, mtime=2**33),
        hard_link("bin/other", "bin/tool"),
        symlink("link", "../" * 60 + "etc"),
        member("n" * 200 + "/" + "m" * 250, b"long"),
        member(b"\xff\xfe".decode(errors="surrogateescape"), b"no UTF-8"),
        member("zeros", bytes(2_000_000)),
        member("pipe", kind=b"6"),
        device("dev/null", 1, 3, tarfile.CHRTYPE),
    )
]
CONFIG = {"Cmd": ["/bin/tool"], "Env": ["A=b"], "Labels": {"x": "ü"}, "Healthcheck": {"Test": []}}


def ignore(progress: Progress) -> None:
    """For conversions whose progress is of no interest."""


def exported(
    root: Entry, chunks: Chunks, tags: dict[str, str] | None = None
) -> tuple[bytes, Exported]:
    found = decode_flist(encode_flist(root, tags or {}))
    out = io.BytesIO()
    made = write_oci_archive(out, found, "1", chunks.plain)
    return out.getvalue(), made


async def test_what_was_exported_and_is_converted_again_is_the_same_flist(
    service: FlistService, canary: Path
) -> None:
    layout = write_layout(canary / "layout", LAYERS, config=CONFIG)
    made = await service.convert(f"oci:{layout}", ignore)
    found = await service.read(made.flist)
    chunks = Chunks()
    for _, blocks in ((one, one.blocks) for one in all_files(found.root)):
        chunks.update({block.id: await service._chunks.get(block.id) for block in blocks})

    archives = []
    for name in ("first", "second"):
        with (canary / name).open("wb") as file:
            write_oci_archive(file, found, "1", chunks.plain)
        archives.append((canary / name).read_bytes())
    again = await service.convert(f"oci-archive:{canary / 'first'}:1", ignore)

    assert archives[0] == archives[1]
    assert again.flist == made.flist
    assert again.flist == flist_id(again.data)
    members = layer_names(archives[0])
    assert STARTUP_FILE.decode() not in members
    assert "bin/tool" in members


def all_files(entry: Entry) -> list[Entry]:
    below = [one for child in entry.children.values() for one in all_files(child)]
    return [entry, *below]


def files_in(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {
            one.name: read.read()
            for one in opened.getmembers()
            if (read := opened.extractfile(one)) is not None
        }


def layer_names(archive: bytes) -> list[str]:
    files = files_in(archive)
    (described,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files["blobs/" + described["digest"].replace(":", "/")])
    layer = files["blobs/" + manifest["layers"][0]["digest"].replace(":", "/")]
    with tarfile.open(fileobj=io.BytesIO(layer)) as opened:
        return opened.getnames()


def test_every_digest_and_size_is_that_of_the_file() -> None:
    tree, chunks = apply(*LAYERS)
    archive, made = exported(tree.root, chunks)
    files = files_in(archive)

    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            assert hashlib.sha256(data).hexdigest() == name.rpartition("/")[2]
    (described,) = json.loads(files["index.json"])["manifests"]
    assert described["digest"] == made.manifest
    assert described["annotations"] == {"org.opencontainers.image.ref.name": "1"}
    manifest = json.loads(files["blobs/" + made.manifest.replace(":", "/")])
    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]] == [made.layer]
    for blob in (manifest["config"], manifest["layers"][0], described):
        assert blob["size"] == len(files["blobs/" + blob["digest"].replace(":", "/")])


def test_a_startup_file_of_the_image_itself_is_kept() -> None:
    tree, chunks = apply(tar(member(".startup.toml", b"[startup.entry]\n# our own\n")))

    assert ".startup.toml" in layer_names(exported(tree.root, chunks)[0])


def test_a_name_that_a_layer_would_take_for_a_removal_is_refused() -> None:
    """In a tree made of a directory it is a file like others."""
    root = Entry(mode=stat.S_IFDIR | 0o755)
    root.children = {b".wh.etc": Entry(mode=stat.S_IFREG | 0o644)}

    with pytest.raises(BadImage, match="would remove a file"):
        exported(root, Chunks())


def test_sockets_are_left_out_and_counted() -> None:
    root = Entry(mode=stat.S_IFDIR | 0o755)
    root.children = {b"s": Entry(mode=stat.S_IFSOCK | 0o600)}

    archive, made = exported(root, Chunks())

    assert made.left_out == 1
    assert layer_names(archive) == ["."]


@pytest.mark.parametrize(
    "kept", ["{", '{"os":"plan9","architecture":"amd64"}', '{"os":"linux","architecture":"arm64"}']
)
def test_an_impossible_configuration_is_refused(kept: str) -> None:
    with pytest.raises(BadImage):
        exported(Entry(mode=stat.S_IFDIR | 0o755), Chunks(), {TAG_CONFIG: kept})


def test_only_what_says_how_an_image_runs_gets_into_its_configuration() -> None:
    """A tag may hold anything; other tools trust what they read here."""
    kept = json.dumps(
        {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["x"], "OnBuild": ["evil"]},
         "rootfs": {"diff_ids": ["sha256:evil"]}, "history": [1]}
    )  # fmt: skip
    archive, made = exported(Entry(mode=stat.S_IFDIR | 0o755), Chunks(), {TAG_CONFIG: kept})
    files = files_in(archive)
    manifest = json.loads(files["blobs/" + made.manifest.replace(":", "/")])

    config = json.loads(files["blobs/" + manifest["config"]["digest"].replace(":", "/")])

    assert config == {
        "os": "linux",
        "architecture": "amd64",
        "config": {"Cmd": ["x"]},
        "rootfs": {"type": "layers", "diff_ids": [made.layer]},
    }


def test_an_flist_without_configuration_can_be_exported() -> None:
    found = Flist(Entry(mode=stat.S_IFDIR | 0o755), {}, 1, 0)
    out = io.BytesIO()

    write_oci_archive(out, found, "latest", Chunks().plain)

    assert len(out.getvalue()) % 512 == 0
