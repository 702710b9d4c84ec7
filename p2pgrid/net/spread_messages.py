"""What routers of `spreading` say to each other, and how it travels.

Topics(names)   what the sender wants to hear, told once and whenever it changes
Push(items)     records, new to the receiver as far as the sender knows
Announce(ids)   what the sender has and does not push
Pull(ids)       push me these, once
Graft           push me whatever is new from now on
Prune           announce it to me instead
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import BrokenProtocol, InvalidRecord, MalformedRecord
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
from p2pgrid.wire.codec import decode, encode, variant
from p2pgrid.wire.frames import FrameReader, frame

ITEM_ID_BYTES = 8
"""Cut, because most of what travels is ids. Whoever makes two records of one id hides one of his
own from some nodes until they reconcile; to hide another's takes 2^64 attempts."""
_TOPIC_LENGTH_MAX = 64


class _Named:
    """Room for the name of an item, which is not one of its fields."""

    __slots__ = ("_name",)
    _name: bytes


@dataclass(frozen=True, slots=True)
class Item(_Named):
    """One record of a topic."""

    topic: str
    data: bytes

    def __post_init__(self) -> None:
        if len(self.topic) > _TOPIC_LENGTH_MAX or len(self.data) > GOSSIP_BYTES_MAX:
            raise InvalidRecord("an item is too long")


def item_id(item: Item) -> bytes:
    """The name of an item: a hash of what it says, cut to ITEM_ID_BYTES; found once."""
    try:
        return item._name  # noqa: SLF001 - what follows from a frozen item
    except AttributeError:
        key = item.topic.encode()[:64]
        name = blake2b(item.data, digest_size=ITEM_ID_BYTES, key=key).digest()
        object.__setattr__(item, "_name", name)
        return name


def _check_ids(ids: tuple[bytes, ...]) -> None:
    if len(ids) > GOSSIP_IDS_PER_MESSAGE_MAX or any(len(one) != ITEM_ID_BYTES for one in ids):
        raise InvalidRecord("ids are too many, or none")


@variant(1)
@dataclass(frozen=True, slots=True)
class Topics:
    """Replaces what was told before."""

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        too_long = any(len(one) > _TOPIC_LENGTH_MAX for one in self.names)
        if too_long or len(self.names) > GOSSIP_TOPICS_PER_PEER_MAX:
            raise InvalidRecord("topics are too many or too long")


@variant(2)
@dataclass(frozen=True, slots=True)
class Push:
    """At most GOSSIP_BATCH_BYTES_MAX of data."""

    items: tuple[Item, ...]

    def __post_init__(self) -> None:
        if len(self.items) > GOSSIP_BATCH_ITEMS_MAX:
            raise InvalidRecord("too many items at once")
        if sum(len(one.data) for one in self.items) > GOSSIP_BATCH_BYTES_MAX:
            raise InvalidRecord("items are too long together")


@variant(3)
@dataclass(frozen=True, slots=True)
class Announce:
    """Items that may be pulled."""

    ids: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _check_ids(self.ids)


@variant(4)
@dataclass(frozen=True, slots=True)
class Pull:
    """Items that are wanted."""

    ids: tuple[bytes, ...]

    def __post_init__(self) -> None:
        _check_ids(self.ids)


@variant(5)
@dataclass(frozen=True, slots=True)
class Graft:
    """The receiver is a provider of the sender now."""


@variant(6)
@dataclass(frozen=True, slots=True)
class Prune:
    """It is no longer."""


def batches_of(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    """Items in order, each batch within the limits of a Push."""
    start, size = 0, 0
    for at, item in enumerate(items):
        is_full = at - start >= GOSSIP_BATCH_ITEMS_MAX
        if at > start and (is_full or size + len(item.data) > GOSSIP_BATCH_BYTES_MAX):
            yield items[start:at]
            start, size = at, 0
        size += len(item.data)
    if start < len(items):
        yield items[start:]


def parts_of(ids: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """Ids in order, each part within the limits of an Announce or a Pull."""
    step = GOSSIP_IDS_PER_MESSAGE_MAX
    return [tuple(ids[start : start + step]) for start in range(0, len(ids), step)]


SpreadMessage = Topics | Push | Announce | Pull | Graft | Prune


def slices_of(messages: Iterable[SpreadMessage]) -> Iterator[SpreadMessage]:
    """The same, with few items in each: so nobody waits until a long message is judged."""
    for message in messages:
        if isinstance(message, Push):
            step = GOSSIP_SLICE_ITEMS
            for start in range(0, len(message.items), step):
                yield Push(message.items[start : start + step])
        else:
            yield message


@dataclass(frozen=True, slots=True)
class _SpreadPacket:
    """A union travels as a field of a record."""

    message: SpreadMessage


def spread_bytes(message: SpreadMessage) -> bytes:
    """What to write for one message."""
    return frame(encode(_SpreadPacket(message)), bytes_max=GOSSIP_FRAME_BYTES_MAX)


class SpreadReader:
    """Puts messages together from whatever pieces of a stream arrive."""

    def __init__(self) -> None:
        self._frames = FrameReader(bytes_max=GOSSIP_FRAME_BYTES_MAX)

    def feed(self, data: bytes) -> list[SpreadMessage]:
        """Take what arrived; give the messages that are complete now.

        Raises:
            BrokenProtocol: it is not this protocol. Nothing after can be understood.
        """
        try:
            return [
                decode(_SpreadPacket, payload, bytes_max=GOSSIP_FRAME_BYTES_MAX).message
                for payload in self._frames.feed(data)
            ]
        except (MalformedRecord, InvalidRecord) as error:
            raise BrokenProtocol(f"not a message of the router: {error}") from error
