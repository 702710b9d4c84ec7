"""An flist as an OCI image archive, so that every other tool can take it (shell: writes a file).

The archive is a tar file with an OCI image layout of one plain layer. It is written in one pass:
the layer's name, which is its digest, is filled in when its end is known. Equal flists give equal
bytes, and converting the archive gives the same flist again.

What the format cannot say is refused: a name that begins with `.wh.` would remove a file.
Sockets are left out. So is `.startup.toml` when it is the one that converting made.
"""

import json
import os
import stat
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from p2pgrid.errors import BadImage
from p2pgrid.flist.blocks import block_lengths, encode_block
from p2pgrid.flist.fl import TAG_CONFIG
from p2pgrid.flist.fl_reader import Flist
from p2pgrid.flist.image_config import (
    ARCHITECTURE,
    OPERATING_SYSTEM,
    STARTUP_FILE,
    canonical_config,
    startup_pieces,
)
from p2pgrid.flist.oci import INDEX_TYPES, MANIFEST_TYPES, REFERENCE_NAME
from p2pgrid.flist.tree import WHITEOUT, Entry, device_major, device_minor, show, walk
from p2pgrid.flist.unpack import PlainBytes

_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_BLOCK_BYTES = 512  # of tar
_BLOBS = "blobs/sha256"
_NO_CONFIG = json.dumps({"os": OPERATING_SYSTEM, "architecture": ARCHITECTURE})
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


@dataclass(frozen=True, slots=True)
class Exported:
    """An archive that was just written."""

    layer: str
    """Digest of the plain layer."""
    manifest: str
    """Digest of the manifest, by which registries know the image."""
    left_out: int
    """Sockets."""


def write_oci_archive(file: BinaryIO, found: Flist, tag: str, plain_bytes: PlainBytes) -> Exported:
    """Write an flist to an empty file that can seek; one block is held in memory.

    Args:
        file: at its beginning.
        found: the flist.
        tag: what the image is called in the archive.
        plain_bytes: gives the blocks of files, in the order of `walk`.

    Raises:
        BadImage: it has what no layer can hold, or an impossible configuration.
        OSError: the disk refused.
        GridError: whatever `plain_bytes` raises.
    """
    kept = canonical_config((found.tags.get(TAG_CONFIG) or _NO_CONFIG).encode())
    archive = _Archive(file)
    archive.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    file.writelines(_directory_header(name) for name in ("blobs", _BLOBS))
    layer = _Layer(archive, plain_bytes)
    for path, entry in walk(found.root):
        if not (path == STARTUP_FILE and _is_made_by_us(entry, kept)):
            layer.add(path, entry)
    digest, size = layer.finish()
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest}"]}
    config = archive.add_blob(_json({**json.loads(kept), "rootfs": rootfs}))
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPES[0],
        "config": {"mediaType": _CONFIG_TYPE, **config},
        "layers": [{"mediaType": _LAYER_TYPE, "digest": f"sha256:{digest}", "size": size}],
    }
    described = archive.add_blob(_json(manifest))
    listed = {
        "mediaType": MANIFEST_TYPES[0],
        **described,
        "annotations": {REFERENCE_NAME: tag},
    }
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": [listed]}
    archive.add("index.json", _json(index))
    file.write(bytes(2 * _BLOCK_BYTES))
    return Exported(f"sha256:{digest}", str(described["digest"]), layer.left_out)


class _Archive:
    """The outer tar file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def add(self, name: str, data: bytes) -> None:
        """A whole file."""
        self.file.write(_file_header(name, len(data)))
        self.file.write(data + _padding(len(data)))

    def add_blob(self, data: bytes) -> dict[str, str | int]:
        """A file known by its digest; gives what a descriptor says of it."""
        digest = sha256(data).hexdigest()
        self.add(f"{_BLOBS}/{digest}", data)
        return {"digest": f"sha256:{digest}", "size": len(data)}


class _Layer:
    """The layer, which is written into the archive while its digest is made."""

    def __init__(self, archive: _Archive, plain_bytes: PlainBytes) -> None:
        self.left_out = 0
        self._file = archive.file
        self._plain_bytes = plain_bytes
        self._header_at = self._file.tell()
        self._hash = sha256()
        self._size = 0
        self._file.write(bytes(_BLOCK_BYTES))

    def add(self, path: bytes, entry: Entry) -> None:
        """An entry with its content."""
        if stat.S_ISSOCK(entry.mode):
            self.left_out += 1
            return
        if path.rpartition(b"/")[2].startswith(WHITEOUT):
            raise BadImage(f"{show(path)} would remove a file, so no layer can hold it")
        self._write(_entry_header(path, entry))
        for block, length in zip(entry.blocks, block_lengths(entry.size), strict=True):
            self._write(self._plain_bytes(block, length))
        self._write(_padding(entry.size))

    def finish(self) -> tuple[str, int]:
        """End the layer and name it; gives its digest and size."""
        self._write(bytes(2 * _BLOCK_BYTES))
        digest = self._hash.hexdigest()
        self._file.seek(self._header_at)
        self._file.write(_file_header(f"{_BLOBS}/{digest}", self._size))
        self._file.seek(0, os.SEEK_END)
        return digest, self._size  # of whole blocks, so nothing is to be filled up

    def _write(self, data: bytes | bytearray) -> None:
        self._hash.update(data)
        self._size += len(data)
        self._file.write(data)


def _is_made_by_us(entry: Entry, kept: str) -> bool:
    return entry.blocks == [encode_block(piece)[0] for piece in startup_pieces(kept)]


def _file_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return _header(info)


def _directory_header(name: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return _header(info)


def _entry_header(path: bytes, entry: Entry) -> bytes:
    info = tarfile.TarInfo(path.decode(errors="surrogateescape") or ".")
    info.type = _KINDS[entry.kind]
    info.mode = stat.S_IMODE(entry.mode)
    info.uid, info.gid = entry.uid, entry.gid
    info.mtime = entry.mtime
    info.size = entry.size
    info.linkname = entry.target.decode(errors="surrogateescape")
    if stat.S_ISCHR(entry.mode):
        info.devmajor, info.devminor = device_major(entry.rdev), device_minor(entry.rdev)
    return _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    """In the form of GNU tar, which takes names of any bytes and numbers of any size."""
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK_BYTES)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
