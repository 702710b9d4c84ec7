"""Ways of finding out which records a peer has and we lack, once it is known that the sets differ.

A search asks one question after the other, until it knows what is lacking. Few
differences: descend to the parts that differ. Many: a stream of symbols.
So many that a list of ids is shorter: the list, of the parts that differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import ceil, log
from typing import Protocol

from p2pgrid.crdt.messages import (
    CUT_BYTES,
    CUT_DIGEST_BYTES,
    HINT_BYTES,
    PAGE_CUTS_MAX,
    SHORT_BYTES,
    Below,
    Cuts,
    Descend,
    Differs,
    Leaf,
    ListIds,
    Question,
    Stream,
    Symbols,
    is_ascending,
    read_answer,
    require,
    split,
)
from p2pgrid.crdt.riblt import SYMBOL_BYTES, Decoder, Encoder, decode_cells
from p2pgrid.crdt.short_hash import KEY_BYTES, short_hashes, without
from p2pgrid.crdt.trie import DIGITS, FANOUT, HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.limits.crdt import (
    DESCEND_PARTS_MAX,
    DESCEND_PREFIXES_MAX,
    RECONCILE_MISSING_MAX,
    RIBLT_SYMBOLS_MAX,
    STREAM_FIRST_MIN,
    STREAM_GROWTH,
    STREAM_MORE_MIN,
    TRIE_LEAF_IDS_MAX,
)

PARTS = 256
"""Parts that ids are listed by: those with the same first byte."""

_SYMBOLS_PER_DIFFERENCE = 1.4


@dataclass(frozen=True, slots=True)
class Ours:
    """What the asking side has, and the nonce of its pull."""

    ids: HashTrie
    unwanted: UnwantedIds
    nonce: bytes

    def lacks(self, cut: bytes) -> bool:
        """Whether we have no id that begins like this, and want it."""
        return not self.unwanted.has_cut(cut) and not self.ids.starting_with(cut)


@dataclass(frozen=True, slots=True)
class Lacking:
    """What a search found."""

    names: tuple[bytes, ...] = ()
    """Cuts of ids, or short hashes."""
    are_short: bool = False
    is_partial: bool = False
    """Whether there is more, so pull again."""


class Search(Protocol):
    """One way of finding what we lack."""

    def question(self) -> Question:
        """What to ask now."""
        ...

    def receive(self, data: bytes) -> "Search | Lacking":
        """Take the answer; how the search goes on, or what it found.

        Raises:
            MalformedRecord: not an answer.
            BrokenProtocol: an answer to something else.
        """
        ...


def cut_digest(digest: bytes, nonce: bytes, size: int) -> bytes:
    """A few bytes of the hash of a part, in a way that nobody could know before the question."""
    return blake2b(digest, key=nonce, digest_size=size).digest()


def hints_of(ids: HashTrie, nonce: bytes) -> bytes:
    """One byte for each of the 16 greatest parts."""
    return b"".join(cut_digest(one, nonce, HINT_BYTES) for one in ids.children())


def session_key(nonce: bytes) -> bytes:
    """The key of the short hashes of a session."""
    return blake2b(nonce, digest_size=KEY_BYTES, person=b"p2pgrid.symbols").digest()


def begin_search(ours: Ours, differs: Differs) -> Search | Lacking:
    """Choose how to look for what we lack."""
    require(len(differs.hints) == FANOUT * HINT_BYTES, "a hint for each of 16 parts")
    if differs.count == 0:
        return Lacking()
    top = Descent(ours, [b""], differs.count)  # the hints are too short to be descended by
    if differs.count <= TRIE_LEAF_IDS_MAX:
        return top
    mine = hints_of(ours.ids, ours.nonce)
    parts = sum(one != other for one, other in zip(mine, differs.hints, strict=True))
    known_differences = abs(differs.count - len(ours.ids))
    estimate = max(known_differences, _estimate(parts))
    symbols_max = min(RIBLT_SYMBOLS_MAX, differs.count * CUT_BYTES // SYMBOL_BYTES)
    if estimate * _SYMBOLS_PER_DIFFERENCE > symbols_max:
        return begin_listing(ours, differs.count)
    if estimate <= DESCEND_PARTS_MAX:
        return top
    return SymbolStream(ours, differs.count, estimate, symbols_max)


def begin_listing(ours: Ours, their_count: int) -> Search:
    """List all that the peer has, or what it has in the parts that differ."""
    if their_count <= PARTS or len(ours.ids) <= their_count // 2:
        return Listing(ours, bytes(range(PARTS)), [])
    return PartComparison(ours)


def _estimate(differing_parts: int) -> int:
    """How many differences leave so many of 16 parts different, on average."""
    if differing_parts == FANOUT:
        return STREAM_FIRST_MIN
    return ceil(log(1 - differing_parts / FANOUT) / log(1 - 1 / FANOUT))


class Descent:
    """Follows what differs down to the ids."""

    def __init__(self, ours: Ours, prefixes: Sequence[bytes], their_count: int) -> None:
        self._ours = ours
        self._prefixes = tuple(prefixes)
        self._their_count = their_count
        self._lacking: list[bytes] = []

    def question(self) -> Question:
        """Ask for what is below the prefixes that differ."""
        return Descend(self._ours.nonce, self._prefixes)

    def receive(self, data: bytes) -> Search | Lacking:
        """Go one step down."""
        differing, lacking = compare_below(self._ours, self._prefixes, read_answer(Below, data))
        self._lacking += lacking
        if len(differing) > DESCEND_PREFIXES_MAX:
            return SymbolStream(self._ours, self._their_count, len(differing), RIBLT_SYMBOLS_MAX)
        self._prefixes = tuple(differing)
        if differing and len(self._lacking) <= RECONCILE_MISSING_MAX:
            return self
        return Lacking(tuple(self._lacking), is_partial=bool(differing))


class PartComparison:
    """Finds the parts that differ, to list these."""

    _PREFIXES = tuple(bytes([digit]) for digit in range(FANOUT))

    def __init__(self, ours: Ours) -> None:
        self._ours = ours

    def question(self) -> Question:
        """Ask for the hashes of the 256 parts."""
        return Descend(self._ours.nonce, self._PREFIXES)

    def receive(self, data: bytes) -> Search | Lacking:
        """List those that differ."""
        differing, lacking = compare_below(self._ours, self._PREFIXES, read_answer(Below, data))
        if not differing:
            return Lacking(tuple(lacking))
        parts = bytes(first << 4 | second for first, second in differing)
        return Listing(self._ours, parts, lacking)


class Listing:
    """Takes the ids of parts page by page."""

    def __init__(self, ours: Ours, parts: bytes, lacking: list[bytes]) -> None:
        self._ours = ours
        self._parts = parts
        self._after = b""
        self._lacking = lacking
        self.full_pages = 0
        """Few of them can come: they hold what we have, or more than one pull takes."""

    def question(self) -> Question:
        """Ask for the next page."""
        return ListIds(self._parts, self._after)

    def receive(self, data: bytes) -> Search | Lacking:
        """Note what we lack."""
        page = read_answer(Cuts, data)
        cuts = split(page.cuts, CUT_BYTES)
        require(page.is_last or len(cuts) == PAGE_CUTS_MAX, "every page but the last is full")
        require(is_ascending([self._after, *cuts]), "ids come in order")
        require({cut[0] for cut in cuts} <= set(self._parts), "ids of what was asked for")
        lacking = [cut for cut in cuts if self._ours.lacks(cut)]
        room = RECONCILE_MISSING_MAX - len(self._lacking)
        self._lacking += lacking[:room]
        if page.is_last or len(lacking) > room:
            return Lacking(tuple(self._lacking), is_partial=len(lacking) > room)
        self._after = cuts[-1]
        self.full_pages += 1
        return self


class SymbolStream:
    """Takes symbols until they show all differences, or until a list of ids were shorter."""

    def __init__(self, ours: Ours, their_count: int, estimate: int, symbols_max: int) -> None:
        self._ours = ours
        self._their_count = their_count
        self._symbols_max = symbols_max
        self._key = session_key(ours.nonce)
        self._decoder: Decoder | None = None
        self._count = max(1, ceil(estimate * _SYMBOLS_PER_DIFFERENCE))

    @property
    def _first(self) -> int:
        return 0 if self._decoder is None else len(self._decoder)

    def question(self) -> Question:
        """Ask for the next symbols."""
        nonce = self._ours.nonce if self._decoder is None else b""
        return Stream(nonce, self._first, self._count)

    def receive(self, data: bytes) -> Search | Lacking:
        """Look whether the symbols are enough now."""
        symbols = read_answer(Symbols, data).symbols
        if not symbols:
            return begin_listing(self._ours, self._their_count)
        require(len(symbols) == self._count * SYMBOL_BYTES, "as many symbols as were asked for")
        if self._decoder is None:
            items = short_hashes(self._ours.ids.packed(), self._key)
            self._decoder = Decoder(Encoder(items))
        self._decoder.receive(decode_cells(symbols))
        if self._decoder.is_done:
            return Lacking(self._shorts(self._decoder), are_short=True)
        size = len(self._decoder)
        if self._decoder.is_exhausted or size >= self._symbols_max:
            return begin_listing(self._ours, self._their_count)
        more = max(STREAM_MORE_MIN, ceil(size * (STREAM_GROWTH - 1)))
        self._count = min(more, self._symbols_max - size)
        return self

    def _shorts(self, decoder: Decoder) -> tuple[bytes, ...]:
        _, theirs = decoder.differences()
        if len(theirs) and len(self._ours.unwanted):
            unwanted = short_hashes(b"".join(self._ours.unwanted), self._key)
            theirs = without(theirs, unwanted)
        return tuple(item.to_bytes(8, "big")[:SHORT_BYTES] for item in theirs.tolist())


def compare_below(
    ours: Ours, prefixes: Sequence[bytes], reply: Below
) -> tuple[list[bytes], list[bytes]]:
    """The prefixes of the parts that differ, and the cuts that we lack of the ids that came."""
    require(len(reply.parts) == len(prefixes), "an answer for each prefix")
    differing: list[bytes] = []
    lacking: list[bytes] = []
    for prefix, part in zip(prefixes, reply.parts, strict=True):
        if isinstance(part, Leaf):
            cuts = split(part.cuts, CUT_BYTES)
            require(len(cuts) <= TRIE_LEAF_IDS_MAX, "the ids of a leaf")
            lacking += [cut for cut in cuts if ours.lacks(cut)]
            continue
        require(len(prefix) < DIGITS - 1, "ids once there are no more digits")
        theirs = split(part.digests, CUT_DIGEST_BYTES)
        require(len(theirs) == FANOUT, "a hash for each of 16 parts")
        mine = (cut_digest(one, ours.nonce, CUT_DIGEST_BYTES) for one in ours.ids.children(prefix))
        differing += [
            prefix + bytes([digit])
            for digit, (one, other) in enumerate(zip(mine, theirs, strict=True))
            if one != other
        ]
    return differing, lacking
