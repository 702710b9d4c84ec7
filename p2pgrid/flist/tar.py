"""A strict reader of tar streams: what layers are written in.

Reads ustar, GNU (long names, base-256 numbers, sparse files) and pax (with the three sparse
forms of GNU tar). Unlike the standard library it never holds more of a hostile archive in memory
than TAR_HEADER_BYTES_MAX plus one chunk, and every oddity is an error instead of a guess.
Names are bytes; what they may be is for `tree` to judge. Formats: POSIX pax, GNU tar manual.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from p2pgrid.errors import BadImage
from p2pgrid.flist.tar_headers import (
    BLOCK_BYTES,
    Segment,
    check_segments,
    old_sparse_segments,
    parse_decimal,
    parse_number,
    parse_pax,
    parse_time,
    pax_segments,
    text_field,
    verify_checksum,
)
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import (
    TAR_HEADER_BYTES_MAX,
    TAR_SPARSE_SEGMENTS_MAX,
    TAR_TRAILER_BYTES_MAX,
)

_ZERO_CHUNK = bytes(CHUNK_BYTES)
_MAP_LINE_BYTES_MAX = 20
_EXTENSIONS_MAX = 16


class Stream(Protocol):
    """Where bytes come from, in order."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; b"" at the end. Raises BadImage when they cannot be decoded."""
        ...


