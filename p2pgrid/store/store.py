"""The disk seam: an ordered map of bytes, and every key prefix of every store.

    ledger.ldb     explorer.ldb     node.ldb     chunks.ldb          one LevelDB each

Keys are a prefix of one byte and fixed-length parts, so that a scan of a prefix
is a scan of one table. Values are canonical records or nothing.
"""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Protocol

from p2pgrid.limits.store import VALUE_BYTES_MAX

FORMAT_VERSION = 1
"""Of every key and value of every store. Goes up when older programs would damage the data."""


class Table(bytes, Enum):
    """First byte of a key. One line each: what follows it, and what the value is."""

    FORMAT = b"\x00"
    """(nothing) -> format version, as decimal text; in every store"""

    # ledger.ldb
    BATCH = b"b"
    """batch id 32 -> CertifiedBatch"""
    VOTE = b"v"
    """slot 32 -> id 32 of the operation voted for"""
    VOTED_OPERATION = b"o"
    """operation id 32 -> signed Operation that we voted for"""
    EVIDENCE = b"e"
    """evidence id 32 -> Equivocation"""
    CANCEL_SEEN = b"s"
    """escrow id 32 -> when this witness first saw its cancel, 8 bytes big-endian milliseconds"""
    OWN_HEAD = b"w"
    """account 32 -> sequence, 8 bytes, and id 32 of our own last certified operation"""
    PENDING = b"p"
    """account 32 -> signed Operation of our own that is not certified yet"""
    EPOCH = b"g"
    """epoch 8 -> EpochCertificate that ended it"""
    AGREEMENT = b"t"
    """epoch 8 -> AgreementMemory: what this witness voted on the end of that epoch"""
    EPOCH_SECRET = b"j"
    """epoch 8 -> EpochSecret of this witness for that epoch; gone when the epoch is over"""
    SETTLED = b"f"
    """(nothing) -> how many epochs were settled when this witness last forgot its votes, 8 bytes"""
    LATE = b"d"
    """epoch 8, operation id 32 -> nothing: its certificate came after the books were closed"""
    VOID = b"z"
    """epoch 8, operation id 32 -> the operation: certified in that epoch, which ended without it"""

    # explorer.ldb
    REGISTER = b"r"
    """kind 1, author 32, hash of name 16 -> signed record"""
    CONTRADICTION = b"x"
    """kind 1, author 32, hash of name 16 -> Contradiction of that register, in its envelope"""

    # node.ldb
    META = b"m"
    """name -> value: network id, incarnation"""
    HOSTED = b"h"
    """reservation id 32 -> Reservation that runs here"""
    KEPT_LOG = b"l"
    """reservation id 32, name of a workload -> the end of its log, after it was removed"""
    RENTED = b"c"
    """reservation id 32 -> Rental of our own on some node"""
    PEER = b"a"
    """node id 32 -> RememberedPeer: where we reached it, for the next start"""
    ANCHOR = b"y"
    """node id 32 -> RememberedAnchor: one of the chosen neighbours that lasted longest; tried
    first at the next start, so nobody becomes all that we see by waiting for it; durable"""

    # chunks.ldb
    CHUNK = b"k"
    """chunk id 32 -> Place: pack number, offset, length"""
    PACK = b"n"
    """pack number 4 -> PackState: how far the pack is indexed, and what of it is in use"""
    CHUNK_USED = b"u"
    """chunk id 32 -> hour since 1970 in which it was last used, 4 bytes big-endian"""
    PIN = b"q"
    """flist id 32, name of the pin -> nothing"""

    def key(self, *parts: bytes) -> bytes:
        """The key of one entry of this table."""
        return b"".join((self, *parts))


Change = tuple[bytes, bytes | None]
"""(key, value), or (key, None) to delete."""


def check_changes(changes: Sequence[Change]) -> None:
    """Raise ValueError for a value that only a bug of ours can have made."""
    for key, value in changes:
        if value is not None and len(value) > VALUE_BYTES_MAX:
            raise ValueError(f"value of {len(value)} bytes under {key[:40]!r}")


def end_of(prefix: bytes) -> bytes | None:
    r"""The first key after all that start with `prefix`; None when no key is.

    >>> end_of(b"ab"), end_of(b"a\xff"), end_of(b"")
    (b'ac', b'b', None)
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


class Store(Protocol):
    """An ordered map of bytes on disk. One process, one task writes."""

    def get(self, key: bytes) -> bytes | None:
        """The value, or None. Microseconds."""
        ...

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix`, in order of keys, those > `after` only.

        The iterator sees the state at the call, whatever is written meanwhile.
        """
        ...

    def write(self, changes: Sequence[Change]) -> None:
        """All or nothing, visible at once; survives our end, but maybe not a power cut.

        Raises StoreFailed.
        """
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """All or nothing, durable on return; waiting commits share one fsync.

        Raises StoreFailed: nothing of it is stored.
        """
        ...
