"""Whom news are announced to: all who hear the topic and do not know them."""

from math import inf

from p2pgrid.limits.spreading import GOSSIP_ANNOUNCE_SECONDS
from p2pgrid.net.news import News
from tests.net.spread_model import node

A, B, C = node(1), node(2), node(3)
MARKS = {A: 1, B: 2, C: 4}
HEARERS = {"t": 1 | 2 | 4, "u": 1}


def told(news: News) -> dict[bytes, tuple[bytes, ...]]:
    return dict(news.take(MARKS, HEARERS.__getitem__))


def test_who_knows_it_is_not_told() -> None:
    news = News()
    news.add(b"x", "t", 1, 5.0)
    news.note_knower(b"x", 4)
    news.note_knower(b"other", 2)

    assert news.due_at == 5.0 + GOSSIP_ANNOUNCE_SECONDS
    assert told(news) == {B: (b"x",)}
    assert news.due_at == inf
    assert told(news) == {}


def test_several_are_told_at_once_each_to_those_who_want_it() -> None:
    news = News()
    news.add(b"x", "t", 1, 5.0)
    news.add(b"y", "t", 4, 6.0)
    news.add(b"z", "u", 0, 7.0)

    assert news.due_at == 5.0 + GOSSIP_ANNOUNCE_SECONDS
    assert told(news) == {A: (b"y", b"z"), B: (b"x", b"y"), C: (b"x",)}


def test_who_takes_the_place_of_one_who_knew_it_is_told() -> None:
    news = News()
    news.add(b"x", "t", 1 | 2, 0.0)
    news.lose(2)

    assert told(news) == {B: (b"x",), C: (b"x",)}
