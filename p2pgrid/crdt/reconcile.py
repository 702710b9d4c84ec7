"""Set reconciliation: get the records that another replica has and we do not.

The asker drives; the other side answers each request from what it holds and
keeps no session. Both sides pull, so both end up with the union.

    Compare  our root digest         -> nothing when equal, else 256 bucket digests
    ListIds  buckets that differ     -> their ids in order, page by page
    Fetch    ids that we lack        -> records, as many as one answer holds

A bucket is the ids with the same first byte. Its digest is a hash over its
sorted ids: digests that are XORs or sums of ids can be made equal for unequal
sets by whoever may place records, and would hide a victim's record.

The records that come back are not verified here: whoever pulls does that.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from itertools import pairwise
from typing import Protocol, TypeVar

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.crdt import (
    RECONCILE_ANSWER_BYTES_MAX,
    RECONCILE_FETCH_IDS_MAX,
    RECONCILE_MISSING_MAX,
)
from p2pgrid.limits.wire import RECORD_BYTES_MAX
from p2pgrid.wire.codec import decode, encode, variant

BUCKETS = 256
DIGEST_BYTES = 16
ID_BYTES = 32

_ANSWER_OVERHEAD_BYTES = 4096
_REQUEST_BYTES_MAX = RECONCILE_FETCH_IDS_MAX * ID_BYTES + BUCKETS + _ANSWER_OVERHEAD_BYTES
_PAGE_IDS_MAX = RECONCILE_ANSWER_BYTES_MAX // ID_BYTES

_M = TypeVar("_M")


class IdSet:
    """A set of 32-byte ids that knows the digest of each of its buckets."""

    def __init__(self, ids: Sequence[bytes] = ()) -> None:
        self._buckets: list[list[bytes]] = [[] for _ in range(BUCKETS)]
        for identity in sorted(set(ids)):
            assert len(identity) == ID_BYTES
            self._buckets[identity[0]].append(identity)
        self._digests = [b""] * BUCKETS
        self._stale = set(range(BUCKETS))
        """Buckets whose digest is to be computed before its next use."""

    def __len__(self) -> int:
        return sum(map(len, self._buckets))

    def __contains__(self, identity: object) -> bool:
        if not isinstance(identity, bytes) or len(identity) != ID_BYTES:
            return False
        bucket = self._buckets[identity[0]]
        place = bisect_left(bucket, identity)
        return place < len(bucket) and bucket[place] == identity

    def __iter__(self) -> Iterator[bytes]:
        for bucket in self._buckets:
            yield from bucket

    def add(self, identity: bytes) -> None:
        """Make sure that `identity`, 32 bytes, is in the set."""
        assert len(identity) == ID_BYTES
        bucket = self._buckets[identity[0]]
        place = bisect_left(bucket, identity)
        if place == len(bucket) or bucket[place] != identity:
            bucket.insert(place, identity)
            self._stale.add(identity[0])

    def discard(self, identity: bytes) -> None:
        """Make sure that `identity` is not in the set."""
        if identity in self:
            bucket = self._buckets[identity[0]]
            del bucket[bisect_left(bucket, identity)]
            self._stale.add(identity[0])

    def digests(self) -> tuple[bytes, ...]:
        """One digest of 16 bytes a bucket; costs only the buckets that changed."""
        for number in self._stale:
            self._digests[number] = _digest(b"".join(self._buckets[number]))
        self._stale.clear()
        return tuple(self._digests)

    def root(self) -> bytes:
        """The digest of the whole set, 16 bytes: equal if and only if the sets are."""
        return _digest(b"".join(self.digests()))

    def page(self, buckets: bytes, *, after: bytes, count_max: int) -> tuple[list[bytes], bool]:
        """Ids > `after` in the numbered `buckets`, in order, and whether these are the last."""
        found: list[bytes] = []
        for number in buckets:
            bucket = self._buckets[number]
            found += bucket[bisect_right(bucket, after) :][: count_max + 1 - len(found)]
        return found[:count_max], len(found) <= count_max


class Replica(Protocol):
    """What a feature offers to its peers' pulls."""

    @property
    def ids(self) -> IdSet:
        """Which records it has."""
        ...

    def record(self, identity: bytes) -> bytes | None:
        """The bytes of one record, as they travel; None when it is not there."""
        ...


