"""Set reconciliation, the side that answers: says what a replica holds, at a bounded cost.

Everything but symbols is answered from the trie and the log, without memory of
who asks. Symbols need short hashes of the whole set by the asker's key: each
peer has at most one session, new ones have to wait, and all sessions together
may only hash so many ids a second. Who gets none asks for lists instead.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np

from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.messages import (
    CUT_BYTES,
    CUT_DIGEST_BYTES,
    NONCE_BYTES,
    PAGE_CUTS_MAX,
    SHORT_BYTES,
    Below,
    Children,
    Compare,
    Compared,
    Cuts,
    Descend,
    Differs,
    Equal,
    Fetch,
    FetchShort,
    Leaf,
    ListIds,
    News,
    Records,
    Request,
    Stream,
    Symbols,
    is_ascending,
    require,
    split,
)
from p2pgrid.crdt.riblt import Encoder
from p2pgrid.crdt.searches import cut_digest, hints_of, session_key
from p2pgrid.crdt.short_hash import short_hashes
from p2pgrid.crdt.trie import DIGEST_BYTES, DIGITS, FANOUT, ID_BYTES, HashTrie
from p2pgrid.limits.crdt import (
    DESCEND_PREFIXES_MAX,
    FETCH_MATCHES_MAX,
    NEWS_IDS_MAX,
    RECONCILE_ANSWER_BYTES_MAX,
    RECONCILE_FETCH_IDS_MAX,
    RIBLT_SYMBOLS_MAX,
    SESSION_IDS_BURST,
    SESSION_IDS_PER_SECOND,
    SESSION_INTERVAL_MS,
    SESSION_OVERHEAD_IDS,
    SESSIONS_MAX,
    SESSIONS_REMEMBERED_MAX,
)
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.codec import decode, encode

_EPOCH_BITS = 32
_REQUEST_BYTES_MAX = RECONCILE_FETCH_IDS_MAX * CUT_BYTES + 4096


class Replica(Protocol):
    """What a feature offers to its peers' pulls."""

    @property
    def ids(self) -> HashTrie:
        """Which records it has."""
        ...

    @property
    def arrivals(self) -> ArrivalLog:
        """In which order they came."""
        ...

    def record(self, identity: bytes) -> bytes | None:
        """The bytes of one record, as they travel; None when it is not there."""
        ...


@dataclass(frozen=True, slots=True)
class _Session:
    """The symbols of a set as it was when a peer asked first."""

    packed: bytes
    encoder: Encoder