class MemberKind(Enum):
    """What a member of an archive is."""

    FILE = b"0"
    HARD_LINK = b"1"
    SYMLINK = b"2"
    CHARACTER_DEVICE = b"3"
    BLOCK_DEVICE = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry of an archive, as it says of itself."""

    kind: MemberKind
    path: bytes
    target: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    """Plain bytes of a file, holes included."""
    major: int
    minor: int


class TarReader:
    """The members of one archive in order, each with its data.

    After a member was yielded, `blocks` gives its data, once; what is not taken is skipped.
    """

    def __init__(self, stream: Stream, *, skip: Callable[[int], None] | None = None) -> None:
        """Read from `stream`; `skip` passes over bytes of it cheaper than reading does."""
        self._stream = stream
        self._skip_stream = skip
        self._is_begun = False
        self._left = 0
        """Bytes of the present member that are stored but not read yet."""
        self._padding = 0
        self._size = 0
        self._segments: list[Segment] = []
        self._global: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Member]:
        """Members until the end of the archive. Raises BadImage."""
        while (member := self._next_member()) is not None:
            yield member
            self._skip(self._left + self._padding)
        trailer = 0  # padding, which the digest of the layer covers
        while data := self._stream.read(CHUNK_BYTES):
            trailer += len(data)
            if trailer > TAR_TRAILER_BYTES_MAX:
                raise BadImage("archive goes on for long after its end")

    def blocks(self) -> Iterator[bytes]:
        """Data of the present member in pieces of CHUNK_BYTES, the last one shorter."""
        if len(self._segments) == 1 and self._segments[0] == Segment(0, self._size):
            while self._left:
                yield self._data(min(self._left, CHUNK_BYTES))
            return
        yield from self._sparse_blocks()

    def _sparse_blocks(self) -> Iterator[bytes]:
        piece = bytearray()
        at = 0
        for offset, length in [*self._segments, Segment(self._size, 0)]:
            for is_data, end in ((False, offset), (True, offset + length)):
                while at < end:
                    step = min(end - at, CHUNK_BYTES - len(piece))
                    piece += self._data(step) if is_data else _ZERO_CHUNK[:step]
                    at += step
                    if len(piece) == CHUNK_BYTES:
                        yield bytes(piece)
                        piece.clear()
        if piece:
            yield bytes(piece)

    # --- members ------------------------------------------------------------------------------

    def _next_member(self) -> Member | None:
        """The next member, with the extended headers in front of it applied."""
        pax: list[tuple[bytes, bytes]] = []
        long: dict[bytes, bytes] = {}
        for _ in range(_EXTENSIONS_MAX):
            header = self._header()
            if header is None:
                if pax or long:
                    raise BadImage("archive ends after an extended header")
                return None
            kind, size = header[156:157], parse_number(header[124:136], "size")
            match kind:
                case b"x" | b"X":
                    pax = parse_pax(self._extension(size))
                case b"g":
                    self._global = dict(parse_pax(self._extension(size)))
                case b"L" | b"K":
                    long[kind] = self._extension(size).rstrip(b"\0")
                case b"V":
                    self._extension(size)  # a label of the volume
                case _:
                    return self._member(header, pax, long)
        raise BadImage(f"archive has over {_EXTENSIONS_MAX} extended headers for one member")

    def _member(
        self, header: bytes, pax: list[tuple[bytes, bytes]], long: dict[bytes, bytes]
    ) -> Member:
        records = {**self._global, **dict(pax)}
        kind, path = _kind(header), long.get(b"L", _plain_path(header))
        path = records.get(b"GNU.sparse.name") or records.get(b"path") or path
        if kind is MemberKind.FILE and path.endswith(b"/") and header[156:157] != b"S":
            kind = MemberKind.DIRECTORY  # before ustar, directories had no type
        stored = parse_number(header[124:136], "size")
        if b"size" in records:
            stored = parse_decimal(records[b"size"], "size")
        self._start(stored if kind is MemberKind.FILE else 0)
        if kind is MemberKind.FILE:
            self._read_sparse_map(header, pax, records)
        return Member(
            kind=kind,
            path=path,
            target=records.get(b"linkpath") or long.get(b"K", text_field(header[157:257])),
            mode=parse_number(header[100:108], "mode") & 0o7777,
            uid=_owner(records, b"uid", header[108:116]),
            gid=_owner(records, b"gid", header[116:124]),
            mtime=parse_time(records.get(b"mtime"), header[136:148]),
            size=self._size,
            major=parse_number(header[329:337], "device") if kind in _DEVICES else 0,
            minor=parse_number(header[337:345], "device") if kind in _DEVICES else 0,
        )

    def _start(self, stored: int) -> None:
        if stored < 0:
            raise BadImage(f"archive member of {stored} bytes")
        self._left, self._padding = stored, _padded(stored) - stored
        self._size, self._segments = stored, [Segment(0, stored)]

    def _read_sparse_map(
        self, header: bytes, pax: list[tuple[bytes, bytes]], records: dict[bytes, bytes]
    ) -> None:
        """Learn where the data of a sparse file belongs, if it is one."""
        if header[156:157] == b"S":
            self._size, segments = parse_number(header[483:495], "size"), self._old_map(header)
        elif records.get(b"GNU.sparse.major") == b"1":
            self._size = parse_decimal(records.get(b"GNU.sparse.realsize", b""), "size")
            segments = self._data_map()
        elif b"GNU.sparse.size" in records:
            self._size = parse_decimal(records[b"GNU.sparse.size"], "size")
            segments = pax_segments(pax)
        else:
            return
        check_segments(segments, stored=self._left, size=self._size)
        self._segments = segments

    def _old_map(self, header: bytes) -> list[Segment]:
        """The map of a GNU sparse header, continued in blocks of its own."""
        segments = old_sparse_segments(header[386:482])
        is_continued = header[482] != 0
        while is_continued:
            block = self._exactly(BLOCK_BYTES)
            segments += old_sparse_segments(block[:504])
            is_continued = block[504] != 0
            if len(segments) > TAR_SPARSE_SEGMENTS_MAX:
                raise BadImage("sparse file of too many pieces")
        return segments

    def _data_map(self) -> list[Segment]:
        """The map of pax sparse form 1.0: decimal lines in front of the data, padded."""
        lines = self._map_lines()
        count = next(lines)
        if count > TAR_SPARSE_SEGMENTS_MAX:
            raise BadImage("sparse file of too many pieces")
        return [Segment(next(lines), next(lines)) for _ in range(count)]

    def _map_lines(self) -> Iterator[int]:
        rest = b""
        while len(rest) <= _MAP_LINE_BYTES_MAX:
            *lines, rest = (rest + self._data(BLOCK_BYTES)).split(b"\n")
            for line in lines:
                yield parse_decimal(line, "sparse map")
        raise BadImage("sparse file whose map makes no sense")

    # --- bytes --------------------------------------------------------------------------------

    def _header(self) -> bytes | None:
        """The next header block; None at the end of the archive."""
        block = self._exactly(BLOCK_BYTES, may_end=self._is_begun)
        self._is_begun = True
        if not block.strip(b"\0"):
            return None  # a zero block, or the stream ends without one as some writers do
        verify_checksum(block)
        return block

    def _extension(self, size: int) -> bytes:
        if not 0 <= size <= TAR_HEADER_BYTES_MAX:
            raise BadImage(f"extended header of {size} bytes; {TAR_HEADER_BYTES_MAX} is the limit")
        return self._exactly(_padded(size))[:size]

    def _data(self, size: int) -> bytes:
        if size > self._left:
            raise BadImage("archive member holds less than its map says")
        self._left -= size
        return self._exactly(size)

    def _exactly(self, size: int, *, may_end: bool = False) -> bytes:
        data = self._stream.read(size)
        if len(data) == size:
            return data
        pieces = [data]
        missing = size - len(data)
        while missing and (data := self._stream.read(missing)):
            pieces.append(data)
            missing -= len(data)
        if missing and not (may_end and missing == size):
            raise BadImage("archive is truncated")
        return b"".join(pieces)

    def _skip(self, size: int) -> None:
        self._left = self._padding = 0
        if size and self._skip_stream is not None:
            self._skip_stream(size)
            return
        while size > 0:
            size -= len(self._exactly(min(size, CHUNK_BYTES)))


_DEVICES = (MemberKind.CHARACTER_DEVICE, MemberKind.BLOCK_DEVICE)
_FILE_TYPES = (b"\0", b"0", b"7", b"S")


def _kind(header: bytes) -> MemberKind:
    kind = header[156:157]
    if kind in _FILE_TYPES:
        return MemberKind.FILE
    try:
        return MemberKind(kind)
    except ValueError:
        raise BadImage(f"archive member of unknown type {kind!r}") from None


def _plain_path(header: bytes) -> bytes:
    name, prefix = text_field(header[:100]), text_field(header[345:500])
    # GNU keeps times where POSIX has the prefix, and says so in the magic.
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _owner(records: dict[bytes, bytes], key: bytes, octal: bytes) -> int:
    if key in records:
        return parse_decimal(records[key], "owner")
    return parse_number(octal, "owner")


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES
