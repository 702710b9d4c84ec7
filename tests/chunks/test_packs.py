"""Packs say what they are: whatever is torn or flipped, every other chunk is found again."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.chunks.chunk_store import Blob, chunk_id
from p2pgrid.chunks.packs import (
    HEADER_BYTES,
    MAGIC,
    RECORD_OVERHEAD_BYTES,
    payload_of,
    record_parts,
    scan_pack,
)
from p2pgrid.limits.chunks import CHUNK_BLOB_BYTES_MAX
from tests.chunks.blobs import blob

payloads = st.binary(min_size=1, max_size=60) | st.sampled_from(
    [MAGIC, MAGIC * 20, b"".join(record_parts(blob(1, 9).chunk, blob(1, 9).data))]
)
packs_of = st.lists(payloads.map(lambda data: Blob(chunk_id(data), data)), max_size=8)


def packed(blobs: list[Blob]) -> bytes:
    return b"".join(b"".join(record_parts(one.chunk, one.data)) for one in blobs)


@given(packs_of)
def test_a_scan_finds_every_record_where_it_lies(blobs: list[Blob]) -> None:
    pack = packed(blobs)
    records = list(scan_pack(pack))
    assert [record.chunk for record in records] == [one.chunk for one in blobs]
    assert [record.end for record in records][-1:] == [len(pack)] * bool(blobs)
    for record, one in zip(records, blobs, strict=True):
        assert payload_of(pack[record.offset : record.end], one.chunk) == one.data
        assert payload_of(pack[record.offset : record.end], blob(2).chunk) is None
        assert payload_of(pack[record.offset : record.end - 1], one.chunk) is None


@given(packs_of, st.data())
def test_a_torn_tail_costs_no_record_before_it(blobs: list[Blob], data: st.DataObject) -> None:
    pack = packed(blobs)
    cut = data.draw(st.integers(0, len(pack)))
    whole = [record for record in scan_pack(pack) if record.end <= cut]
    found = list(scan_pack(pack[:cut]))
    assert found[: len(whole)] == whole
    assert all(_is_genuine(pack, record.offset) for record in found)


@given(packs_of, st.data())
def test_a_flipped_byte_costs_one_record(blobs: list[Blob], data: st.DataObject) -> None:
    pack = bytearray(packed(blobs))
    if not pack:
        return
    at = data.draw(st.integers(0, len(pack) - 1))
    untouched = [
        record for record in scan_pack(bytes(pack)) if not record.offset <= at < record.end
    ]
    pack[at] ^= data.draw(st.integers(1, 255))
    found = list(scan_pack(bytes(pack)))
    assert set(untouched) <= set(found)
    assert all(_is_genuine(bytes(pack), record.offset) for record in found)


@given(st.binary(max_size=200))
def test_any_bytes_can_be_scanned(garbage: bytes) -> None:
    assert list(scan_pack(garbage)) == []


def test_a_forged_record_inside_a_damaged_payload_is_not_believed() -> None:
    forged = b"".join(record_parts(blob(1).chunk, b"not that chunk"))
    carrier = Blob(chunk_id(forged), forged)
    pack = bytearray(packed([carrier, blob(2)]))
    pack[len(MAGIC)] ^= 1
    assert [record.chunk for record in scan_pack(bytes(pack))] == [blob(2).chunk]


def test_a_length_beyond_the_limit_is_damage() -> None:
    size = CHUNK_BLOB_BYTES_MAX + 1
    assert list(scan_pack(packed([Blob(blob(1).chunk, bytes(size))]))) == []
    assert len(packed([blob(1, 5)])) == 5 + RECORD_OVERHEAD_BYTES == 5 + HEADER_BYTES + 4


def _is_genuine(pack: bytes, offset: int) -> bool:
    record = next(iter(scan_pack(pack, offset)))
    payload = pack[record.offset + HEADER_BYTES : record.end - 4]
    return record.offset == offset and chunk_id(payload) == record.chunk
