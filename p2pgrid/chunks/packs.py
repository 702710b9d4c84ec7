"""Pack files: chunks one after the other, each record whole and self-describing.

    pack    = record*
    record  = magic "p2pk" | payload length u32 | chunk id 32 | payload | crc32 u32

Numbers are big-endian; the crc covers everything before it. A pack is only ever
appended to, so a crash can damage no more than its tail. Since every record
says what it is, the index can be made anew from the packs alone.

Payloads come from others and may hold the magic, or whole records. That does no
harm: what counts as a chunk must have the hash that it is known by.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from p2pgrid.chunks.chunk_store import chunk_id
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX
from p2pgrid.model.ids import ID_BYTES, ChunkId

MAGIC = b"p2pk"
LENGTH_BYTES = 4
CRC_BYTES = 4
HEADER_BYTES = len(MAGIC) + LENGTH_BYTES + ID_BYTES
RECORD_OVERHEAD_BYTES = HEADER_BYTES + CRC_BYTES


@dataclass(frozen=True, slots=True)
class PackRecord:
    """Where in a pack one chunk lies."""

    chunk: ChunkId
    offset: int
    """Of the record, not of the payload in it."""
    payload_bytes: int

    @property
    def end(self) -> int:
        """The first byte after the record."""
        return self.offset + RECORD_OVERHEAD_BYTES + self.payload_bytes


def record_parts(chunk: ChunkId, payload: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    """What to append for one chunk, in pieces so that the payload is not copied."""
    header = MAGIC + len(payload).to_bytes(LENGTH_BYTES, "big") + chunk
    crc = zlib.crc32(payload, zlib.crc32(header))
    return header, payload, crc.to_bytes(CRC_BYTES, "big")


def payload_of(data: bytes, chunk: ChunkId) -> bytes | None:
    """The payload of one record's bytes; None unless they are an intact record of `chunk`."""
    record = _intact_record(data, 0)
    if record is None or record.chunk != chunk or record.end != len(data):
        return None
    return data[HEADER_BYTES:-CRC_BYTES]


def scan_pack(pack: bytes | mmap, start: int = 0) -> Iterator[PackRecord]:
    """Every intact record from `start` on; skips what is damaged between them.

    What lies behind the last of them is a torn tail, to be cut.
    """
    offset = start
    while offset >= 0:
        record = _intact_record(pack, offset)
        if record is None:
            offset = _next_genuine(pack, offset + 1)
        else:
            yield record
            offset = record.end


def _intact_record(pack: bytes | mmap, offset: int) -> PackRecord | None:
    header = pack[offset : offset + HEADER_BYTES]
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return None
    payload_bytes = int.from_bytes(header[len(MAGIC) : len(MAGIC) + LENGTH_BYTES], "big")
    record = PackRecord(ChunkId(header[-ID_BYTES:]), offset, payload_bytes)
    if not 0 < payload_bytes <= CHUNK_BLOB_BYTES_MAX or record.end > len(pack):
        return None
    with memoryview(pack) as view, view[offset : record.end] as data:
        crc = zlib.crc32(data[:-CRC_BYTES])
    if crc != int.from_bytes(pack[record.end - CRC_BYTES : record.end], "big"):
        return None
    return record


def _next_genuine(pack: bytes | mmap, start: int) -> int:
    """Where the next record begins after damage, -1 when there is none.

    What is found by searching may lie inside a damaged payload, made by someone
    else, so here a crc is not enough: it must have its hash.
    """
    offset = pack.find(MAGIC, start)
    while offset >= 0:
        record = _intact_record(pack, offset)
        if record is not None and chunk_id(_payload(pack, record)) == record.chunk:
            return offset
        offset = pack.find(MAGIC, offset + 1)
    return -1


def _payload(pack: bytes | mmap, record: PackRecord) -> bytes:
    start = record.offset + HEADER_BYTES
    return pack[start : start + record.payload_bytes]
