"""Names of things: keys and hashes, each with a type of its own."""

import re
import unicodedata
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
    "one_line",
    "require_ids",
    "require_text",
    "short",
]

_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, C0 and C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a"  # invisible
    "\ue000-\uf8ff\U000f0000-\U0010ffff"  # private use: whatever a font makes of it
    "\ud800-\udfff"  # halves of UTF-16 pairs
    "\U000e0000-\U000e0fff]"  # tags and variations: whole hidden alphabets
    "|[\u0300-\u036f\u20d0-\u20ff]{5,}"  # marks heaped on one letter until they reach other lines
)

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


def one_line(text: str, *, bytes_max: int) -> str:
    r"""What `require_text` accepts of any text: hidden characters become spaces, the rest is cut.

    >>> one_line("cannot start:\n no such file", bytes_max=20)
    'cannot start: no suc'
    """
    words = " ".join(_HIDDEN.sub(" ", text).split())
    normal = unicodedata.ucd_3_2_0.normalize("NFC", words)
    return normal.encode()[:bytes_max].decode(errors="ignore")


def require_text(text: str, what: str, *, bytes_max: int) -> None:
    """Raise InvalidRecord when `text` is too long or would not show as what it is.

    Others print these texts on terminals: no control character steers one, and
    nothing invisible makes two names look alike or turns their direction.
    """
    if text.isascii() and text.isprintable() and len(text) <= bytes_max:
        return  # nearly all texts, in a third of the time
    if _HIDDEN.search(text):
        raise InvalidRecord(f"{what} holds control or invisible characters")
    if len(text.encode()) > bytes_max:
        raise InvalidRecord(f"{what} is longer than {bytes_max} bytes")