# --- messages -------------------------------------------------------------------------------------


@variant(1)
@dataclass(frozen=True, slots=True)
class Compare:
    """Asks whether our sets are equal."""

    root: bytes


@variant(2)
@dataclass(frozen=True, slots=True)
class ListIds:
    """Asks what the peer has in these buckets."""

    buckets: bytes
    """Their numbers, one byte each, ascending."""
    after: bytes
    """The last id of the page before; empty for the first."""


@variant(3)
@dataclass(frozen=True, slots=True)
class Fetch:
    """Asks for these records."""

    ids: bytes
    """One after the other."""


@dataclass(frozen=True, slots=True)
class Request:
    """What an asker sends."""

    question: Compare | ListIds | Fetch


@dataclass(frozen=True, slots=True)
class Digests:
    """Answer to Compare: the 256 bucket digests one after the other; empty: our sets are equal."""

    digests: bytes


@dataclass(frozen=True, slots=True)
class Ids:
    """Answer to ListIds: ids one after the other, ascending."""

    ids: bytes
    is_last: bool


@dataclass(frozen=True, slots=True)
class Records:
    """Answer to Fetch: the records of the first `covered` ids asked for, unknown ones left out."""

    records: tuple[bytes, ...]
    covered: int


# --- the side that answers ------------------------------------------------------------------------


def answer(replica: Replica, request: bytes) -> bytes:
    """Answer one request of whoever asks, at most RECONCILE_ANSWER_BYTES_MAX and a few bytes.

    Raises:
        MalformedRecord: not a request.
        BrokenProtocol: a request that no asker of ours sends.
    """
    question = decode(Request, request, bytes_max=_REQUEST_BYTES_MAX).question
    match question:
        case Compare():
            return encode(_compared(replica.ids, question))
        case ListIds():
            return encode(_listed(replica.ids, question))
        case Fetch():
            return encode(_fetched(replica, question))


def _compared(ids: IdSet, question: Compare) -> Digests:
    _require(len(question.root) == DIGEST_BYTES, "a root digest has 16 bytes")
    return Digests(b"" if question.root == ids.root() else b"".join(ids.digests()))


def _listed(ids: IdSet, question: ListIds) -> Ids:
    _require(_is_ascending(list(question.buckets)), "buckets are asked for in order")
    _require(len(question.after) in (0, ID_BYTES), "a page starts after an id")
    page, is_last = ids.page(question.buckets, after=question.after, count_max=_PAGE_IDS_MAX)
    return Ids(b"".join(page), is_last)


def _fetched(replica: Replica, question: Fetch) -> Records:
    wanted = _split(question.ids)
    _require(0 < len(wanted) <= RECONCILE_FETCH_IDS_MAX, "a fetch names 1 to 1024 ids")
    records: list[bytes] = []
    room_bytes = RECONCILE_ANSWER_BYTES_MAX
    for covered, identity in enumerate(wanted):
        record = replica.record(identity)
        if record is None:
            continue
        if records and len(record) > room_bytes:
            return Records(tuple(records), covered)
        records.append(record)
        room_bytes -= len(record)
    return Records(tuple(records), len(wanted))


# --- the side that asks ---------------------------------------------------------------------------


class _Phase(Enum):
    COMPARE = 1
    LIST = 2
    FETCH = 3
    DONE = 4


