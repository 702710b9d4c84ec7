"""Names of things: keys and hashes, each with a type of its own."""

from typing import NewType

from p2pgrid.errors import InvalidRecord
from p2pgrid.wire.signed import ID_BYTES, NETWORK_ID_BYTES, NetworkId, RecordId

__all__ = [
    "ID_BYTES",
    "NETWORK_ID_BYTES",
    "AccountId",
    "ChunkId",
    "FarmId",
    "FlistId",
    "NetworkId",
    "NodeId",
    "RecordId",
    "require_ids",
    "require_text",
    "short",
]

NodeId = NewType("NodeId", bytes)
"""A node: its Ed25519 public key, 32 bytes. Also its libp2p peer id and its account."""

AccountId = NewType("AccountId", bytes)
"""An account of the ledger: its first Ed25519 public key, 32 bytes."""

FarmId = NewType("FarmId", bytes)
"""A farm: the Ed25519 public key of its owner, 32 bytes."""

ChunkId = NewType("ChunkId", bytes)
"""A chunk: blake2b-256 of its encrypted bytes, 32 bytes."""

FlistId = NewType("FlistId", bytes)
"""An flist: blake2b-256 of its `.fl` file, 32 bytes."""


def short(identity: bytes) -> str:
    """The first 8 hex digits, for logs and tables."""
    return identity[:4].hex()


def require_ids(*identities: bytes) -> None:
    """Raise InvalidRecord unless each is 32 bytes long."""
    for identity in identities:
        if len(identity) != ID_BYTES:
            raise InvalidRecord(f"an id has {ID_BYTES} bytes, got {len(identity)}")


def require_text(text: str, what: str, *, bytes_max: int) -> None:
    """Raise InvalidRecord when `text` is too long or holds control characters."""
    if len(text.encode()) > bytes_max:
        raise InvalidRecord(f"{what} is longer than {bytes_max} bytes")
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise InvalidRecord(f"{what} holds control characters")
