"""Image → flist: layers or a directory go through the packer, the tree becomes a `.fl` file."""

import stat
from collections.abc import Callable
from dataclasses import dataclass

from p2pgrid.errors import BadImage
from p2pgrid.flist.fl import TAG_CONFIG, encode_flist
from p2pgrid.flist.image_config import STARTUP_FILE, canonical_config, startup_pieces
from p2pgrid.flist.layers import apply_layer, decompress
from p2pgrid.flist.oci import VerifiedStream
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.sources import Layer, LayeredImage
from p2pgrid.flist.tar import Stream
from p2pgrid.flist.tree import Entry, ImageTree, walk
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ChunkId, FlistId

OnBytes = Callable[[int, int], None]
"""Hears (bytes read, bytes in all)."""


@dataclass(frozen=True, slots=True)
class Converted:
    """An flist that was just made."""

    flist: FlistId
    data: bytes
    """The `.fl` file."""
    content_bytes: int
    """Plain bytes of all files."""
    entry_count: int
    chunk_count: int
    """Different chunks."""


def convert_layers(image: LayeredImage, packer: Packer, on_bytes: OnBytes) -> tuple[Entry, str]:
    """The tree of an image and what is kept of its configuration.

    Raises:
        BadImage: a layer or the configuration is damaged or hostile.
    """
    kept = canonical_config(image.config)
    tree = ImageTree()
    total = sum(layer.size for layer in image.layers)
    before = 0
    for number, layer in enumerate(image.layers):
        with image.open_layer(number) as stream:
            counted = _Counted(stream, before, total, on_bytes)
            _convert_layer(tree, counted, layer, packer)
        before = counted.count
    tree.begin_layer()
    pieces = startup_pieces(kept)
    startup = Entry(mode=stat.S_IFREG | 0o644, size=sum(map(len, pieces)))
    tree.add(STARTUP_FILE, startup)
    packer.pack(startup, pieces)
    return tree.root, kept


def finish(root: Entry, kept: str | None) -> Converted:
    """The `.fl` file of a tree whose blocks are all known; `kept`: its configuration, if any."""
    data = encode_flist(root, {TAG_CONFIG: kept} if kept is not None else {})
    entry_count, content_bytes = 0, 0
    chunks: set[ChunkId] = set()
    for _, entry in walk(root):
        entry_count += 1
        content_bytes += entry.size
        chunks.update(block.id for block in entry.blocks)
    return Converted(flist_id(data), data, content_bytes, entry_count, len(chunks))


def _convert_layer(tree: ImageTree, stored: Stream, layer: Layer, packer: Packer) -> None:
    """Apply one layer, and believe it only when its digest turned out right."""
    checked = VerifiedStream(stored, layer.digest, layer.size) if layer.digest else None
    plain = decompress(checked or stored)
    plain_checked = VerifiedStream(plain, layer.plain_digest, None) if layer.plain_digest else None
    if checked is None and plain_checked is None:
        raise BadImage("image has a layer without a digest")
    apply_layer(tree, plain_checked or plain, packer)
    for stream in (plain_checked, checked):
        if stream is not None:
            stream.finish()


class _Counted:
    """A stream that tells how far it is."""

    def __init__(self, stream: Stream, before: int, total: int, on_bytes: OnBytes) -> None:
        self._stream = stream
        self._total = total
        self._on_bytes = on_bytes
        self.count = before

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self.count += len(data)
        self._on_bytes(self.count, self._total)
        return data
