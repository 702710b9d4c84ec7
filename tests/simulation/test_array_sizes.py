"""Sizes that arrays count with are those of messages as they are written."""

from random import Random

from p2pgrid.crdt.answerer import Answerer
from p2pgrid.crdt.reconcile import NO_CURSOR, Pull
from p2pgrid.net.network import Topic
from p2pgrid.net.spread_messages import Announce, Item, Prune, Push, spread_bytes
from p2pgrid.simulation.array_sizes import measured_sizes
from tests.benchmarks.explorer_reconcile import Peer


def test_messages_of_routers_are_so_long() -> None:
    sizes = measured_sizes()
    items = tuple(Item(Topic.CAPACITY, bytes([one]) * sizes.record) for one in range(7))
    ids = tuple(bytes([one]) * 8 for one in range(30))

    assert abs(sizes.push + 7 * (sizes.record + sizes.head) - len(spread_bytes(Push(items)))) < 3
    assert abs(sizes.ids + 30 * sizes.id - len(spread_bytes(Announce(ids)))) < 3
    assert sizes.control == len(spread_bytes(Prune()))


def test_a_pull_by_its_cursor_takes_so_much() -> None:
    """The same exchange between real ends: 40 pieces of news, 15 of which are lacking."""
    random, sizes = Random(1), measured_sizes()
    base = [random.randbytes(32) for _ in range(500)]
    asker, server = Peer(base), Peer(base)
    answerer = Answerer(server, random)
    first = Pull(asker.ids, asker.unwanted, nonce=bytes(8), cursor=NO_CURSOR, is_trusted=True)
    _bytes_of(first, answerer)
    news = [random.randbytes(32) for _ in range(40)]
    server.change([], news)
    asker.change([], [*news[:25], random.randbytes(32)])
    second = Pull(asker.ids, asker.unwanted, nonce=bytes(8), cursor=first.cursor, is_trusted=True)

    measured = _bytes_of(second, answerer)

    predicted = sizes.pull(40, 15) - 15 * (sizes.record - 32)  # its records are ids
    assert abs(predicted - measured) < 0.15 * measured


def _bytes_of(exchange: Pull, answerer: Answerer) -> int:
    total = 0
    while (request := exchange.next_request()) is not None:
        answer = answerer.answer(b"peer", request, 0)
        exchange.receive(answer)
        total += len(request) + len(answer)
    return total
