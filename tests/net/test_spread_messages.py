"""What routers say survives the wire, and nothing else does."""

from collections.abc import Callable

import pytest

from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.limits.net import (
    GOSSIP_BYTES_MAX,
)
from p2pgrid.limits.spreading import (
    GOSSIP_BATCH_BYTES_MAX,
    GOSSIP_BATCH_ITEMS_MAX,
    GOSSIP_FRAME_BYTES_MAX,
    GOSSIP_IDS_PER_MESSAGE_MAX,
    GOSSIP_SLICE_ITEMS,
    GOSSIP_TOPICS_PER_PEER_MAX,
)
from p2pgrid.net.network import Topic
from p2pgrid.net.spread_messages import (
    ITEM_ID_BYTES,
    Announce,
    Graft,
    Item,
    Prune,
    Pull,
    Push,
    SpreadMessage,
    SpreadReader,
    Topics,
    item_id,
    slices_of,
    spread_bytes,
)
from p2pgrid.wire.frames import frame

LONGEST_TOPIC = max((topic.value for topic in Topic), key=len)
_SMALL = GOSSIP_BATCH_BYTES_MAX // GOSSIP_BATCH_ITEMS_MAX
MESSAGES: tuple[SpreadMessage, ...] = (
    Topics(tuple(topic.value for topic in Topic)),
    Push((Item("a", b"b"), Item("c", b""))),
    Push((Item("a", bytes(GOSSIP_BYTES_MAX)),)),
    Push((Item(LONGEST_TOPIC, bytes(_SMALL)),) * GOSSIP_BATCH_ITEMS_MAX),
    Announce((bytes(ITEM_ID_BYTES),) * GOSSIP_IDS_PER_MESSAGE_MAX),
    Pull((bytes(ITEM_ID_BYTES),)),
    Graft(),
    Prune(),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_every_message_comes_back_from_any_pieces(message: SpreadMessage) -> None:
    data = spread_bytes(message) * 2
    reader = SpreadReader()

    got = reader.feed(data[:5]) + reader.feed(data[5:])

    assert got == [message, message]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Item("x" * 65, b""),
        lambda: Item("x", bytes(GOSSIP_BYTES_MAX + 1)),
        lambda: Push((Item("x", b""),) * (GOSSIP_BATCH_ITEMS_MAX + 1)),
        lambda: Push((Item("x", bytes(GOSSIP_BYTES_MAX)),) * 2),
        lambda: Announce((bytes(7),)),
        lambda: Pull((bytes(ITEM_ID_BYTES),) * (GOSSIP_IDS_PER_MESSAGE_MAX + 1)),
        lambda: Topics(("x",) * (GOSSIP_TOPICS_PER_PEER_MAX + 1)),
    ],
)
def test_what_is_too_much_cannot_be_said(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRecord):
        make()


@pytest.mark.parametrize(
    "data",
    [
        frame(b""),
        frame(b"\xff" * 9),
        frame(b"\x81\x82\x03\x81\x47" + bytes(7)),  # an Announce of an id of 7 bytes
        (GOSSIP_FRAME_BYTES_MAX + 1).to_bytes(4, "big"),
    ],
)
def test_garbage_is_not_understood(data: bytes) -> None:
    with pytest.raises(BrokenProtocol):
        SpreadReader().feed(data)


def test_ids_depend_on_topic_and_data() -> None:
    ids = {item_id(Item("a", b"b")), item_id(Item("a", b"c")), item_id(Item("b", b"b"))}

    assert len(ids) == 3
    assert all(len(one) == ITEM_ID_BYTES for one in ids)


def test_a_long_push_is_cut_in_slices_that_say_the_same() -> None:
    items = tuple(Item("x", b"%d" % number) for number in range(2 * GOSSIP_SLICE_ITEMS + 1))

    sliced = list(slices_of([Push(items), Graft()]))

    assert sliced[-1] == Graft()
    pushed = [one.items for one in sliced if isinstance(one, Push)]
    assert [len(one) for one in pushed] == [GOSSIP_SLICE_ITEMS, GOSSIP_SLICE_ITEMS, 1]
    assert sum(pushed, ()) == items
