"""How long messages of routers are on the wire, found without writing them: there are millions."""

from p2pgrid.net.spread_messages import (
    ITEM_ID_BYTES,
    Announce,
    Item,
    Pull,
    Push,
    SpreadMessage,
    spread_bytes,
)
from p2pgrid.wire.frames import LENGTH_BYTES

_AROUND_BYTES = LENGTH_BYTES + 3
"""The length of the frame, the packet, the message, and which message it is."""


def spread_size(message: SpreadMessage) -> int:
    """As many bytes as `spread_bytes` writes."""
    if isinstance(message, (Announce, Pull)):
        count = len(message.ids)
        return _AROUND_BYTES + _head_bytes(count) + count * (1 + ITEM_ID_BYTES)
    if isinstance(message, Push):
        items = message.items
        return _AROUND_BYTES + _head_bytes(len(items)) + sum(map(_item_bytes, items))
    return len(spread_bytes(message))


def _item_bytes(item: Item) -> int:
    topic, data = len(item.topic.encode()), len(item.data)
    return 1 + _head_bytes(topic) + topic + _head_bytes(data) + data


def _head_bytes(count: int) -> int:
    """What CBOR writes before so many bytes or elements."""
    if count < 24:
        return 1
    if count < 256:
        return 2
    return 3 if count < 65536 else 5
