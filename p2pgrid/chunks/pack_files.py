"""Pack files on disk: append, read, find again after a crash.

Everything here blocks; call it in a worker thread.
"""

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.packs import (
    RECORD_OVERHEAD_BYTES,
    PackRecord,
    payload_of,
    record_parts,
    scan_pack,
)
from p2pgrid.durable import sync_directory
from p2pgrid.errors import StoreFailed, Unusable
from p2pgrid.limits.chunks import PACK_BYTES_MAX
from p2pgrid.model.ids import ChunkId

_NAME = "pack-{:08d}.dat"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the record of one chunk lies."""

    pack: int
    offset: int
    payload_bytes: int


class PackFiles:
    """The packs of one directory. One writer; readers at any time."""

    def __init__(self, directory: Path, *, pack_bytes_max: int = PACK_BYTES_MAX) -> None:
        """Use `directory`, made when it does not exist. Raises Unusable."""
        self._directory = directory
        self._pack_bytes_max = pack_bytes_max
        with _unusable(directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._ends = {_number(file): file.stat().st_size for file in directory.glob("pack-*")}
        self._current = max(self._ends, default=1)

    def ends(self) -> Mapping[int, int]:
        """Size of each pack in bytes, by its number."""
        return dict(self._ends)

    def append(self, blobs: Iterable[Blob]) -> dict[ChunkId, Place]:
        """Write chunks behind the others, durable on return.

        Raises:
            StoreFailed: the disk refused; the packs are as before.
        """
        before = dict(self._ends)
        places: dict[ChunkId, Place] = {}
        try:
            for pack, group in self._by_pack(blobs):
                places |= self._append_to(pack, group)
        except OSError as error:
            self.cut_back(before)
            raise StoreFailed(
                f"the disk refused to store chunks in {self._directory}: {error.strerror}; "
                "make room"
            ) from error
        return places

    def cut_back(self, ends: Mapping[int, int]) -> None:
        """Undo what was appended since `ends()` said this."""
        grown = [pack for pack, end in self._ends.items() if end != ends.get(pack)]
        self._ends = dict(ends)
        for pack in grown:
            try:
                os.truncate(self._path(pack), ends.get(pack, 0))
            except OSError:
                # What stays behind the end is a whole chunk or a torn one; harmless in
                # either case, but nothing may be written behind or over it.
                self._current += 1

    def read(self, places: Mapping[ChunkId, Place]) -> dict[ChunkId, bytes]:
        """The chunks at these places; those whose record is damaged or gone are left out.

        Raises:
            StoreFailed: the disk does not read.
        """
        found: dict[ChunkId, bytes] = {}
        for pack in {place.pack for place in places.values()}:
            chunks = [chunk for chunk, place in places.items() if place.pack == pack]
            with suppress(FileNotFoundError):
                found |= self._read_from(pack, {chunk: places[chunk] for chunk in chunks})
        return found

    def retire(self, pack: int) -> None:
        """Write nothing more into a pack."""
        if pack == self._current:
            self._current += 1

    def remove(self, pack: int) -> int:
        """Give the room of a pack back; returns how much that is.

        Raises:
            StoreFailed: the disk refused.
        """
        try:
            self._path(pack).unlink(missing_ok=True)
            sync_directory(self._directory)
        except OSError as error:
            raise StoreFailed(f"{self._path(pack)} cannot be removed: {error.strerror}") from error
        return self._ends.pop(pack, 0)

    def recover(self, pack: int, start: int) -> list[PackRecord]:
        """What lies in a pack behind `start`, made durable; cuts a torn tail.

        Raises:
            Unusable: the file cannot be read or written.
        """
        path = self._path(pack)
        with _unusable(path), path.open("r+b") as file:
            with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
                records = list(scan_pack(mapped, start))
            end = records[-1].end if records else start
            os.ftruncate(file.fileno(), end)
            os.fsync(file.fileno())
            self._ends[pack] = end
        return records

    def _by_pack(self, blobs: Iterable[Blob]) -> Generator[tuple[int, list[Blob]], None, None]:
        """Split into what goes to the current pack and, once that is full, to new ones."""
        group: list[Blob] = []
        end = self._ends.get(self._current, 0)
        for blob in blobs:
            if end >= self._pack_bytes_max:
                yield self._current, group
                self._current, group, end = self._current + 1, [], 0
            group.append(blob)
            end += RECORD_OVERHEAD_BYTES + len(blob.data)
        if group:
            yield self._current, group

    def _append_to(self, pack: int, blobs: Sequence[Blob]) -> dict[ChunkId, Place]:
        is_new = pack not in self._ends
        places: dict[ChunkId, Place] = {}
        offset = self._ends.setdefault(pack, 0)
        file = os.open(self._path(pack), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for blob in blobs:
                places[blob.chunk] = Place(pack, offset, len(blob.data))
                # Counted before it is written: a refused write leaves part of it to be cut.
                self._ends[pack] += RECORD_OVERHEAD_BYTES + len(blob.data)
                _write_all(file, record_parts(blob.chunk, blob.data), offset)
                offset = self._ends[pack]
            self._sync(file)
        finally:
            os.close(file)
        if is_new:
            sync_directory(self._directory)
        return places

    def _sync(self, file: int) -> None:
        try:
            os.fdatasync(file)
        except OSError:
            # Linux forgets which pages a failed fsync left unwritten, so that a later one
            # succeeds without them: this file gets nothing more.
            self._current += 1
            raise

    def _read_from(self, pack: int, places: Mapping[ChunkId, Place]) -> dict[ChunkId, bytes]:
        found: dict[ChunkId, bytes] = {}
        try:
            file = os.open(self._path(pack), os.O_RDONLY | os.O_CLOEXEC)
            try:
                for chunk, place in places.items():
                    record_bytes = RECORD_OVERHEAD_BYTES + place.payload_bytes
                    payload = payload_of(os.pread(file, record_bytes, place.offset), chunk)
                    if payload is not None:
                        found[chunk] = payload
            finally:
                os.close(file)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreFailed(f"{self._path(pack)} cannot be read: {error.strerror}") from error
        return found

    def _path(self, pack: int) -> Path:
        return self._directory / _NAME.format(pack)


def _number(file: Path) -> int:
    return int(file.stem.removeprefix("pack-"))


def _write_all(file: int, parts: Sequence[bytes | memoryview], offset: int) -> None:
    """Write at `offset`, also when the disk takes it in pieces. Raises OSError."""
    total_bytes = sum(map(len, parts))
    written = os.pwritev(file, parts, offset)
    while written < total_bytes:  # rare: nearly full, or a signal
        rest = b"".join(parts)[written:]
        written += os.pwrite(file, rest, offset + written)


@contextmanager
def _unusable(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a pack whose name is no number
        raise Unusable(f"{path} cannot be used: {error}") from error