class Answerer:
    """Answers the pulls of all peers from one replica.

    Args:
        random: names the log of arrivals, so that cursors of an earlier one are no cursors.
    """

    def __init__(self, replica: Replica, random: Random) -> None:
        self._replica = replica
        self._epoch = 1 + random.getrandbits(_EPOCH_BITS - 1)
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()
        """By peer, the least lately used first."""
        self._begun_ms: OrderedDict[bytes, int] = OrderedDict()
        """When a peer began its last session."""
        self._room_ids = float(SESSION_IDS_BURST)
        self._room_at_ms = 0

    def answer(self, peer: bytes, request: bytes, now_ms: int) -> bytes:
        """Answer one request, at most RECONCILE_ANSWER_BYTES_MAX and one record.

        Args:
            peer: who asks.
            request: what it sent.
            now_ms: any clock that does not go back.

        Raises:
            MalformedRecord: not a request.
            BrokenProtocol: a request that no asker of ours sends.
        """
        question = decode(Request, request, bytes_max=_REQUEST_BYTES_MAX).question
        match question:
            case Compare():
                return encode(self._compared(question))
            case Descend():
                return encode(self._below(question))
            case Stream():
                return encode(self._symbols(peer, question, now_ms))
            case FetchShort():
                return encode(self._fetched(self._named_by_short(peer, question)))
            case ListIds():
                return encode(self._listed(question))
            case Fetch():
                return encode(self._fetched(self._named_by_cut(question)))

    # --- from the trie and the log ----------------------------------------------------------------

    def _compared(self, question: Compare) -> Compared:
        require(len(question.root) == DIGEST_BYTES, "a root of 16 bytes")
        require(len(question.nonce) == NONCE_BYTES, "a nonce of 8 bytes")
        ids, log = self._replica.ids, self._replica.arrivals
        if question.root == ids.root():
            return Compared(Equal(self._epoch, log.end))
        if question.epoch == self._epoch and log.start <= question.offset < log.end:
            arrived = log.since(question.offset, NEWS_IDS_MAX)
            cuts = b"".join(one[:CUT_BYTES] for one in dict.fromkeys(arrived) if one in ids)
            return Compared(News(question.offset + len(arrived), cuts))
        hints = hints_of(ids, question.nonce)
        return Compared(Differs(self._epoch, log.end, len(ids), hints))

    def _below(self, question: Descend) -> Below:
        require(len(question.nonce) == NONCE_BYTES, "a nonce of 8 bytes")
        require(0 < len(question.prefixes) <= DESCEND_PREFIXES_MAX, "1 to 64 prefixes")
        return Below(tuple(self._part(one, question.nonce) for one in question.prefixes))

    def _part(self, prefix: bytes, nonce: bytes) -> Children | Leaf:
        require(len(prefix) < DIGITS and all(one < FANOUT for one in prefix), "digits of an id")
        ids = self._replica.ids
        if ids.is_leaf(prefix):
            return Leaf(b"".join(one[:CUT_BYTES] for one in ids.below(prefix)))
        digests = ids.children(prefix)
        return Children(b"".join(cut_digest(one, nonce, CUT_DIGEST_BYTES) for one in digests))

    def _listed(self, question: ListIds) -> Cuts:
        require(bool(question.parts), "parts to list")
        require(is_ascending(split(question.parts, 1)), "parts in order")
        require(len(question.after) in (0, CUT_BYTES), "a page that starts after a cut")
        found: dict[bytes, None] = {}
        for part in question.parts:
            if bytes([part]) < question.after[:1]:
                continue
            for identity in self._replica.ids.below(bytes((part >> 4, part & 15))):
                if identity[:CUT_BYTES] > question.after:
                    found[identity[:CUT_BYTES]] = None
            if len(found) > PAGE_CUTS_MAX:
                break
        page = list(found)[:PAGE_CUTS_MAX]
        return Cuts(b"".join(page), is_last=len(page) == len(found))

    # --- records ----------------------------------------------------------------------------------

    def _named_by_cut(self, question: Fetch) -> list[list[bytes]]:
        cuts = split(question.cuts, CUT_BYTES)
        require(0 < len(cuts) <= RECONCILE_FETCH_IDS_MAX, "a fetch of 1 to 1024 names")
        return [self._replica.ids.starting_with(cut)[:FETCH_MATCHES_MAX] for cut in cuts]

    def _named_by_short(self, peer: bytes, question: FetchShort) -> list[list[bytes]]:
        shorts = split(question.shorts, SHORT_BYTES)
        require(0 < len(shorts) <= RECONCILE_FETCH_IDS_MAX, "a fetch of 1 to 1024 names")
        session = self._sessions.get(peer)
        if session is None:
            return [[] for _ in shorts]
        return _find(session, shorts)

    def _fetched(self, wanted: Iterable[list[bytes]]) -> Records:
        """As many records as fit, of all ids of a name or none."""
        records: list[bytes] = []
        room_bytes = RECONCILE_ANSWER_BYTES_MAX
        covered = 0
        for ids in wanted:
            found = [one for one in map(self._replica.record, ids) if one is not None]
            size = sum(map(len, found))
            if records and size > room_bytes:
                break
            records += found
            room_bytes -= size
            covered += 1
        return Records(tuple(records), covered)

    # --- symbols ----------------------------------------------------------------------------------

    def _symbols(self, peer: bytes, question: Stream, now_ms: int) -> Symbols:
        end = question.first + question.count
        require(question.count > 0 and end <= RIBLT_SYMBOLS_MAX, "symbols up to a limit")
        require(len(question.nonce) in (0, NONCE_BYTES), "a nonce of 8 bytes, or none")
        if question.nonce:
            require(question.first == 0, "a session to begin with the first symbol")
            self._sessions.pop(peer, None)
            if self._may_begin(peer, now_ms):
                self._begin(peer, question.nonce)
        session = self._sessions.get(peer)
        if session is None:
            return Symbols(b"")
        self._sessions.move_to_end(peer)
        session.encoder.extend(end)
        return Symbols(session.encoder.cells.encode(question.first, end))

    def _may_begin(self, peer: bytes, now_ms: int) -> bool:
        """Whether a new session is within the limits; notes that it begins."""
        last_ms = self._begun_ms.get(peer)
        if last_ms is not None and now_ms < last_ms + SESSION_INTERVAL_MS:
            return False
        passed_seconds = max(0, now_ms - self._room_at_ms) / SECOND_MS
        self._room_at_ms = now_ms
        refilled = self._room_ids + passed_seconds * SESSION_IDS_PER_SECOND
        self._room_ids = min(refilled, SESSION_IDS_BURST)
        if self._room_ids <= 0:
            return False
        self._room_ids -= len(self._replica.ids) + SESSION_OVERHEAD_IDS
        self._begun_ms.pop(peer, None)
        self._begun_ms[peer] = now_ms
        if len(self._begun_ms) > SESSIONS_REMEMBERED_MAX:
            self._begun_ms.popitem(last=False)
        return True

    def _begin(self, peer: bytes, nonce: bytes) -> None:
        packed = self._replica.ids.packed()
        encoder = Encoder(short_hashes(packed, session_key(nonce)))
        self._sessions[peer] = _Session(packed, encoder)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)


def _find(session: _Session, shorts: list[bytes]) -> list[list[bytes]]:
    """The ids of each short hash: one, or by chance two."""
    uppers = (session.encoder.items >> np.uint64(64 - 8 * SHORT_BYTES)).astype(np.uint32)
    numbers = [int.from_bytes(one, "big") for one in shorts]
    rows = np.flatnonzero(np.isin(uppers, np.array(numbers, np.uint32))).tolist()
    found: dict[int, list[bytes]] = {number: [] for number in numbers}
    for row in rows:
        identity = session.packed[row * ID_BYTES : (row + 1) * ID_BYTES]
        found[int(uppers[row])].append(identity)
    return [found[number][:FETCH_MATCHES_MAX] for number in numbers]
