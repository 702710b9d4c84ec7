"""Which records the explorer holds, how large they may be and how long they count."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from sys import getsizeof

from p2pgrid.crdt.register import Contradiction, RegisterKey, contradicted_register
from p2pgrid.errors import MalformedRecord
from p2pgrid.explorer.shelf import Quota
from p2pgrid.limits import explorer as limits
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.flist import FlistName, Holdings
from p2pgrid.model.ids import NetworkId
from p2pgrid.model.node import CapacityUpdate, Location, NodeAnnouncement
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import (
    Envelope,
    RecordId,
    Signed,
    open_envelope,
    record_id,
    verify_opened,
)

ExplorerRecord = NodeAnnouncement | CapacityUpdate | FarmRecord | FarmMembers | FlistName | Holdings

HUB_KINDS = frozenset({RecordKind.FLIST_NAME, RecordKind.HOLDINGS})
"""Kinds that have a gossip topic of their own; the others share one."""

_NAME_HASH_BYTES = 16
_NO_NAME_HASH = blake2b(digest_size=_NAME_HASH_BYTES).digest()


@dataclass(frozen=True, slots=True)
class _Class:
    record: type[ExplorerRecord]
    lease_ms: int
    quota: Quota
    bytes_max: int = limits.EXPLORER_RECORD_BYTES_MAX


_CLASSES: dict[int, _Class] = {
    RecordKind.NODE_ANNOUNCEMENT: _Class(
        NodeAnnouncement,
        limits.NODE_LEASE_MS,
        Quota(limits.NODES_HELD_MAX, limits.ANNOUNCEMENTS_MEMORY_BYTES_MAX),
    ),
    RecordKind.CAPACITY_UPDATE: _Class(
        CapacityUpdate,
        limits.NODE_LEASE_MS,
        Quota(limits.NODES_HELD_MAX, limits.CAPACITY_MEMORY_BYTES_MAX),
    ),
    RecordKind.FARM_RECORD: _Class(
        FarmRecord,
        limits.NAME_LEASE_MS,
        Quota(limits.FARMS_HELD_MAX, limits.FARMS_MEMORY_BYTES_MAX),
    ),
    RecordKind.FARM_MEMBERS: _Class(
        FarmMembers,
        limits.NAME_LEASE_MS,
        Quota(
            limits.FARMS_HELD_MAX,
            limits.FARM_MEMBERS_MEMORY_BYTES_MAX,
            orphan_bytes_max=limits.FARM_MEMBERS_ORPHAN_BYTES_MAX,
        ),
        limits.FARM_MEMBERS_BYTES_MAX,
    ),
    RecordKind.FLIST_NAME: _Class(
        FlistName,
        limits.NAME_LEASE_MS,
        Quota(
            limits.FLIST_NAMES_HELD_MAX,
            limits.FLIST_NAMES_MEMORY_BYTES_MAX,
            per_author_max=limits.FLIST_NAMES_PER_AUTHOR_MAX,
            incumbents_stay=False,
        ),
    ),
    RecordKind.HOLDINGS: _Class(
        Holdings,
        limits.NODE_LEASE_MS,
        Quota(limits.HOLDINGS_HELD_MAX, limits.HOLDINGS_MEMORY_BYTES_MAX),
    ),
}

QUOTAS: Mapping[RecordKind, Quota] = {RecordKind(kind): one.quota for kind, one in _CLASSES.items()}
"""How much of each kind a peer holds."""

SENSE_OF: Mapping[RecordKind, RecordKind] = {
    RecordKind.CAPACITY_UPDATE: RecordKind.NODE_ANNOUNCEMENT,
    RecordKind.HOLDINGS: RecordKind.NODE_ANNOUNCEMENT,
    RecordKind.FARM_MEMBERS: RecordKind.FARM_RECORD,
}
"""Kinds that say little unless their author's record of another kind is held."""


@dataclass(frozen=True, slots=True)
class _AnyEnvelope:
    """An envelope whose kind may be one of a newer program."""

    kind: int
    body: bytes
    signature: bytes


def verify_record(data: bytes, network: NetworkId) -> Signed[ExplorerRecord] | None:
    """Check what came from outside; None when it is of a kind that this program does not know.

    Raises:
        MalformedRecord: not a canonical record, or too large for its kind.
        BadSignature: its author did not sign it, or for another grid.
    """
    opened = _open(data)
    if opened.kind not in _CLASSES:
        return None
    wanted = _CLASSES[opened.kind]
    kind = RecordKind(opened.kind)
    if len(data) > wanted.bytes_max:
        raise MalformedRecord(f"{kind.name} of {len(data)} bytes")
    envelope = Envelope(kind, opened.body, opened.signature)
    return verify_opened(wanted.record, envelope, data, network)


def id_of(data: bytes, network: NetworkId) -> RecordId | None:
    """Which record this is, unverified; None when it is of a kind that this program does not know.

    It costs a tenth of `verify_record`, and tells whether that is worth it.

    Raises:
        MalformedRecord: not an envelope.
    """
    opened = _open(data)
    if opened.kind not in _CLASSES:
        return None
    return record_id(RecordKind(opened.kind), opened.body, network)


