"""The little of gossipsub that a publisher speaks who takes nothing in: packets out, topics in.

https://github.com/libp2p/specs/blob/master/pubsub/gossipsub/gossipsub-v1.1.md: whoever publishes
may send to all subscribers, in its mesh or not. libp2p's own Pubsub is not used: one
malformed packet of a peer ends it, and all that it could give us is what we do not want.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.message import DecodeError
from libp2p.custom_types import TProtocol
from libp2p.pubsub.pb.rpc_pb2 import RPC, Message
from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.observers import OBSERVED_PACKET_BYTES_MAX, OBSERVER_RPC_BYTES_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import peer_id_bytes

MESHSUB_PROTOCOLS: Final = tuple(map(TProtocol, ("/meshsub/1.1.0", "/meshsub/1.0.0")))
"""Which observers of any age speak besides newer ones. A publisher says the same in both."""

_SIGNED_PREFIX = b"libp2p-pubsub:"
_KEY_AT = 2
"""Where in a peer id its key starts, as libp2p writes keys."""
_SEQUENCE_BYTES = 8
_VARINT_BYTES_MAX = 5


class Publisher:
    """Signs what it publishes, as observers insist."""

    def __init__(self, key: SigningKey, first_sequence: int) -> None:
        """First_sequence: never one that this key used before, such as the present in ns."""
        self._key = key
        self._id = peer_id_bytes(NodeId(bytes(key.verify_key)))
        self._sequence = first_sequence

    def packets(self, items: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
        """What to write for items of (topic, data), in order."""
        packet, size = RPC(), 0
        for topic, data in items:
            message = self._signed(topic, data)
            if size and size + message.ByteSize() > OBSERVED_PACKET_BYTES_MAX:
                yield _prefixed(packet.SerializeToString())
                packet, size = RPC(), 0
            packet.publish.append(message)
            size += message.ByteSize()
        if size:
            yield _prefixed(packet.SerializeToString())

    def _signed(self, topic: str, data: bytes) -> Message:
        self._sequence += 1
        message = Message(
            from_id=self._id,
            data=data,
            seqno=self._sequence.to_bytes(_SEQUENCE_BYTES, "big"),
            topicIDs=[topic],
        )
        said = _SIGNED_PREFIX + message.SerializeToString(deterministic=True)
        message.signature = self._key.sign(said).signature
        message.key = self._id[_KEY_AT:]
        return message


class SubscriptionReader:
    """Finds in what an observer says which topics it wants, sans IO; all else is passed over."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> dict[str, bool]:
        """Topics by whether they are wanted from now on, in what is complete by now.

        Raises:
            BrokenProtocol: it is no packet, or too long. Nothing after can be understood.
        """
        self._buffer += data
        wanted: dict[str, bool] = {}
        while (found := _prefix_of(self._buffer)) is not None:
            start, length = found
            if len(self._buffer) < start + length:
                break
            wanted |= _subscriptions(bytes(self._buffer[start : start + length]))
            del self._buffer[: start + length]
        return wanted


def _subscriptions(packet: bytes) -> dict[str, bool]:
    try:
        found = RPC.FromString(packet).subscriptions
    except DecodeError as error:
        raise BrokenProtocol(f"not a packet of gossipsub: {error}") from error
    return {one.topicid: one.subscribe for one in found}


def _prefix_of(buffer: bytearray) -> tuple[int, int] | None:
    """Length of the prefix, and what it says; None when it is not complete."""
    length = 0
    for at, byte in enumerate(buffer[:_VARINT_BYTES_MAX]):
        length |= (byte & 0x7F) << 7 * at
        if length > OBSERVER_RPC_BYTES_MAX:
            raise BrokenProtocol(f"a packet of {length} bytes or more")
        if byte < 0x80:
            return at + 1, length
    if len(buffer) >= _VARINT_BYTES_MAX:
        raise BrokenProtocol("a length without end")
    return None


def _prefixed(packet: bytes) -> bytes:
    prefix, rest = bytearray(), len(packet)
    while rest >= 0x80:
        prefix.append(0x80 | rest & 0x7F)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + packet
