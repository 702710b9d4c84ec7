"""Where images come from on this machine, and how a source is written (shell: reads files).

docker-archive:FILE      what `docker save` writes
oci:DIR[:TAG]            an OCI image layout
oci-archive:FILE[:TAG]   the same in a tar file
dir:PATH                 a plain directory tree
docker://…               a registry, see `registry`
"""

import os
import posixpath
import re
import stat
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from p2pgrid.errors import BadImage, BadInput, NotFound
from p2pgrid.flist.documents import parse_documents, text, texts
from p2pgrid.flist.image_config import diff_ids
from p2pgrid.flist.oci import Descriptor, Index, choose_image, parse_manifest, verify
from p2pgrid.flist.tar import MemberKind, Stream, TarReader
from p2pgrid.limits.chunks import IMAGE_ENTRIES_MAX
from p2pgrid.limits.flist import IMAGE_INDEX_DEPTH_MAX, IMAGE_MANIFEST_BYTES_MAX

KINDS = ("docker-archive", "oci", "oci-archive", "dir", "docker")
_CONFIG_DIGEST = re.compile(r"(?:^|/)([0-9a-f]{64})(?:\.json)?$")
_HINT = "write docker://registry/repository:tag, docker-archive:FILE, oci:DIR or dir:PATH"


@dataclass(frozen=True, slots=True)
class Source:
    """What a person named: `kind:rest`."""

    kind: str
    rest: str

    @classmethod
    def parse(cls, source: str) -> "Source":
        """Read a source. Raises BadInput.

        >>> Source.parse("oci:/srv/web:1").rest
        '/srv/web:1'
        """
        kind, colon, rest = source.partition(":")
        if kind not in KINDS or not colon or not rest or "\0" in rest:
            raise BadInput(f"{source!r} is not the source of an image; {_HINT}")
        return cls(kind, rest.removeprefix("//") if kind == "docker" else rest)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, and how it is verified: by its own digest or by that of its plain bytes."""

    size: int
    digest: str = ""
    plain_digest: str = ""


class LayeredImage(Protocol):
    """An image in layers, found and chosen; its documents verified, its layers not yet."""

    @property
    def config(self) -> bytes:
        """The OCI configuration, JSON."""
        ...

    @property
    def layers(self) -> Sequence[Layer]:
        """Lowest first."""
        ...

    def open_layer(self, number: int) -> AbstractContextManager[Stream]:
        """A context in which the layer's bytes can be read, as they are stored."""
        ...


class Files(Protocol):
    """Files by name: a directory, or a tar archive."""

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """A file at its beginning, and its size. Raises NotFound."""
        ...


class DirectoryFiles:
    """Files beneath a directory. The names asked for are constants and digests."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """As `Files`."""
        return _open(self._top / name)


class ArchiveFiles:
    """Files in a tar archive on disk, by an index made in one pass over its headers."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        file, size = _open(path)
        with file:
            self._index(file, size)

    def open(self, name: str) -> tuple[BinaryIO, int]:
        """As `Files`."""
        name = self._links.get(name, name)
        if name not in self._places:
            raise NotFound(f"{self._path} holds no {name!r}; it is not such an image archive")
        offset, size = self._places[name]
        file, _ = _open(self._path)
        file.seek(offset)
        return file, size

    def _index(self, file: BinaryIO, size: int) -> None:
        if file.read(2) == b"\x1f\x8b":
            raise BadInput(f"{self._path} is compressed; run gunzip on it first")
        file.seek(0)

        def skip(count: int) -> None:
            if file.tell() + count > size:
                raise BadImage(f"{self._path} is truncated")
            file.seek(count, os.SEEK_CUR)

        for member in TarReader(file, skip=skip):
            name = posixpath.normpath(member.path.decode(errors="replace"))
            if len(self._places) > IMAGE_ENTRIES_MAX:
                raise BadImage(f"{self._path} holds too many files")
            if member.kind is MemberKind.FILE:
                self._places[name] = (file.tell(), member.size)
            elif member.kind in (MemberKind.SYMLINK, MemberKind.HARD_LINK):
                # Old versions of docker save write a layer that occurs twice as a link.
                target = member.target.decode(errors="replace")
                top = posixpath.dirname(name) if member.kind is MemberKind.SYMLINK else ""
                self._links[name] = posixpath.normpath(posixpath.join(top, target))


