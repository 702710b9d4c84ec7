"""What is signed cannot be changed, moved to another grid, or taken for another kind."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from p2pgrid.errors import BadSignature, MalformedRecord
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import AccountId, NetworkId, NodeId, RecordId
from p2pgrid.model.node import CapacityUpdate
from p2pgrid.model.operation import CloseTerms
from p2pgrid.model.reservation import Cancellation
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode, record_classes
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import (
    Envelope,
    is_signed_by,
    is_usable_key,
    message_of,
    open_envelope,
    record_id,
    sign,
    sign_as,
    sign_message,
    verify,
)
from tests.vectors.make_records import NETWORK, as_json, path_of, vector
from tests.wire.travelling import travelling_classes

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "ed25519.json").read_text())
KEY, OTHER_KEY = SigningKey(b"k" * 32), SigningKey(b"o" * 32)
OTHER_NETWORK = NetworkId(b"another grid, 16")
UPDATE = CapacityUpdate(
    node=NodeId(bytes(KEY.verify_key)),
    incarnation=1,
    sequence=2,
    time_ms=TimestampMs(3),
    free=Capacity(millicores=4),
    reservations=5,
)
SIGNED = sign(UPDATE, KEY, NETWORK)


def envelope_with(**changes: Any) -> bytes:
    opened = open_envelope(SIGNED.envelope)
    parts = {"kind": opened.kind, "body": opened.body, "signature": opened.signature}
    return encode(Envelope(**{**parts, **changes}))


def test_what_was_signed_verifies() -> None:
    assert verify(CapacityUpdate, SIGNED.envelope, NETWORK) == SIGNED


@given(st.integers(0, len(SIGNED.envelope) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(position: int, change: int) -> None:
    changed = bytearray(SIGNED.envelope)
    changed[position] ^= change
    with pytest.raises((MalformedRecord, BadSignature)):
        verify(CapacityUpdate, bytes(changed), NETWORK)


@given(st.binary(max_size=200))
def test_garbage_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedRecord):
        verify(CapacityUpdate, data, NETWORK)


def test_a_record_belongs_to_one_grid() -> None:
    with pytest.raises(BadSignature, match="for this grid"):
        verify(CapacityUpdate, SIGNED.envelope, OTHER_NETWORK)
    assert sign(UPDATE, KEY, OTHER_NETWORK).id != SIGNED.id


def test_an_id_and_a_message_belong_to_one_kind() -> None:
    """Two kinds whose bodies are the same bytes; nothing of one serves for the other."""
    body = open_envelope(SIGNED.envelope).body
    ids = {record_id(kind, body, NETWORK) for kind in RecordKind}
    messages = {message_of(kind, SIGNED.id, NETWORK) for kind in RecordKind}

    assert len(ids) == len(messages) == len(RecordKind)
    assert {len(message) for message in messages} == {64}


def test_a_signature_of_one_kind_is_none_of_another() -> None:
    party = AccountId(bytes(KEY.verify_key))
    terms = CloseTerms(escrow=RecordId(b"e" * 32), to_farm=Amount(1), party=party)
    signature = open_envelope(sign(terms, KEY, NETWORK).envelope).signature
    with pytest.raises(BadSignature):
        verify(CapacityUpdate, envelope_with(signature=signature), NETWORK)


def test_the_kind_is_the_one_expected() -> None:
    with pytest.raises(MalformedRecord, match="expected CANCELLATION, got CAPACITY_UPDATE"):
        verify(Cancellation, SIGNED.envelope, NETWORK)


def test_the_id_leaves_the_signature_out() -> None:
    """A key's owner can make many signatures of one message; they must not make many records."""
    other = sign_as(UPDATE, OTHER_KEY, NETWORK)
    assert other.id == SIGNED.id
    assert other.envelope != SIGNED.envelope


def test_a_rotated_key_signs_for_its_author_only_when_told() -> None:
    rotated = sign_as(UPDATE, OTHER_KEY, NETWORK).envelope
    current = bytes(OTHER_KEY.verify_key)

    assert verify(CapacityUpdate, rotated, NETWORK, current_key=current).record == UPDATE
    with pytest.raises(BadSignature):
        verify(CapacityUpdate, rotated, NETWORK)
    with pytest.raises(BadSignature):
        verify(CapacityUpdate, SIGNED.envelope, NETWORK, current_key=current)


def test_signing_for_somebody_else_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="somebody else"):
        sign(UPDATE, OTHER_KEY, NETWORK)


@pytest.mark.parametrize("signature", [b"", b"s" * 63, b"s" * 65, bytes(64)])
def test_signatures_that_are_none(signature: bytes) -> None:
    with pytest.raises(BadSignature):
        verify(CapacityUpdate, envelope_with(signature=signature), NETWORK)


def test_envelopes_are_bounded() -> None:
    with pytest.raises(MalformedRecord):
        open_envelope(envelope_with(body=bytes(RECORD_BYTES_MAX + 100)))


# --- keys and signatures on which libraries disagree ----------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_we_judge_as_libsodium_does(case: dict[str, Any]) -> None:
    key, message, signature = (
        bytes.fromhex(case[name]) for name in ("key", "message", "signature")
    )

    assert is_signed_by(key, message, signature) is case["libsodium_accepts"]
    assert is_usable_key(key) is case["key_is_usable"]


def test_the_cases_are_all_there() -> None:
    names = {case["name"] for case in CASES}
    accepted = {case["name"] for case in CASES if case["libsodium_accepts"]}

    assert len(names) == 10
    assert accepted == {"honest", "key of mixed order, both equations hold"}


def test_no_usable_key_has_a_signature_that_others_judge_differently_but_by_its_nonce() -> None:
    disputed = {case["name"] for case in CASES if case["key_is_usable"]}
    assert disputed == {
        "honest",
        "S plus the group order",
        "R of mixed order, only cofactored holds",
    }


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33])
def test_keys_of_a_wrong_length_sign_nothing(key: bytes) -> None:
    assert not is_usable_key(key)
    assert not is_signed_by(key, b"message", bytes(64))


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80))
def test_honest_keys_are_usable_and_sign(seed: bytes, message: bytes) -> None:
    key = SigningKey(seed)
    signature = sign_message(message, key)

    assert is_usable_key(bytes(key.verify_key))
    assert is_signed_by(bytes(key.verify_key), message, signature)
    assert not is_signed_by(bytes(key.verify_key), message + b"\0", signature)


# --- committed bytes ------------------------------------------------------------------------------


def test_every_kind_has_a_committed_instance() -> None:
    travelling_classes()
    missing = [kind.name for kind in record_classes() if not path_of(kind).exists()]
    assert not missing, "run `python -m tests.vectors.make_records` and commit what it makes"


@pytest.mark.parametrize("kind", RecordKind, ids=lambda kind: str(kind.name))
def test_formats_do_not_change_by_accident(kind: RecordKind) -> None:
    travelling_classes()
    committed = json.loads(path_of(kind).read_text())
    read: object = decode(record_classes()[kind], bytes.fromhex(committed["body"]))

    assert as_json(read) == committed["record"]
    assert vector(kind, read) == committed