class Pull:
    """One pull from one peer: alternate `next_request` and `receive` until there is no request.

    Args:
        ids: what we have; may change meanwhile.
        skip: ids that we lack and do not want either, such as records we found outdated.
    """

    def __init__(self, ids: IdSet, *, skip: Container[bytes] = ()) -> None:
        self._ids = ids
        self._skip = skip
        self._phase = _Phase.COMPARE
        self._buckets = b""
        self._after = b""
        self._missing: list[bytes] = []
        self.was_equal = False
        """Whether the peer's set and ours were equal when we asked."""
        self.is_partial = False
        """Whether the peer named more than RECONCILE_MISSING_MAX ids, so pull again."""

    def next_request(self) -> bytes | None:
        """What to send now; None: there is nothing left to ask."""
        match self._phase:
            case _Phase.COMPARE:
                return encode(Request(Compare(self._ids.root())))
            case _Phase.LIST:
                return encode(Request(ListIds(self._buckets, self._after)))
            case _Phase.FETCH:
                return encode(Request(Fetch(b"".join(self._missing[:RECONCILE_FETCH_IDS_MAX]))))
            case _Phase.DONE:
                return None

    def receive(self, data: bytes) -> tuple[bytes, ...]:
        """Take the answer to the last request; give the records in it, unverified.

        Raises:
            MalformedRecord: not an answer.
            BrokenProtocol: an answer to something else. The pull is over then.
        """
        phase, self._phase = self._phase, _Phase.DONE
        match phase:
            case _Phase.COMPARE:
                self._take_digests(_read(Digests, data))
            case _Phase.LIST:
                self._take_ids(_read(Ids, data))
            case _Phase.FETCH:
                return self._take_records(_read(Records, data))
            case _Phase.DONE:
                raise AssertionError("nothing was asked")
        return ()

    def _take_digests(self, reply: Digests) -> None:
        if not reply.digests:
            self.was_equal = True
            return
        _require(len(reply.digests) == BUCKETS * DIGEST_BYTES, "256 digests of 16 bytes")
        ours = b"".join(self._ids.digests())
        self._buckets = bytes(
            number
            for number in range(BUCKETS)
            if _slice(ours, number, DIGEST_BYTES) != _slice(reply.digests, number, DIGEST_BYTES)
        )
        self._phase = _Phase.LIST if self._buckets else _Phase.DONE

    def _take_ids(self, reply: Ids) -> None:
        named = _split(reply.ids)
        _require(bool(named) or reply.is_last, "an empty page is the last")
        _require(_is_ascending([self._after, *named]), "ids come in order")
        _require(
            {identity[0] for identity in named} <= set(self._buckets), "ids of what was asked for"
        )
        lacking = [one for one in named if one not in self._ids and one not in self._skip]
        room = RECONCILE_MISSING_MAX - len(self._missing)
        self._missing += lacking[:room]
        self.is_partial = len(lacking) > room
        if not (reply.is_last or self.is_partial):
            self._after = named[-1]
            self._phase = _Phase.LIST
        elif self._missing:
            self._phase = _Phase.FETCH

    def _take_records(self, reply: Records) -> tuple[bytes, ...]:
        asked = min(len(self._missing), RECONCILE_FETCH_IDS_MAX)
        _require(1 <= reply.covered <= asked, "it covers some of what was asked for")
        _require(len(reply.records) <= reply.covered, "one record for an id")
        del self._missing[: reply.covered]
        self._phase = _Phase.FETCH if self._missing else _Phase.DONE
        return reply.records


def _read(cls: type[_M], data: bytes) -> _M:
    longest = RECONCILE_ANSWER_BYTES_MAX + RECORD_BYTES_MAX + _ANSWER_OVERHEAD_BYTES
    return decode(cls, data, bytes_max=longest)


def _require(fits: bool, rule: str) -> None:  # noqa: FBT001 reads like an assertion
    if not fits:
        raise BrokenProtocol(f"reconcile: expected {rule}")


def _is_ascending(items: Sequence[int] | Sequence[bytes]) -> bool:
    return all(one < next_one for one, next_one in pairwise(items))  # type: ignore[operator]  # both of one type


def _split(ids: bytes) -> list[bytes]:
    _require(len(ids) % ID_BYTES == 0, "ids of 32 bytes")
    return [ids[start : start + ID_BYTES] for start in range(0, len(ids), ID_BYTES)]


def _slice(data: bytes, number: int, size: int) -> bytes:
    return data[number * size : (number + 1) * size]


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_BYTES).digest()
