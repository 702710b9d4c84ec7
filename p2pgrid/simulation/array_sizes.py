"""How long messages are on the wire: measured on messages as the program encodes them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nacl.signing import SigningKey

from p2pgrid.crdt.messages import (
    CUT_BYTES,
    NONCE_BYTES,
    Compare,
    Compared,
    Differs,
    Fetch,
    News,
    Records,
    Request,
)
from p2pgrid.crdt.trie import DIGEST_BYTES, FANOUT
from p2pgrid.explorer.announce import Load, Stamp, announcement_of, update_of
from p2pgrid.limits.crdt import NEWS_IDS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.network import Topic
from p2pgrid.net.spread_messages import (
    ITEM_ID_BYTES,
    Announce,
    Graft,
    Item,
    Push,
    spread_bytes,
)
from p2pgrid.simulation.world import facts_of
from p2pgrid.units import GIB, HOUR_MS, TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import sign

_SOME = 100
"""Of what there may be many: how much one more adds is seen from so many."""
_LATE_MS = TimestampMs(1_800_000_000_000)


@dataclass(frozen=True, slots=True)
class Sizes:
    """In bytes, without what TCP and libp2p add to each message."""

    record: int
    """An update, as nodes say it when a reservation begins."""
    announcement: int
    """All that a node says of itself."""
    push: float
    """A push without items."""
    head: float
    """What is around one item of a push."""
    ids: float
    """An announcement or a pull without ids."""
    id: float
    """One id of these."""
    control: int
    """Graft or prune."""
    comparison: int
    """A pull from a peer whose news are known: its questions and answers, without what is named."""
    page: int
    """One answer that names news, with its question, without the names."""
    fetch: float
    """A question for records and its answer, without the records."""
    fetched: float
    """One record in it, with its name in the question."""

    def pull(self, news: int, lacking: int) -> float:
        """A whole pull that was told of so much news, of which so much was lacking."""
        pages = -(-news // NEWS_IDS_MAX)
        total = float(self.comparison + pages * self.page + news * CUT_BYTES)
        if lacking:
            total += self.fetch + lacking * self.fetched
        return total


def measured_sizes() -> Sizes:
    """Of messages as the program writes them."""
    envelope = _update()
    push, item = _line(lambda count: len(spread_bytes(Push(tuple(_items(envelope, count))))))
    ids, one_id = _line(lambda count: len(spread_bytes(Announce(tuple(_ids(count))))))
    fetch, fetched = _line(lambda count: _fetch_bytes(envelope, count))
    compare = Request(Compare(bytes(DIGEST_BYTES), bytes(NONCE_BYTES), 2**32 - 1, 2**20))
    differs = Compared(Differs(2**32 - 1, 2**20, 2**17, bytes(FANOUT)))
    news = Compared(News(2**20, bytes(CUT_BYTES * _SOME)))
    return Sizes(
        record=len(envelope),
        announcement=len(_announcement()),
        push=push,
        head=item - len(envelope),
        ids=ids,
        id=one_id,
        control=len(spread_bytes(Graft())),
        comparison=len(encode(compare)) + len(encode(differs)),
        page=len(encode(compare)) + len(encode(news)) - CUT_BYTES * _SOME,
        fetch=fetch,
        fetched=fetched,
    )


def _line(bytes_of: Callable[[int], int]) -> tuple[float, float]:
    """(bytes of none, bytes of one more), from messages of one and of several."""
    one, several = bytes_of(1), bytes_of(_SOME)
    each = (several - one) / (_SOME - 1)
    return one - each, each


def _fetch_bytes(envelope: bytes, count: int) -> int:
    fetch, records = Request(Fetch(bytes(CUT_BYTES * count))), Records((envelope,) * count, count)
    return len(encode(fetch)) + len(encode(records))


def _items(envelope: bytes, count: int) -> Iterator[Item]:
    return (Item(Topic.CAPACITY, envelope) for _ in range(count))


def _ids(count: int) -> Iterator[bytes]:
    return (number.to_bytes(ITEM_ID_BYTES, "big") for number in range(count))


def _update() -> bytes:
    key = SigningKey(bytes(range(32)))
    free = Capacity(millicores=12_000, memory_bytes=126 * GIB, ssd_bytes=2000 * GIB)
    stamp = Stamp((_LATE_MS - HOUR_MS) // 1000, 40, _LATE_MS)
    record = update_of(NodeId(bytes(key.verify_key)), Load(free, 12), stamp)
    return sign(record, key, NetworkId(bytes(16))).envelope


def _announcement() -> bytes:
    key = SigningKey(bytes(range(32)))
    stamp = Stamp((_LATE_MS - HOUR_MS) // 1000, 4, _LATE_MS)
    record = announcement_of(facts_of(70_000, key), stamp)
    return sign(record, key, NetworkId(bytes(16))).envelope