def reopen_record(data: bytes, network: NetworkId) -> Signed[ExplorerRecord]:
    """Read a record of our own disk, which was verified before it was stored.

    Raises:
        MalformedRecord: the disk gave back something else.
    """
    envelope = open_envelope(data)
    if envelope.kind not in _CLASSES:
        raise MalformedRecord(f"{envelope.kind.name} is none of the explorer's")
    record = decode(_CLASSES[envelope.kind].record, envelope.body)
    return Signed(record, record_id(envelope.kind, envelope.body, network), data)


def envelope_of(proof: Contradiction) -> bytes:
    """What travels and rests of a proof: an envelope that needs no signature."""
    return encode(_AnyEnvelope(RecordKind.CONTRADICTION, encode(proof), b""))


def is_contradiction(data: bytes) -> bool:
    """Whether an envelope that came from outside says that it holds a proof.

    Raises:
        MalformedRecord: not an envelope, or too large.
    """
    return _open(data).kind == RecordKind.CONTRADICTION


def verify_contradiction(data: bytes, network: NetworkId) -> tuple[RegisterKey, Contradiction]:
    """Check a proof that came from outside; costs two signatures.

    Raises:
        MalformedRecord: not a proof, or one of kinds that are not the explorer's.
        BadSignature: its records were not signed by their author, or for another grid.
    """
    opened = _open(data)
    if opened.kind != RecordKind.CONTRADICTION or opened.signature:
        raise MalformedRecord("not the envelope of a proof")
    proof = decode(Contradiction, opened.body)
    first, second = (verify_record(one, network) for one in (proof.first, proof.second))
    if first is None or second is None:
        raise MalformedRecord("a contradiction of unknown kinds")
    return contradicted_register(first, second), proof


def read_contradiction(data: bytes, network: NetworkId) -> tuple[RegisterKey, Contradiction]:
    """Read a proof of our own disk, or one that may not be worth its signatures.

    Raises:
        MalformedRecord: not a proof, whoever signed it.
    """
    proof = decode(Contradiction, _open(data).body)
    first, second = (reopen_record(one, network) for one in (proof.first, proof.second))
    return contradicted_register(first, second), proof


def lease_ms_of(kind: RecordKind) -> int:
    """How long a record of this kind counts after its time."""
    return _CLASSES[kind].lease_ms


def bytes_max_of(kind: RecordKind) -> int:
    """How long the envelope of a record of this kind may be."""
    return _CLASSES[kind].bytes_max


def memory_bytes_of(signed: Signed[ExplorerRecord]) -> int:
    """About what holding a record takes of memory, its row in columns included."""
    return limits.RECORD_MEMORY_BYTES + len(signed.envelope) + _contents_bytes(signed.record)


def _contents_bytes(record: ExplorerRecord) -> int:
    """Of the objects that differ in number or length: a text of two letters is one of 51 bytes."""
    match record:
        case NodeAnnouncement(hardware=hardware):
            gpus = "\n".join(hardware.gpus).casefold()
            machine = (hardware.board, hardware.cpu_model, hardware.virtualized or "", gpus)
            ways = (*record.addresses, record.overlay_address, record.version)
            texts = _texts_bytes(machine) + _texts_bytes(hardware.gpus) + _texts_bytes(ways)
            return limits.NODE_MEMORY_BYTES + texts + _place_bytes(record.location)
        case CapacityUpdate():
            return 0
        case FarmRecord():
            said = (record.title, record.title.casefold(), *record.public_ranges)
            return limits.FARM_MEMORY_BYTES + _texts_bytes(said) + _place_bytes(record.location)
        case FarmMembers():
            return limits.ID_MEMORY_BYTES * len(record.nodes)
        case FlistName():
            return _texts_bytes((record.title, record.tag, record.description))
        case Holdings():
            return limits.HOLDER_MEMORY_BYTES * len(record.flists)


def _texts_bytes(texts: tuple[str, ...]) -> int:
    return sum(map(getsizeof, texts)) + limits.TEXT_MEMORY_BYTES * len(texts)


def _place_bytes(location: Location | None) -> int:
    """Texts of a location, and those in columns."""
    if location is None:
        return 0
    country, city = location.country, location.city
    return _texts_bytes((country, city, country.casefold(), city.casefold()))


def _open(data: bytes) -> _AnyEnvelope:
    return decode(_AnyEnvelope, data, bytes_max=limits.FARM_MEMBERS_BYTES_MAX)


def key_parts(key: RegisterKey) -> tuple[bytes, bytes, bytes]:
    """What follows the table's prefix in the store: kind, author, hash of the name."""
    is_named = key.name != b""
    name = blake2b(key.name, digest_size=_NAME_HASH_BYTES).digest() if is_named else _NO_NAME_HASH
    return bytes((key.kind,)), key.author, name
