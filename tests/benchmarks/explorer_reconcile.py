"""Set reconciliation of 100,000 records: bytes and CPU of both sides, beside a list of all ids.

Bytes are those of encoded requests and answers, both ways, without the records themselves.
Half of the differences are on each side, as updates of registers leave them.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from statistics import median

from p2pgrid.crdt.answerer import Answerer
from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.reconcile import NO_CURSOR, Cursor, Pull
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds
from p2pgrid.wire.codec import decode, encode
from tests.benchmarks.measurement import Measurement, compare

RECORDS = 100_000
ROUNDS = {10: 15, 100: 7, 1000: 5}
BYTES_PER_DIFFERENCE_MAX = 45
CPU_MS_MAX = 300
EQUAL_BYTES_MAX = 64
NAIVE_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class NaiveList:
    """All ids of a side, cut to 16 bytes."""

    ids: bytes


class Peer:
    """A set of ids; its records are the ids themselves."""

    def __init__(self, ids: list[bytes]) -> None:
        self.ids = HashTrie(ids)
        self.ids.root()
        self.arrivals = ArrivalLog()
        self.unwanted = UnwantedIds(1000)

    def record(self, identity: bytes) -> bytes:
        return identity

    def change(self, gone: list[bytes], fresh: list[bytes]) -> None:
        for identity in gone:
            self.ids.discard(identity)
        for identity in fresh:
            self.ids.add(identity)
            self.arrivals.append(identity)
        self.ids.root()  # it is asked for all the time, so the paths are seldom stale


@dataclass(frozen=True, slots=True)
class Cost:
    """What one pull took."""

    overhead_bytes: int
    cpu_ms: float


def measure() -> Iterator[Measurement]:
    """10, 100 and 1000 differences, equal sets, and news by a cursor."""
    random = Random(7)
    base = [random.randbytes(32) for _ in range(RECORDS)]
    asker, server = Peer(base), Peer(base)
    for differences, rounds in ROUNDS.items():
        naive = median(naive_ms(asker, server) for _ in range(3))
        costs = [with_differences(asker, server, differences, random) for _ in range(rounds)]
        sent = median(cost.overhead_bytes for cost in costs) / differences
        cpu_ms = median(cost.cpu_ms for cost in costs)
        naive_bytes = RECORDS * NAIVE_ID_BYTES / differences
        yield _at_most(
            f"bytes_{differences}",
            sent,
            "B/difference",
            ("list of ids", naive_bytes),
            BYTES_PER_DIFFERENCE_MAX,
        )
        yield _at_most(f"cpu_{differences}", cpu_ms, "ms", ("list of ids", naive), CPU_MS_MAX)
    equal = pull(asker, server, random)
    yield _at_most(
        "equal", equal.overhead_bytes, "B", ("list of ids", RECORDS * 16), EQUAL_BYTES_MAX
    )
    yield from _news(asker, server, random)


def _news(asker: Peer, server: Peer, random: Random) -> Iterator[Measurement]:
    """A peer that was compared with before has 100 new records."""
    answerer = Answerer(server, random)
    first = _begin(asker, random, NO_CURSOR)
    _run(first, answerer)
    server.change([], [random.randbytes(32) for _ in range(100)])
    cost = _measured(_begin(asker, random, first.cursor), answerer)
    naive_bytes = RECORDS * NAIVE_ID_BYTES / 100
    sent = cost.overhead_bytes / 100
    reference = ("list of ids", naive_bytes)
    yield _at_most("news_bytes_100", sent, "B/difference", reference, BYTES_PER_DIFFERENCE_MAX)


def with_differences(asker: Peer, server: Peer, count: int, random: Random) -> Cost:
    """Pull while each side has half of `count` ids that the other has not."""
    ours, theirs = ([random.randbytes(32) for _ in range(count // 2)] for _ in range(2))
    asker.change([], ours)
    server.change([], theirs)
    cost = pull(asker, server, random)
    asker.change(ours, [])
    server.change(theirs, [])
    return cost


def pull(asker: Peer, server: Peer, random: Random) -> Cost:
    """One pull by who never asked before."""
    return _measured(_begin(asker, random, NO_CURSOR), Answerer(server, random))


def naive_ms(asker: Peer, server: Peer) -> float:
    """CPU of sending all ids, and of looking which are new."""
    begun = time.thread_time()
    data = encode(NaiveList(b"".join(one[:NAIVE_ID_BYTES] for one in server.ids)))
    ids = decode(NaiveList, data, bytes_max=len(data)).ids
    ours = {one[:NAIVE_ID_BYTES] for one in asker.ids}
    theirs = {ids[at : at + NAIVE_ID_BYTES] for at in range(0, len(ids), NAIVE_ID_BYTES)}
    assert len(theirs - ours) == 0
    return (time.thread_time() - begun) * 1000


def _begin(asker: Peer, random: Random, cursor: Cursor) -> Pull:
    return Pull(
        asker.ids, asker.unwanted, nonce=random.randbytes(8), cursor=cursor, is_trusted=True
    )


def _measured(exchange: Pull, answerer: Answerer) -> Cost:
    begun = time.thread_time()
    overhead_bytes = _run(exchange, answerer)
    return Cost(overhead_bytes, (time.thread_time() - begun) * 1000)


def _run(exchange: Pull, answerer: Answerer) -> int:
    overhead_bytes = 0
    while (request := exchange.next_request()) is not None:
        reply = answerer.answer(b"peer", request, 0)
        records = exchange.receive(reply)
        overhead_bytes += len(request) + len(reply) - sum(map(len, records))
    return overhead_bytes


def _at_most(
    name: str, value: float, unit: str, reference: tuple[str, float], value_max: float
) -> Measurement:
    """A figure that shall not be above `value_max`, as the ratio to its reference that this is."""
    bench = f"explorer_reconcile.{name}"
    rounded = round(value, 2)
    target = round(reference[1] / value_max, 4)
    kept = (reference[0], round(reference[1], 2))
    return compare(bench, rounded, unit, reference=kept, target=target, is_less_better=True)
