"""Builds layers and images, good and bad ones, for the tests of this folder."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import zstandard

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.flist.blocks import Block, decode_block
from p2pgrid.flist.layers import apply_layer, decompress
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.tree import Entry, ImageTree, walk
from p2pgrid.model.ids import ChunkId

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def member(
    name: str, data: bytes = b"", *, kind: bytes = tarfile.REGTYPE, **fields: object
) -> tuple[tarfile.TarInfo, bytes]:
    """One member of an archive; `fields` are attributes of TarInfo."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def directory(name: str, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info, data = member(name, kind=tarfile.DIRTYPE, mode=0o755)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def symlink(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.SYMTYPE, linkname=target)


def hard_link(name: str, target: str) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=tarfile.LNKTYPE, linkname=target)


def device(name: str, major: int, minor: int, kind: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, kind=kind, devmajor=major, devminor=minor)


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def raw_header(name: bytes, kind: bytes, length: int, **fields: bytes) -> bytes:
    """A header block of tar with a right checksum around any nonsense."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136] = f"{length:011o}\0".encode() if length >= 0 else b"\xff" * 12
    block[136:148], block[156:157], block[257:265] = b"00000000000\0", kind, b"ustar\00000"
    for field, value in fields.items():
        start = {"size": 124, "mode": 100, "uid": 108, "linkname": 157, "mtime": 136}[field]
        block[start : start + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


class Chunks(dict[ChunkId, bytes]):
    """Where a packer of the tests puts chunks."""

    def put(self, blobs: Sequence[Blob]) -> None:
        self.update((blob.chunk, bytes(blob.data)) for blob in blobs)

    def plain(self, block: Block, length: int) -> bytearray:
        return decode_block(block, self[block.id], plain_bytes=length)

    def content(self, entry: Entry) -> bytes:
        sizes = [min(524288, entry.size - at) for at in range(0, entry.size, 524288)]
        return b"".join(
            self.plain(block, size) for block, size in zip(entry.blocks, sizes, strict=True)
        )


def apply(*layers: bytes) -> tuple[ImageTree, Chunks]:
    """The tree of layers, compressed or not, and the chunks of its files."""
    tree, chunks = ImageTree(), Chunks()
    with Packer(chunks.put, threads=1) as packer:
        for layer in layers:
            apply_layer(tree, decompress(io.BytesIO(layer)), packer)
    return tree, chunks


def paths(tree: ImageTree) -> list[str]:
    return [path.decode() for path, _ in walk(tree.root)][1:]


def write_layout(
    top: Path,
    layers: Sequence[bytes],
    *,
    config: Mapping[str, object] | None = None,
    compress: str = "gzip",
    platform: tuple[str, str] = ("linux", "amd64"),
) -> Path:
    """An OCI image layout of plain layers."""
    blobs = top / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(data: bytes, media_type: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    how: Callable[[bytes], bytes] = {
        "gzip": lambda data: gzip.compress(data, mtime=0),
        "zstd": zstandard.compress,
        "plain": bytes,
    }[compress]
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    document = {
        "os": platform[0],
        "architecture": platform[1],
        "config": dict(config or {"Cmd": ["/bin/sh"]}),
        "rootfs": {"type": "layers", "diff_ids": digests},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": put(json.dumps(document).encode(), OCI_CONFIG),
        "layers": [put(how(layer), OCI_LAYER) for layer in layers],
    }
    described = put(json.dumps(manifest).encode(), OCI_MANIFEST)
    described["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    index = {"schemaVersion": 2, "manifests": [described]}
    (top / "index.json").write_text(json.dumps(index))
    (top / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return top


def write_docker_archive(
    path: Path, layers: Sequence[bytes], *, links: Mapping[int, str] | None = None
) -> Path:
    """What `docker save` writes, of plain layers; some may be links to others."""
    digests = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": digests},
        }
    ).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": name, "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    files = [
        member(name, config),
        member("manifest.json", json.dumps(manifest).encode()),
        *(
            symlink(f"{n}/layer.tar", links[n])
            if links and n in links
            else member(f"{n}/layer.tar", layer)
            for n, layer in enumerate(layers)
        ),
    ]
    path.write_bytes(tar(*files))
    return path
