"""What a router remembers is bounded by age, count and bytes."""

import pytest

from p2pgrid.limits.net import GOSSIP_BYTES_MAX
from p2pgrid.limits.spreading import GOSSIP_KEPT_BYTES_MAX, GOSSIP_SEEN_SECONDS
from p2pgrid.net import heard as module
from p2pgrid.net.heard import Heard
from p2pgrid.net.spread_messages import Item


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def test_what_is_old_is_forgotten_with_its_item() -> None:
    heard = Heard()
    heard.add(key(1), Item("t", b"one"), 0.0)
    heard.add(key(2), None, 1.0)

    heard.forget(GOSSIP_SEEN_SECONDS - 0.1)
    assert list(heard.items) == [key(1), key(2)]
    heard.forget(GOSSIP_SEEN_SECONDS)
    assert list(heard.items) == [key(2)]


def test_of_many_ids_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GOSSIP_SEEN_MAX", 3)
    heard = Heard()
    for number in range(5):
        heard.add(key(number), Item("t", b"x") if number % 2 else None, 0.0)

    assert list(heard.items) == [key(2), key(3), key(4)]


def test_the_oldest_items_make_room_and_their_ids_stay() -> None:
    heard, count = Heard(), GOSSIP_KEPT_BYTES_MAX // GOSSIP_BYTES_MAX
    for number in range(count + 2):
        heard.add(key(number), Item("t", bytes(GOSSIP_BYTES_MAX)), float(number))
    kept = [one for one, item in heard.items.items() if item is not None]

    assert len(heard.items) == count + 2
    assert kept == [key(number) for number in range(2, count + 2)]

    heard.forget(GOSSIP_SEEN_SECONDS + 2.0)  # the first that is kept goes, with its bytes
    heard.add(key(count + 2), Item("t", bytes(GOSSIP_BYTES_MAX)), float(count + 2))

    assert key(2) not in heard.items
    assert heard.items[key(3)] is not None
