"""What two peers say to each other when one pulls records from the other.

A `cut` is the first 8 bytes of an id, a `hint` or `cut digest` is a few bytes of the hash of a
part, mixed with the nonce of the question. They only steer: that two sets are
equal is decided by whole roots alone, and records are verified by whoever pulls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.crdt import RECONCILE_ANSWER_BYTES_MAX
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.wire.codec import decode, variant

CUT_BYTES = 8
NONCE_BYTES = 8
HINT_BYTES = 1
CUT_DIGEST_BYTES = 4
SHORT_BYTES = 4
"""Of a short hash, the upper ones: enough to name an item among 100,000."""

PAGE_CUTS_MAX = RECONCILE_ANSWER_BYTES_MAX // CUT_BYTES
"""Cuts of a page that is full; every page but the last one is."""

_ANSWER_BYTES_MAX = RECONCILE_ANSWER_BYTES_MAX + RECORD_BYTES_MAX + 4096
"""An answer may hold one record more than fits, and what is around them."""

_M = TypeVar("_M")


@variant(1)
@dataclass(frozen=True, slots=True)
class Compare:
    """Asks whether our sets are equal, and for what came since the cursor."""

    root: bytes
    nonce: bytes
    epoch: int
    """Of the answering peer's arrival log, as it said last; 0: none is known."""
    offset: int
    """Up to where in that log everything was asked for."""


@variant(2)
@dataclass(frozen=True, slots=True)
class Descend:
    """Asks what is below these prefixes."""

    nonce: bytes
    prefixes: tuple[bytes, ...]
    """Four-bit digits, one byte each."""


@variant(3)
@dataclass(frozen=True, slots=True)
class Stream:
    """Asks for symbols of the whole set."""

    nonce: bytes
    """Begins a session with the key made of it; empty: the session that we have."""
    first: int
    count: int


@variant(4)
@dataclass(frozen=True, slots=True)
class FetchShort:
    """Asks for records by their short hashes in the session that we have."""

    shorts: bytes
    """The upper 4 bytes of each, one after the other."""


@variant(5)
@dataclass(frozen=True, slots=True)
class ListIds:
    """Asks what the peer has in these parts."""

    parts: bytes
    """The first byte of their ids, ascending."""
    after: bytes
    """The last cut of the page before; empty for the first."""


@variant(6)
@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for records by the cuts of their ids."""

    cuts: bytes
    """One after the other."""


Question = Compare | Descend | Stream | FetchShort | ListIds | Fetch


@dataclass(frozen=True, slots=True)
class Request:
    """What an asker sends."""

    question: Compare | Descend | Stream | FetchShort | ListIds | Fetch


@variant(1)
@dataclass(frozen=True, slots=True)
class Equal:
    """Our sets are equal."""

    epoch: int
    offset: int
    """The end of the arrival log."""


@variant(2)
@dataclass(frozen=True, slots=True)
class News:
    """What came since the cursor, or the first part of it, and is still there."""

    offset: int
    """Where the next question goes on."""
    cuts: bytes


@variant(3)
@dataclass(frozen=True, slots=True)
class Differs:
    """Our sets differ, and there is no news."""

    epoch: int
    offset: int
    count: int
    """Ids of the answering peer."""
    hints: bytes
    """One byte for each of the 16 greatest parts."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Answer to Compare."""

    result: Equal | News | Differs


@variant(1)
@dataclass(frozen=True, slots=True)
class Children:
    """Many ids are below a prefix."""

    digests: bytes
    """Four bytes for each of its 16 parts."""


@variant(2)
@dataclass(frozen=True, slots=True)
class Leaf:
    """Few ids are below a prefix."""

    cuts: bytes


@dataclass(frozen=True, slots=True)
class Below:
    """Answer to Descend: one for each prefix, in order."""

    parts: tuple[Children | Leaf, ...]


@dataclass(frozen=True, slots=True)
class Symbols:
    """Answer to Stream: symbols of 12 bytes; empty: there is no session to be had now."""

    symbols: bytes


@dataclass(frozen=True, slots=True)
class Cuts:
    """Answer to ListIds: cuts of ids one after the other, ascending."""

    cuts: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class Records:
    """Answer to both fetches: records of the first `covered` that were asked for."""

    records: tuple[bytes, ...]
    """Unknown ones are left out; of ids that share a cut all come."""
    covered: int


def read_answer(cls: type[_M], data: bytes) -> _M:
    """An answer of a peer. Raises MalformedRecord."""
    return decode(cls, data, bytes_max=_ANSWER_BYTES_MAX)


def require(fits: bool, rule: str) -> None:  # noqa: FBT001 reads like an assertion
    """Raise BrokenProtocol when a peer breaks a rule."""
    if not fits:
        raise BrokenProtocol(f"reconcile: expected {rule}")


def is_ascending(items: Sequence[bytes]) -> bool:
    """Whether each is greater than the one before."""
    return all(one < next_one for one, next_one in pairwise(items))


def split(data: bytes, size: int) -> list[bytes]:
    """Pieces of `size` bytes. Raises BrokenProtocol when there is a rest."""
    require(len(data) % size == 0, f"pieces of {size} bytes")
    return [data[start : start + size] for start in range(0, len(data), size)]
