"""Set reconciliation, the side that asks: get the records that a peer has and we do not.

The asker drives; `answerer` is the other side. Both sides pull, so both end up with the union.

    Compare     our root, our cursor  -> equal | what came since the cursor | differs, with hints
    Descend     prefixes              -> hashes of their parts, or their ids     few differences
    Stream      symbols i to j        -> symbols of a rateless table             many differences
    ListIds     parts                 -> their ids, page by page                 too many for that
    Fetch…      names                 -> records, as many as one answer holds

A cursor is where in the peer's log of arrivals we are: asking what came since
costs only the news. It misses what we refused then and may want now, so the
whole sets are compared now and then all the same; between, a cursor is trusted.

The records that come back are not verified here: whoever pulls does that.
"""

from dataclasses import dataclass
from enum import Enum

from p2pgrid.crdt.messages import (
    CUT_BYTES,
    NONCE_BYTES,
    Compare,
    Compared,
    Differs,
    Equal,
    Fetch,
    FetchShort,
    News,
    Question,
    Records,
    Request,
    read_answer,
    require,
    split,
)
from p2pgrid.crdt.searches import Lacking, Listing, Ours, Search, begin_search
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.limits.crdt import (
    FETCH_MATCHES_MAX,
    NEWS_IDS_MAX,
    NEWS_PAGES_MAX,
    RECONCILE_FETCH_IDS_MAX,
)
from p2pgrid.wire.codec import encode


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where in a peer's log of arrivals we are."""

    epoch: int = 0
    """Which log: a peer that starts anew has another one. 0: none."""
    offset: int = 0


NO_CURSOR = Cursor()


class _Phase(Enum):
    COMPARE = 1
    SEARCH = 2
    FETCH = 3
    DONE = 4


class Pull:
    """One pull from one peer: alternate `next_request` and `receive` until there is no request.

    Args:
        ids: what we have; may change meanwhile.
        unwanted: what we lack and do not want either, such as records we found outdated.
        nonce: 8 random bytes.
        cursor: where we are in the peer's log of arrivals.
        is_trusted: whether all that the peer had before the cursor is known to be here.
    """

    def __init__(
        self,
        ids: HashTrie,
        unwanted: UnwantedIds,
        *,
        nonce: bytes,
        cursor: Cursor = NO_CURSOR,
        is_trusted: bool = False,
    ) -> None:
        assert len(nonce) == NONCE_BYTES
        self._ours = Ours(ids, unwanted, nonce)
        self._is_trusted = is_trusted
        self._phase = _Phase.COMPARE
        self._search: Search | None = None
        self._lacking: list[bytes] = []
        self._are_short = False
        self._news_pages = 0
        self._has_gaps = False
        """Whether records that were named did not come: dropped meanwhile, or a session ended."""
        self._fetched: list[bytes] = []
        """Cuts that the last answer covers."""
        self._is_whole = False
        """Whether it looks at all that the peer has."""
        self.cursor = cursor
        """Where to go on once this pull is over; what is left out comes by a whole comparison."""
        self.is_compared = False
        """Whether all that the peer has was looked at and is here, not only its news."""
        self.is_partial = False
        """Whether the peer has more than one pull takes, so pull again."""
        self.in_vain = 0
        """Names that were asked for, and are still lacking: `note_taken` counts them."""

    @property
    def full_pages(self) -> int:
        """Full pages of ids that came of the list that is under way: a slow line takes its time."""
        return self._search.full_pages if isinstance(self._search, Listing) else 0

    def next_request(self) -> bytes | None:
        """What to send now; None: there is nothing left to ask."""
        question = self._next_question()
        return None if question is None else encode(Request(question))

    def receive(self, data: bytes) -> tuple[bytes, ...]:
        """Take the answer to the last request; give the records in it, unverified.

        Raises:
            MalformedRecord: not an answer.
            BrokenProtocol: an answer to something else. The pull is over then.
        """
        phase, self._phase = self._phase, _Phase.DONE
        match phase:
            case _Phase.COMPARE:
                self._take_comparison(read_answer(Compared, data).result)
            case _Phase.SEARCH:
                assert self._search is not None
                self._go_on(self._search.receive(data))
            case _Phase.FETCH:
                return self._take_records(read_answer(Records, data))
            case _Phase.DONE:
                raise AssertionError("nothing was asked")
        return ()

    def note_taken(self) -> None:
        """Say that the records of the last answer were taken, as far as they are wanted."""
        self.in_vain += sum(map(self._ours.lacks, self._fetched))
        self._fetched = []

    def _next_question(self) -> Question | None:
        match self._phase:
            case _Phase.COMPARE:
                root, cursor = self._ours.ids.root(), self.cursor
                return Compare(root, self._ours.nonce, cursor.epoch, cursor.offset)
            case _Phase.SEARCH:
                assert self._search is not None
                return self._search.question()
            case _Phase.FETCH:
                names = b"".join(self._lacking[:RECONCILE_FETCH_IDS_MAX])
                return FetchShort(names) if self._are_short else Fetch(names)
            case _Phase.DONE:
                return None

    def _take_comparison(self, result: Equal | News | Differs) -> None:
        if isinstance(result, News):
            self._take_news(result)
            return
        cursor = Cursor(result.epoch, result.offset)
        has_read_all, self.cursor = cursor == self.cursor, cursor
        if isinstance(result, Equal):
            self.is_compared = True
        elif not (self._is_trusted and has_read_all):
            self._is_whole = True
            self._has_gaps = False  # a gap in the news is a record that was dropped since
            self._go_on(begin_search(self._ours, result))

    def _take_news(self, news: News) -> None:
        require(self.cursor.epoch != 0, "no news where no cursor was named")
        require(news.offset > self.cursor.offset, "news that goes on")
        self.cursor = Cursor(self.cursor.epoch, news.offset)
        self._news_pages += 1
        self._lacking = [cut for cut in split(news.cuts, CUT_BYTES) if self._ours.lacks(cut)]
        self._are_short = False
        require(len(self._lacking) <= NEWS_IDS_MAX, "a page of news")
        self._phase = _Phase.FETCH if self._lacking else self._phase_after_news()

    def _phase_after_news(self) -> _Phase:
        self.is_partial = self._news_pages >= NEWS_PAGES_MAX
        return _Phase.DONE if self.is_partial else _Phase.COMPARE

    def _go_on(self, step: Search | Lacking) -> None:
        if not isinstance(step, Lacking):
            self._search = step
            self._phase = _Phase.SEARCH
            return
        self._search = None
        self._lacking = list(step.names)
        self._are_short = step.are_short
        self.is_partial = step.is_partial
        if self._lacking:
            self._phase = _Phase.FETCH
        else:
            self.is_compared = True

    def _take_records(self, reply: Records) -> tuple[bytes, ...]:
        asked = min(len(self._lacking), RECONCILE_FETCH_IDS_MAX)
        require(1 <= reply.covered <= asked, "an answer that covers some of what was asked for")
        require(len(reply.records) <= reply.covered * FETCH_MATCHES_MAX, "few records for a name")
        if self._are_short:  # of these only the number is known
            self.in_vain += max(0, reply.covered - len(reply.records))
        else:
            self._fetched = self._lacking[: reply.covered]
        del self._lacking[: reply.covered]
        self._has_gaps |= len(reply.records) < reply.covered
        if self._lacking:
            self._phase = _Phase.FETCH
        elif not self._is_whole:
            self._phase = self._phase_after_news()
        else:
            self.is_compared = not self._has_gaps
        return reply.records
