"""What the simulator counts is what the program would write."""

import pytest

from p2pgrid.limits.net import GOSSIP_BYTES_MAX
from p2pgrid.net.spread_messages import (
    ITEM_ID_BYTES,
    Announce,
    Graft,
    Item,
    Prune,
    Pull,
    Push,
    SpreadMessage,
    Topics,
    spread_bytes,
)
from p2pgrid.simulation.sizes import spread_size

COUNTS = (0, 1, 23, 24, 255, 256, 1000)
LENGTHS = (0, 23, 24, 255, 256, GOSSIP_BYTES_MAX)
IDS = tuple(number.to_bytes(ITEM_ID_BYTES, "big") for number in range(max(COUNTS)))
OTHERS: tuple[SpreadMessage, ...] = (Graft(), Prune(), Topics(("capacity", "hub")))


@pytest.mark.parametrize("count", COUNTS)
def test_ids_and_items_are_as_long_as_on_the_wire(count: int) -> None:
    items = tuple(Item("t" * (number % 40), bytes(number % 60)) for number in range(count))
    for message in (Announce(IDS[:count]), Pull(IDS[:count]), Push(items)):
        assert spread_size(message) == len(spread_bytes(message))


def test_records_of_any_length_are_as_long_as_on_the_wire() -> None:
    for length in LENGTHS:
        push = Push((Item("capacity", bytes(length)),))
        assert spread_size(push) == len(spread_bytes(push))


def test_what_is_rare_too() -> None:
    for message in OTHERS:
        assert spread_size(message) == len(spread_bytes(message))
