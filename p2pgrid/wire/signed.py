r"""Signed: a record together with who vouches for it.

    id       = blake2b-256(body, person = kind, salt = network id)
    message  = "p2pgrid-sig-v1\0" | kind u8 | network id 16 | id 32          always 64 bytes
    envelope = CBOR [kind, body, signature]

The id leaves the signature out: a key owner can make many valid signatures
for one message. The network id salts every id and signature, so no record of
one grid is valid in another. libsodium's verification is the protocol rule:
other libraries accept keys and signatures that it refuses.
"""

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Generic, NewType, Protocol, TypeVar

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
)
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey

from p2pgrid.errors import BadSignature, MalformedRecord
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.wire.codec import decode, encode, kind_of
from p2pgrid.wire.kinds import RecordKind

ID_BYTES = 32
NETWORK_ID_BYTES = 16

NetworkId = NewType("NetworkId", bytes)
"""A grid: the first 16 bytes of blake2b-256 of its genesis record."""

RecordId = NewType("RecordId", bytes)
"""A record: keyed blake2b-256 of its body, 32 bytes."""

_DOMAIN = b"p2pgrid-sig-v1\0"
_ENVELOPE_OVERHEAD_BYTES = 96


class Authored(Protocol):
    """A record that says whose signature it needs."""

    @property
    def author(self) -> bytes:
        """The Ed25519 key, 32 bytes, that must have signed it."""
        ...


_R = TypeVar("_R", bound=Authored)


@dataclass(frozen=True, slots=True)
class Signed(Generic[_R]):
    """A record whose signature has been checked; there is no unchecked `Signed`."""

    record: _R
    id: RecordId
    envelope: bytes
    """What travels and rests: kind, body and signature."""
    place: object = field(default=None, init=False, repr=False, compare=False)
    """The register that it belongs in, once somebody asked; see `crdt.register`."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The bytes of a signed record, before anything in them is believed."""

    kind: RecordKind
    body: bytes
    signature: bytes


def record_id(kind: RecordKind, body: bytes, network: NetworkId) -> RecordId:
    """What a record is known by, 32 bytes: everything but its signature."""
    return RecordId(blake2b(body, digest_size=ID_BYTES, person=kind.person, salt=network).digest())


def message_of(kind: RecordKind, identity: RecordId, network: NetworkId) -> bytes:
    """The 64 bytes that are signed."""
    return _DOMAIN + bytes((kind,)) + network + identity


def sign(record: _R, key: SigningKey, network: NetworkId) -> Signed[_R]:
    """Vouch for `record` on the grid `network`. The key must be its author's."""
    assert bytes(key.verify_key) == record.author, "signed with somebody else's key"
    return sign_as(record, key, network)


def sign_as(record: _R, key: SigningKey, network: NetworkId) -> Signed[_R]:
    """Like `sign`, for records whose current key differs from their author (rotated keys)."""
    kind, body = kind_of(type(record)), encode(record)
    identity = record_id(kind, body, network)
    signature = sign_message(message_of(kind, identity, network), key)
    return Signed(record, identity, encode(Envelope(kind, body, signature)))


def sign_message(message: bytes, key: SigningKey) -> bytes:
    """The bare 64-byte Ed25519 signature."""
    return crypto_sign(message, key.encode() + bytes(key.verify_key))[:crypto_sign_BYTES]


def is_signed_by(key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether libsodium accepts the signature. 60 to 90 µs; the GIL is free meanwhile."""
    if len(key) != ID_BYTES or len(signature) != crypto_sign_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except CryptoError:
        return False
    return True


def is_usable_key(key: bytes) -> bool:
    """Whether `key` may be registered as an account or witness.

    Refuses small and mixed order points, so that no verifier of any library
    can judge signatures of a registered key differently.
    """
    return len(key) == ID_BYTES and bool(crypto_core_ed25519_is_valid_point(key))


def open_envelope(data: bytes) -> Envelope:
    """Read kind, body and signature; nothing is verified. Raises MalformedRecord."""
    return decode(Envelope, data, bytes_max=RECORD_BYTES_MAX + _ENVELOPE_OVERHEAD_BYTES)


def verify(
    cls: type[_R], data: bytes, network: NetworkId, *, current_key: bytes | None = None
) -> Signed[_R]:
    """Check what came from outside; the only way in.

    Args:
        cls: the record class expected.
        data: an envelope.
        network: the grid that the record must belong to.
        current_key: whose signature it must carry when that is not its author's.

    Raises:
        MalformedRecord: not a canonical envelope of a canonical `cls`.
        BadSignature: its author did not sign it, or for another grid.
    """
    return verify_opened(cls, open_envelope(data), data, network, current_key=current_key)


def verify_opened(
    cls: type[_R],
    envelope: Envelope,
    data: bytes,
    network: NetworkId,
    *,
    current_key: bytes | None = None,
) -> Signed[_R]:
    """`verify` for those who had to open the envelope to know which class to expect.

    Args:
        cls: the record class expected.
        envelope: what `data` decodes to, canonically.
        data: the same as bytes.
        network: the grid that the record must belong to.
        current_key: whose signature it must carry when that is not its author's.
    """
    if envelope.kind is not kind_of(cls):
        raise MalformedRecord(f"expected {kind_of(cls).name}, got {envelope.kind.name}")
    record = decode(cls, envelope.body)
    identity = record_id(envelope.kind, envelope.body, network)
    message = message_of(envelope.kind, identity, network)
    key = record.author if current_key is None else current_key
    if not is_signed_by(key, message, envelope.signature):
        raise BadSignature(f"{envelope.kind.name} is not signed by {key.hex()[:8]} for this grid")
    return Signed(record, identity, data)
