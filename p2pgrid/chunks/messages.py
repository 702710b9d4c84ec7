"""What peers say on a bulk stream about chunks.

    Request   one frame; several may be under way
    Answer    one frame, then its body: the bytes that it announces, one blob after
              the other, in full frames, of which only the last one may be shorter

A request for chunks gets as many answers as it takes, in any order of chunks,
which together name each chunk asked for once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.limits.chunks import (
    ANSWER_BYTES_MAX,
    ANSWER_CHUNKS_MAX,
    CHUNK_BLOB_BYTES_MAX,
    CHUNKS_PER_REQUEST_MAX,
    FLIST_BYTES_MAX,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, require_ids
from p2pgrid.wire.codec import variant


@variant(1)
@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """Give me these chunks."""

    chunks: tuple[ChunkId, ...]
    urgency: Urgency = Urgency.LATER
    """What is needed sooner is answered sooner, also when it was asked for later."""

    def __post_init__(self) -> None:
        require_ids(*self.chunks)
        if not 0 < len(self.chunks) <= CHUNKS_PER_REQUEST_MAX:
            raise InvalidRecord(f"a request for {len(self.chunks)} chunks")


@variant(2)
@dataclass(frozen=True, slots=True)
class FlistRequest:
    """Give me this `.fl` file."""

    flist: FlistId

    def __post_init__(self) -> None:
        require_ids(self.flist)


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sends."""

    what: ChunkRequest | FlistRequest


@dataclass(frozen=True, slots=True)
class Served:
    """One chunk of an answer."""

    chunk: ChunkId
    blob_bytes: int
    """0: I do not have it."""

    def __post_init__(self) -> None:
        require_ids(self.chunk)
        if self.blob_bytes > CHUNK_BLOB_BYTES_MAX:
            raise InvalidRecord(f"a chunk of {self.blob_bytes} bytes")


@variant(1)
@dataclass(frozen=True, slots=True)
class ChunkAnswer:
    """Some of the chunks asked for; their blobs follow in this order."""

    served: tuple[Served, ...]

    def __post_init__(self) -> None:
        if not 0 < len(self.served) <= ANSWER_CHUNKS_MAX:
            raise InvalidRecord(f"an answer of {len(self.served)} chunks")
        if len({one.chunk for one in self.served}) != len(self.served):
            raise InvalidRecord("an answer names a chunk twice")
        if self.body_bytes > ANSWER_BYTES_MAX:
            raise InvalidRecord(f"an answer of {self.body_bytes} bytes")

    @property
    def body_bytes(self) -> int:
        """What follows."""
        return sum(one.blob_bytes for one in self.served)


@variant(2)
@dataclass(frozen=True, slots=True)
class FlistAnswer:
    """The `.fl` file asked for follows."""

    body_bytes: int
    """0: I do not have it."""

    def __post_init__(self) -> None:
        if self.body_bytes > FLIST_BYTES_MAX:
            raise InvalidRecord(f"an flist of {self.body_bytes} bytes")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sends before a body."""

    what: ChunkAnswer | FlistAnswer


def split_answers(sizes: Iterable[tuple[ChunkId, int]]) -> Iterator[list[ChunkId]]:
    """Group chunks of known sizes into answers, in order."""
    group: list[ChunkId] = []
    group_bytes = 0
    for chunk, size_bytes in sizes:
        is_full = len(group) == ANSWER_CHUNKS_MAX or group_bytes + size_bytes > ANSWER_BYTES_MAX
        if group and is_full:
            yield group
            group, group_bytes = [], 0
        group.append(chunk)
        group_bytes += size_bytes
    if group:
        yield group


def body_frames(blobs: Sequence[bytes]) -> Iterator[bytes]:
    """Cut a body into frames, joining across blobs; every byte is copied once."""
    parts: list[memoryview] = []
    room_bytes = BULK_FRAME_BYTES
    for blob in blobs:
        view = memoryview(blob)
        while len(view) >= room_bytes:
            yield b"".join((*parts, view[:room_bytes]))
            view, parts, room_bytes = view[room_bytes:], [], BULK_FRAME_BYTES
        if view:
            parts.append(view)
            room_bytes -= len(view)
    if parts:
        yield b"".join(parts)


class Body:
    """Puts a body of known length together from its frames."""

    def __init__(self, body_bytes: int) -> None:
        self._data = bytearray()
        self._body_bytes = body_bytes

    @property
    def is_complete(self) -> bool:
        """Whether no frame is missing."""
        return len(self._data) == self._body_bytes

    def feed(self, frame: bytes) -> None:
        """Take the next frame.

        Raises:
            BrokenProtocol: it is not full although it is not the last one (so that
                nobody keeps us busy with crumbs), or more than was announced.
        """
        missing_bytes = self._body_bytes - len(self._data)
        if len(frame) != min(missing_bytes, BULK_FRAME_BYTES):
            raise BrokenProtocol(f"a frame of {len(frame)} bytes where {missing_bytes} are missing")
        self._data += frame

    def parts(self, sizes: Iterable[int]) -> Iterator[memoryview]:
        """Views of the complete body, one for each size, in order."""
        view = memoryview(self._data)
        start = 0
        for size_bytes in sizes:
            yield view[start : start + size_bytes]
            start += size_bytes

    def whole(self) -> bytes:
        """The complete body."""
        return bytes(self._data)
