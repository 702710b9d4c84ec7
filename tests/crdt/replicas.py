"""Replicas for tests: records known by their hash, and pulls between them."""

from collections.abc import Iterable
from hashlib import blake2b
from random import Random

from p2pgrid.crdt.answerer import Answerer
from p2pgrid.crdt.arrivals import ArrivalLog
from p2pgrid.crdt.reconcile import NO_CURSOR, Cursor, Pull
from p2pgrid.crdt.trie import HashTrie
from p2pgrid.crdt.unwanted import UnwantedIds

PEER = b"peer"


class Shelf:
    """A replica in memory that answers pulls."""

    def __init__(self, *records: bytes, seed: int = 1) -> None:
        self.ids = HashTrie()
        self.arrivals = ArrivalLog()
        self.unwanted = UnwantedIds(1000)
        self.records: dict[bytes, bytes] = {}
        self.fetched = 0
        self.random = Random(seed)
        self.answerer = Answerer(self, self.random)
        for record in records:
            self.put(record)

    def put(self, record: bytes, identity: bytes | None = None) -> None:
        identity = identity or blake2b(record, digest_size=32).digest()
        self.records[identity] = record
        if self.ids.add(identity):
            self.arrivals.append(identity)

    def take(self, records: Iterable[bytes]) -> None:
        for record in records:
            self.put(record)

    def record(self, identity: bytes) -> bytes | None:
        self.fetched += 1
        return self.records.get(identity)

    def pull(self, *, cursor: Cursor = NO_CURSOR, is_trusted: bool = False) -> Pull:
        return Pull(
            self.ids,
            self.unwanted,
            nonce=self.random.randbytes(8),
            cursor=cursor,
            is_trusted=is_trusted,
        )


def run(asker: Shelf, server: Shelf, exchange: Pull | None = None, *, now_ms: int = 0) -> Pull:
    """Pull once; give the pull when it is over."""
    exchange = exchange or asker.pull()
    while (request := exchange.next_request()) is not None:
        asker.take(exchange.receive(server.answerer.answer(PEER, request, now_ms)))
    return exchange


def numbered(*numbers: int, seed: int = 1) -> Shelf:
    return Shelf(*(b"record %d" % number for number in numbers), seed=seed)