class _FileStream:
    """The part of a file that one member of an archive takes."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int, /) -> bytes:
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


class FileImage:
    """An image whose documents and layers are files."""

    def __init__(
        self, files: Files, config: bytes, layers: Sequence[Layer], names: Sequence[str]
    ) -> None:
        self._files = files
        self._names = names
        self.config = config
        self.layers = layers

    @contextmanager
    def open_layer(self, number: int) -> Generator[Stream]:
        """As `LayeredImage`."""
        file, size = self._files.open(self._names[number])
        with file:
            yield _FileStream(file, size)


def open_layout(files: Files, name: str) -> FileImage:
    """The image in an OCI layout, of tag `name` if that is not empty.

    Raises:
        NotFound: a file, the tag or an image for our nodes is missing.
        BadImage: a document is broken or does not have its digest.
    """
    data = _read(files, "index.json")
    for depth in range(IMAGE_INDEX_DEPTH_MAX):
        found = parse_manifest(data)
        if not isinstance(found, Index):
            break
        data = _read_blob(files, choose_image(found, name="" if depth else name))
    else:
        raise BadImage("indexes of indexes of indexes: the image is never reached")
    layers = [Layer(layer.size, digest=layer.digest) for layer in found.layers]
    names = [_blob_name(layer.digest) for layer in found.layers]
    return FileImage(files, _read_blob(files, found.config), layers, names)


def open_docker_archive(files: Files) -> FileImage:
    """The image that `docker save` wrote; layers are verified by the digests in its config.

    Raises:
        NotFound: a file is missing.
        BadImage: a document is broken, or there are several images.
    """
    documents = parse_documents(_read(files, "manifest.json"), "manifest.json")
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise BadImage(f"archive of {len(documents)} images; save one alone")
    config_name, names = text(documents[0], "Config"), texts(documents[0], "Layers")
    config = _read(files, posixpath.normpath(config_name))
    if named := _CONFIG_DIGEST.search(config_name):
        verify(config, Descriptor("", f"sha256:{named[1]}", len(config)))
    plain_digests = diff_ids(config)
    if len(plain_digests) != len(names):
        raise BadImage(f"image of {len(names)} layers, but digests for {len(plain_digests)}")
    names = tuple(posixpath.normpath(name) for name in names)
    layers = []
    for name, digest in zip(names, plain_digests, strict=True):
        file, size = files.open(name)
        file.close()
        layers.append(Layer(size, plain_digest=digest))
    return FileImage(files, config, layers, names)


def split_tag(rest: str) -> tuple[Path, str]:
    """The path and tag of `PATH[:TAG]`; a path that exists as it stands has no tag."""
    path, colon, tag = rest.rpartition(":")
    if not colon or Path(rest).exists():
        return Path(rest), ""
    return Path(path), tag


def _read(files: Files, name: str) -> bytes:
    file, size = files.open(name)
    with file:
        if size > IMAGE_MANIFEST_BYTES_MAX:
            raise BadImage(f"{name} has {size} bytes; {IMAGE_MANIFEST_BYTES_MAX} is the limit")
        return file.read(size)


def _read_blob(files: Files, descriptor: Descriptor) -> bytes:
    return verify(_read(files, _blob_name(descriptor.digest)), descriptor)


def _blob_name(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _open(path: Path) -> tuple[BinaryIO, int]:
    """A regular file; anything else could block or never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(file.fileno())
    except FileNotFoundError as error:
        raise NotFound(f"no such file: {path}") from error
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        file.close()
        raise BadInput(f"{path} is not a file")
    return file, status.st_size
