"""Only what is signed, known and small enough gets in."""

import pytest

from p2pgrid.crdt.register import register_key
from p2pgrid.errors import BadSignature, MalformedRecord
from p2pgrid.explorer.records import id_of, key_parts, reopen_record, verify_record
from p2pgrid.limits.explorer import FARM_MEMBERS_BYTES_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId, NetworkId
from p2pgrid.wire.codec import encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Envelope
from tests.explorer.grid import (
    GRID,
    announced,
    farm_members,
    farm_record,
    flist_name,
    holdings,
    updated,
)

RECORDS = [
    announced(1),
    updated(1, Capacity()),
    farm_record(),
    farm_members(1, 2),
    flist_name(1, "web", None),
    holdings(1, FlistId(bytes(32))),
]


@pytest.mark.parametrize("signed", RECORDS)
def test_every_kind_comes_back_as_it_was(signed: object) -> None:
    (one,) = (each for each in RECORDS if each is signed)
    assert verify_record(one.envelope, GRID) == one
    assert reopen_record(one.envelope, GRID) == one
    assert id_of(one.envelope, GRID) == one.id


@pytest.mark.parametrize("signed", RECORDS)
def test_no_byte_can_be_changed(signed: object) -> None:
    (one,) = (each for each in RECORDS if each is signed)
    for place in range(0, len(one.envelope), 7):
        changed = bytearray(one.envelope)
        changed[place] ^= 1
        try:
            assert verify_record(bytes(changed), GRID) is None  # a kind nobody knows
        except (MalformedRecord, BadSignature):
            continue


def test_records_of_another_grid_are_refused() -> None:
    with pytest.raises(BadSignature):
        verify_record(announced(1).envelope, NetworkId(bytes(16)))


def test_kinds_of_newer_programs_are_told_from_garbage() -> None:
    body, signature = b"body", bytes(64)
    vote = encode(Envelope(RecordKind.VOTE, body, signature))
    assert verify_record(vote, GRID) is None
    assert (
        verify_record(vote.replace(bytes((0x83, 0x18, 31)), bytes((0x83, 0x18, 99))), GRID) is None
    )
    with pytest.raises(MalformedRecord):
        verify_record(b"garbage", GRID)


def test_records_have_a_size_limit_by_kind() -> None:
    assert verify_record(farm_members(*range(1, 200)).envelope, GRID) is not None
    large = announced(1, overlay_address="x" * 250, addresses=("/ip4/" + "x" * 240,) * 14)
    assert len(large.envelope) < 4096
    too_large = announced(1, version="v", features=())
    padded = Envelope(RecordKind.NODE_ANNOUNCEMENT, bytes(5000), bytes(64))
    with pytest.raises(MalformedRecord, match="5"):
        verify_record(encode(padded), GRID)
    with pytest.raises(MalformedRecord):
        verify_record(bytes(FARM_MEMBERS_BYTES_MAX + 1), GRID)
    assert verify_record(too_large.envelope, GRID) is not None


def test_keys_on_disk_have_a_fixed_length() -> None:
    lengths = {len(b"".join(key_parts(register_key(one)))) for one in RECORDS}
    assert lengths == {1 + 32 + 16}
