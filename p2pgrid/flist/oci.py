"""OCI and Docker images as documents: manifests, indexes, descriptors, digests.

Formats: OCI image specification 1.1 (manifest, image-index, descriptor) and Docker image
manifest version 2, schema 2. Both are the same but for their media types.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import new as new_hash

from p2pgrid.errors import BadImage, NotFound
from p2pgrid.flist.documents import items, mapping, parse_document, text
from p2pgrid.flist.image_config import ARCHITECTURE, OPERATING_SYSTEM
from p2pgrid.flist.tar import Stream
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import IMAGE_LAYER_BYTES_MAX, IMAGE_LAYERS_MAX, IMAGE_MANIFEST_BYTES_MAX

MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_DIGEST = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
_VARIANTS = ("", "v1")
_UNREADABLE_LAYERS = ("nondistributable", "foreign", "encrypted")
REFERENCE_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A reference to a blob: what it is, its digest and its exact size."""

    media_type: str
    digest: str
    size: int
    platform: str = ""
    """`os/architecture`, where an index says it."""
    name: str = ""
    """The tag, where an OCI layout says it."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its configuration and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Several images, usually one for each kind of machine."""

    manifests: tuple[Descriptor, ...]


def parse_manifest(data: bytes) -> Manifest | Index:
    """Read a manifest or an index. Raises BadImage."""
    document = parse_document(data, "manifest")
    if document.get("schemaVersion") != 2:
        raise BadImage("manifest of another version than 2; push the image again with a new tool")
    if "manifests" in document:
        found = items(document, "manifests")
        return Index(tuple(_descriptor(one, IMAGE_MANIFEST_BYTES_MAX) for one in found))
    layers = tuple(_descriptor(one, IMAGE_LAYER_BYTES_MAX) for one in items(document, "layers"))
    if len(layers) > IMAGE_LAYERS_MAX:
        raise BadImage(f"image of {len(layers)} layers; {IMAGE_LAYERS_MAX} is the limit")
    for layer in layers:
        if any(word in layer.media_type for word in _UNREADABLE_LAYERS):
            raise BadImage(f"image has a layer of type {layer.media_type}, which cannot be read")
    return Manifest(_descriptor(document.get("config"), IMAGE_MANIFEST_BYTES_MAX), layers)


def choose_image(index: Index, *, name: str = "") -> Descriptor:
    """The member of an index that our nodes can run; `name`: only those of this tag.

    Raises:
        NotFound: there is none.
        BadImage: there are several.
    """
    named = [one for one in index.manifests if not name or one.name == name]
    if not named:
        raise NotFound(f"no image of tag {name!r} there; it has {_listed(index.manifests)}")
    fitting = [one for one in named if one.platform in ("", f"{OPERATING_SYSTEM}/{ARCHITECTURE}")]
    exact = [one for one in fitting if one.platform] or fitting
    if not exact:
        platforms = ", ".join(sorted({one.platform for one in named}))
        raise NotFound(f"image is made for {platforms} only; nodes run linux/amd64")
    if len({one.digest for one in exact}) > 1:
        raise BadImage(f"there are several images, say which by :TAG: {_listed(exact)}")
    return exact[0]


def check_digest(digest: str) -> str:
    """`digest`, when it is one that we can verify. Raises BadImage."""
    if not _DIGEST.fullmatch(digest):
        raise BadImage(f"{digest[:80]!r} is not a sha256 or sha512 digest")
    return digest


def verify(data: bytes, descriptor: Descriptor) -> bytes:
    """`data` itself, when it is the blob described. Raises BadImage."""
    stream = VerifiedStream(_Whole(data), descriptor.digest, descriptor.size)
    stream.read(len(data) + 1)
    stream.finish()
    return data


class VerifiedStream:
    """A stream that turns out to be another one than promised only at its end: `finish`."""

    def __init__(self, stream: Stream, digest: str, size: int | None) -> None:
        self._stream = stream
        self._digest = check_digest(digest)
        self._size = size
        self._hash = new_hash(digest.partition(":")[0])
        self.bytes_read = 0

    def read(self, size: int, /) -> bytes:
        """As `Stream`. Raises BadImage at once when there is more than promised."""
        data = self._stream.read(size)
        self._hash.update(data)
        self.bytes_read += len(data)
        if self._size is not None and self.bytes_read > self._size:
            raise BadImage(f"{self._digest[:19]} is longer than the {self._size} bytes promised")
        return data

    def finish(self) -> None:
        """Read what is left, and raise BadImage unless all was as promised."""
        while self.read(CHUNK_BYTES):
            pass
        if self._size is not None and self.bytes_read != self._size:
            raise BadImage(f"{self._digest[:19]} is truncated at {self.bytes_read} bytes")
        if self._hash.hexdigest() != self._digest.partition(":")[2]:
            raise BadImage(f"{self._digest[:19]} is damaged: its bytes have another digest")


class _Whole:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, /) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


def _descriptor(value: object, bytes_max: int) -> Descriptor:
    if not isinstance(value, dict):
        raise BadImage("manifest without a descriptor where one belongs")
    size = value.get("size")
    if type(size) is not int or not 0 <= size <= bytes_max:
        raise BadImage(f"manifest names a blob of {str(size)[:40]} bytes; {bytes_max} is the limit")
    return Descriptor(
        media_type=text(value, "mediaType"),
        digest=check_digest(text(value, "digest")),
        size=size,
        platform=_platform(mapping(value, "platform")),
        name=text(mapping(value, "annotations"), REFERENCE_NAME),
    )


def _platform(platform: Mapping[str, object]) -> str:
    if not platform:
        return ""
    name = f"{text(platform, 'os')}/{text(platform, 'architecture')}"
    variant = text(platform, "variant")
    return name if variant in _VARIANTS else f"{name}/{variant}"


def _listed(found: Sequence[Descriptor]) -> str:
    return ", ".join(sorted(one.name or one.digest[:19] for one in found)) or "none"
