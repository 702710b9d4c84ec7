"""Packets of gossipsub, as stock peers take them; and what of theirs is understood."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.pubsub.pb.rpc_pb2 import RPC, ControlGraft, ControlMessage, Message
from libp2p.pubsub.validators import signature_validator
from libp2p.utils import encode_varint_prefixed
from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.observers import OBSERVED_PACKET_BYTES_MAX, OBSERVER_RPC_BYTES_MAX
from p2pgrid.net.libp2p_meshsub import Publisher, SubscriptionReader

KEY = SigningKey(b"m" * 32)


def unpacked(packet: bytes) -> list[Message]:
    for at, byte in enumerate(packet):
        if byte < 0x80:
            body = packet[at + 1 :]
            assert encode_varint_prefixed(body) == packet
            return list(RPC.FromString(body).publish)
    pytest.fail("a prefix without end")


def subscription(topic: str, *, subscribe: bool = True) -> bytes:
    found = RPC(subscriptions=[RPC.SubOpts(subscribe=subscribe, topicid=topic)])
    return encode_varint_prefixed(found.SerializeToString())


def test_what_is_published_is_signed_as_stock_peers_want_it() -> None:
    [packet] = Publisher(KEY, 7).packets([("a", b"one"), ("b", b"two")])
    first, second = unpacked(packet)

    assert (first.data, list(first.topicIDs)) == (b"one", ["a"])
    assert first.seqno != second.seqno
    assert all(map(signature_validator, (first, second)))
    second.data = b"other"
    assert not signature_validator(second)


@given(st.lists(st.integers(1, 60_000), max_size=8))
def test_packets_are_bounded_and_hold_all_in_order(sizes: list[int]) -> None:
    items = [("t", bytes([number]) * size) for number, size in enumerate(sizes)]
    packets = list(Publisher(KEY, 0).packets(items))

    assert [one.data for packet in packets for one in unpacked(packet)] == [one for _, one in items]
    assert all(len(packet) <= OBSERVED_PACKET_BYTES_MAX + 10 for packet in packets)


@given(st.data())
def test_subscriptions_are_read_from_any_pieces(data: Any) -> None:
    said = subscription("a") + subscription("b") + subscription("a", subscribe=False)
    reader = SubscriptionReader()
    wanted: dict[str, bool] = {}
    while said:
        count = data.draw(st.integers(1, len(said)))
        wanted |= reader.feed(said[:count])
        said = said[count:]

    assert wanted == {"a": False, "b": True}


def test_all_but_subscriptions_is_passed_over() -> None:
    packet = RPC(
        publish=[Message(data=b"x", topicIDs=["t"])],
        control=ControlMessage(graft=[ControlGraft(topicID="t")]),
    )

    assert SubscriptionReader().feed(encode_varint_prefixed(packet.SerializeToString())) == {}
    assert SubscriptionReader().feed(b"\0" * 100) == {}


@pytest.mark.parametrize(
    "said",
    [
        b"\xff\xff\xff\xff\x0f",
        b"\x80" * 5,
        encode_varint_prefixed(b"\xff\xff\xff\xff\x0f" * 20),
        encode_varint_prefixed(bytes(OBSERVER_RPC_BYTES_MAX + 1)),
    ],
)
def test_garbage_and_what_is_too_long_is_refused(said: bytes) -> None:
    with pytest.raises(BrokenProtocol):
        SubscriptionReader().feed(said)


@given(st.binary(max_size=200))
def test_nothing_else_is_raised_whatever_comes(said: bytes) -> None:
    reader = SubscriptionReader()
    try:
        reader.feed(said)
    except BrokenProtocol:
        return
    assert len(reader._buffer) <= len(said)
