"""Layers → tree, in one streaming pass: nothing is ever unpacked into the file system."""

import stat
import zlib
from typing import IO, cast

import zstandard

from p2pgrid.errors import BadImage
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.tar import Member, MemberKind, Stream, TarReader
from p2pgrid.flist.tree import Entry, ImageTree, device_number
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import ZSTD_WINDOW_BYTES_MAX

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_COMPRESSED_BYTES = 128 * 1024
_CONSOLE = (5, 1)
_KINDS = {
    MemberKind.FILE: stat.S_IFREG,
    MemberKind.SYMLINK: stat.S_IFLNK,
    MemberKind.CHARACTER_DEVICE: stat.S_IFCHR,
    MemberKind.BLOCK_DEVICE: stat.S_IFBLK,
    MemberKind.DIRECTORY: stat.S_IFDIR,
    MemberKind.FIFO: stat.S_IFIFO,
}


def apply_layer(tree: ImageTree, plain: Stream, packer: Packer) -> None:
    """Apply one layer, an uncompressed tar archive, on top of `tree`.

    Raises:
        BadImage: the archive is damaged or hostile. The tree is of no use then.
    """
    tree.begin_layer()
    reader = TarReader(plain)
    for member in reader:
        if member.kind is MemberKind.HARD_LINK:
            tree.link(member.path, member.target)
        elif (member.major, member.minor) == _CONSOLE and _is_device(member):
            continue  # the runtime makes it, and the one of the host is not for containers
        else:
            entry = _entry(member)
            if tree.add(member.path, entry):
                packer.pack(entry, reader.blocks() if entry.size else ())


def _entry(member: Member) -> Entry:
    is_link = member.kind is MemberKind.SYMLINK
    return Entry(
        mode=_KINDS[member.kind] | (0o777 if is_link else member.mode),
        uid=member.uid,
        gid=member.gid,
        mtime=member.mtime,
        rdev=device_number(member.major, member.minor),
        size=member.size,
        target=member.target if is_link else b"",
    )


def _is_device(member: Member) -> bool:
    return member.kind in (MemberKind.CHARACTER_DEVICE, MemberKind.BLOCK_DEVICE)


def decompress(stream: Stream) -> Stream:
    """The plain bytes of a layer, which its first bytes tell: gzip, zstd or plain tar."""
    head = b""
    while len(head) < len(_ZSTD) and (data := stream.read(len(_ZSTD) - len(head))):
        head += data
    rest = _WithHead(head, stream)
    if head.startswith(_GZIP):
        return _Gzip(rest)
    return _Zstd(rest) if head == _ZSTD else rest


class _WithHead:
    """A stream with bytes put back in front."""

    def __init__(self, head: bytes, stream: Stream) -> None:
        self._head = head
        self._stream = stream

    def read(self, size: int, /) -> bytes:
        if not self._head:
            return self._stream.read(size)
        data, self._head = self._head[:size], self._head[size:]
        return data


class _Gzip:
    """Gzip members, one after the other; never more plain bytes at once than asked for."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._inflater = zlib.decompressobj(wbits=31)
        self._compressed = b""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._inflater.eof:
                rest = self._inflater.unused_data or self._stream.read(_COMPRESSED_BYTES)
                if not rest:
                    return b""
                self._inflater, self._compressed = zlib.decompressobj(wbits=31), rest
            elif not self._compressed:
                self._compressed = self._stream.read(_COMPRESSED_BYTES)
                if not self._compressed:
                    raise BadImage("layer is truncated: its gzip stream does not end")
            try:
                data = self._inflater.decompress(self._compressed, size)
            except zlib.error as error:
                raise BadImage(f"layer is damaged: {error}") from error
            self._compressed = self._inflater.unconsumed_tail
            if data:
                return data


class _Zstd:
    """Zstandard frames, one after the other."""

    def __init__(self, stream: Stream) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
        source = cast("IO[bytes]", stream)  # `read` is all that is called
        self._reader = decompressor.stream_reader(
            source, read_size=_COMPRESSED_BYTES, read_across_frames=True
        )

    def read(self, size: int, /) -> bytes:
        try:
            return self._reader.read(min(size, CHUNK_BYTES))
        except zstandard.ZstdError as error:
            raise BadImage(f"layer is damaged: {error}") from error
