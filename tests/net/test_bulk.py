"""Bulk frames cannot be forged, reordered, replayed or cut unnoticed; a token is good once."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BrokenProtocol, InvalidRecord, MalformedRecord, Unreachable
from p2pgrid.limits.net import (
    BULK_CONNECTIONS_PER_PEER_MAX,
    BULK_CONNECTIONS_PER_PREFIX_MAX,
    BULK_FRAME_BYTES,
    BULK_GREETINGS_PER_ADDRESS_MAX,
    BULK_TOKEN_SECONDS_MAX,
    BULK_TOKENS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.bulk import (
    KEY_BYTES,
    SEALED_BYTES_MAX,
    TAG_BYTES,
    TOKEN_BYTES,
    BulkOffer,
    Opener,
    Tokens,
    client_ends,
    sealed_bytes,
    server_ends,
)
from p2pgrid.net.bulk_socket import BulkServer, dial_bulk
from p2pgrid.net.network import BulkStream
from p2pgrid.wire.codec import decode, encode
from tests.contracts.network_world import until

KEY = b"k" * KEY_BYTES
PEER = NodeId(b"p" * 32)
HOSTS = [("127.0.0.1", 0)]
frames = st.lists(st.binary(max_size=300), max_size=8)


# --- sans IO --------------------------------------------------------------------------------------


@given(frames)
def test_frames_open_as_they_were_sealed(sent: list[bytes]) -> None:
    sealer, _ = client_ends(KEY)
    _, opener = server_ends(KEY)

    for frame in sent:
        length, sealed = sealer.seal(frame)
        assert sealed_bytes(length) == len(sealed)
        assert opener.open(sealed) == frame


@given(st.binary(max_size=100), st.integers(0), st.integers(1, 255))
def test_one_changed_byte_is_noticed(frame: bytes, at: int, change: int) -> None:
    _, sealed = client_ends(KEY)[0].seal(frame)
    forged = bytearray(sealed)
    forged[at % len(forged)] ^= change

    with pytest.raises(BrokenProtocol):
        server_ends(KEY)[1].open(forged)


def opened(sealed: list[bytes]) -> list[bytes]:
    opener = server_ends(KEY)[1]
    return [opener.open(one) for one in sealed]


def test_frames_out_of_order_repeated_or_left_out_are_noticed() -> None:
    sealer, _ = client_ends(KEY)
    one, two, three = (sealer.seal(frame)[1] for frame in (b"1", b"2", b"3"))

    assert opened([one, two, three]) == [b"1", b"2", b"3"]
    for wrong in ([two, one], [one, one], [one, three], [three]):
        with pytest.raises(BrokenProtocol):
            opened(wrong)


def test_a_frame_sent_back_to_its_sender_is_noticed() -> None:
    sealer, opener = client_ends(KEY)

    with pytest.raises(BrokenProtocol):
        opener.open(sealer.seal(b"mirror")[1])


def test_another_key_opens_nothing() -> None:
    _, sealed = client_ends(KEY)[0].seal(b"secret")

    with pytest.raises(BrokenProtocol):
        server_ends(b"x" * KEY_BYTES)[1].open(sealed)
    with pytest.raises(BrokenProtocol):
        Opener(KEY).open(sealed)  # the key of a direction is not the key of the offer


@pytest.mark.parametrize("count", [0, TAG_BYTES - 1, SEALED_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_out_of_bounds_is_refused_before_it_is_read(count: int) -> None:
    with pytest.raises(BrokenProtocol, match="limit"):
        sealed_bytes(count.to_bytes(4, "big"))


def test_a_frame_over_the_limit_is_not_sealed() -> None:
    with pytest.raises(ValueError, match="limit"):
        client_ends(KEY)[0].seal(bytes(BULK_FRAME_BYTES + 1))


def token(number: int) -> bytes:
    return number.to_bytes(TOKEN_BYTES, "big")


def test_a_token_is_good_once() -> None:
    tokens = Tokens()
    tokens.issue(token(1), KEY, PEER, now=0)

    grant = tokens.redeem(token(1), now=1)
    assert grant is not None
    assert (grant.peer, grant.key) == (PEER, KEY)
    assert tokens.redeem(token(1), now=1) is None


def test_a_token_expires_and_an_unknown_one_is_none() -> None:
    tokens = Tokens()
    tokens.issue(token(1), KEY, PEER, now=0)

    assert tokens.redeem(token(2), now=0) is None
    assert tokens.redeem(token(1), now=BULK_TOKEN_SECONDS_MAX) is None


def test_a_peer_that_takes_many_tokens_loses_its_own_only() -> None:
    tokens = Tokens()
    tokens.issue(token(0), KEY, NodeId(b"o" * 32), now=0)
    count = BULK_CONNECTIONS_PER_PEER_MAX + 3
    for number in range(1, count + 1):
        tokens.issue(token(number), KEY, PEER, now=0)

    assert tokens.redeem(token(0), now=1) is not None
    good = [number for number in range(1, count + 1) if tokens.redeem(token(number), now=1)]
    assert good == list(range(4, count + 1))


def test_many_peers_with_tokens_lose_the_oldest() -> None:
    tokens = Tokens()
    for number in range(BULK_TOKENS_MAX + 1):
        tokens.issue(token(number), KEY, NodeId(token(number)), now=0)

    assert tokens.redeem(token(0), now=1) is None
    assert tokens.redeem(token(1), now=1) is not None


def test_an_offer_is_checked() -> None:
    offer = BulkOffer(1, 0, token(1), KEY)
    assert decode(BulkOffer, encode(offer)) == offer
    for port, one_token in ((65_536, token(1)), (1, b"short")):
        with pytest.raises(InvalidRecord):
            BulkOffer(port, 0, one_token, KEY)
    with pytest.raises(MalformedRecord):
        decode(BulkOffer, encode(offer)[:-1])


# --- over TCP -------------------------------------------------------------------------------------


async def answer_frames(peer: NodeId, stream: BulkStream) -> None:
    while frame := await stream.receive():
        await stream.send(frame)


@asynccontextmanager
async def serving() -> AsyncGenerator[BulkServer]:
    server = BulkServer()
    server.handler = answer_frames
    with trio.fail_after(20):
        async with server.open(HOSTS):
            yield server


async def greeted(offer: BulkOffer) -> trio.SocketStream:
    """A bare connection that showed its token."""
    stream = await trio.open_tcp_stream("127.0.0.1", offer.port4)
    await stream.send_all(offer.token)
    return stream


async def is_alive(server: BulkServer) -> bool:
    """Whether it still serves others."""
    stream = await dial_bulk(["127.0.0.1"], server.offer(NodeId(b"q" * 32)))
    await stream.send(b"alive?")
    frame = await stream.receive()
    await stream.aclose()
    return frame == b"alive?"


async def is_hung_up(stream: trio.SocketStream) -> bool:
    """Whether the other side closes without a word."""
    try:
        return await stream.receive_some(1) == b""
    except trio.BrokenResourceError:
        return True


async def test_a_replayed_token_is_refused() -> None:
    async with serving() as server:
        offer = server.offer(PEER)
        first = await dial_bulk(["127.0.0.1"], offer)
        await first.send(b"x")
        assert await first.receive() == b"x"

        second = await dial_bulk(["127.0.0.1"], offer)
        with pytest.raises(Unreachable):
            await second.receive()
        await first.send(b"y")
        assert await first.receive() == b"y"
        second.break_off()
        await first.aclose()


@pytest.mark.parametrize(
    "shown", [b"", b"half a token", b"?" * TOKEN_BYTES, b"GET / HTTP/1.1\r\n\r\n" * 9]
)
async def test_garbage_for_a_token_is_hung_up_on(shown: bytes) -> None:
    async with serving() as server:
        async with await trio.open_tcp_stream("127.0.0.1", server.offer(PEER).port4) as stream:
            await stream.send_all(shown)
            if len(shown) < TOKEN_BYTES:
                await stream.send_eof()

            assert await is_hung_up(stream)
        assert await is_alive(server)


async def test_connections_that_show_no_token_are_bounded_and_timed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with serving() as server:
        port = server.offer(PEER).port4
        count = BULK_GREETINGS_PER_ADDRESS_MAX + 5
        mute = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(count)]
        closed = 0

        async def wait(stream: trio.SocketStream) -> None:
            nonlocal closed
            assert await is_hung_up(stream)
            closed += 1

        async with trio.open_nursery() as nursery:
            for stream in mute:
                nursery.start_soon(wait, stream)
        assert closed == count
        assert await is_alive(server)
        for stream in mute:
            await stream.aclose()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 100,  # a length beyond the limit
        b"\0\0\0\0",  # and below
        b"\0\0\0\x20" + b"x" * 32,  # a frame that nobody sealed
    ],
)
async def test_garbage_for_a_frame_ends_that_connection_only(garbage: bytes) -> None:
    async with serving() as server:
        async with await greeted(server.offer(PEER)) as stream:
            await stream.send_all(garbage)

            assert await is_hung_up(stream)
        assert await is_alive(server)


async def test_a_client_notices_garbage_too() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    client = await dial_bulk(["127.0.0.1"], BulkOffer(port, 0, token(1), KEY))
    server = await listeners[0].accept()
    await server.send_all(b"\0\0\0\x20" + b"x" * 32)

    with pytest.raises(BrokenProtocol):
        await client.receive()
    client.break_off()
    await server.aclose()
    await listeners[0].aclose()


async def test_only_so_many_connections_of_one_peer_are_served() -> None:
    async with serving() as server:
        streams = []
        for _ in range(BULK_CONNECTIONS_PER_PEER_MAX):
            stream = await dial_bulk(["127.0.0.1"], server.offer(PEER))
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            streams.append(stream)

        one_more = await dial_bulk(["127.0.0.1"], server.offer(PEER))
        with pytest.raises(Unreachable):
            await one_more.receive()
        assert await is_alive(server)
        for stream in (one_more, *streams):
            stream.break_off()


async def test_peers_of_one_prefix_leave_room_for_others() -> None:
    async with serving() as server:
        streams = []
        for number in range(BULK_CONNECTIONS_PER_PREFIX_MAX):
            peer = NodeId(bytes([number // BULK_CONNECTIONS_PER_PEER_MAX]) * 32)
            stream = await dial_bulk(["127.0.0.1"], server.offer(peer))
            await stream.send(b"x")
            assert await stream.receive() == b"x"
            streams.append(stream)

        one_more = await dial_bulk(["127.0.0.1"], server.offer(PEER))
        with pytest.raises(Unreachable):
            await one_more.receive()
        streams.pop().break_off()
        await until(lambda: server._served.total() < BULK_CONNECTIONS_PER_PREFIX_MAX)
        assert await is_alive(server)
        for stream in (one_more, *streams):
            stream.break_off()


async def test_a_taken_port_is_no_obstacle_and_a_second_family_has_its_own() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    taken = listeners[0].socket.getsockname()[1]
    server = BulkServer()
    server.handler = answer_frames
    async with server.open([("127.0.0.1", taken), ("::1", 0)]):
        offer = server.offer(PEER)
        assert offer.port4 not in (0, taken)
        assert offer.port6 != 0

        stream = await dial_bulk(["::1"], offer)
        await stream.send(b"six")
        assert await stream.receive() == b"six"
        await stream.aclose()
    await listeners[0].aclose()


async def test_nobody_at_the_bulk_port() -> None:
    async with serving() as server:
        offer = server.offer(PEER)
    for one in (offer, BulkOffer(0, 0, token(1), KEY)):
        with pytest.raises(Unreachable, match="firewall"):
            await dial_bulk(["127.0.0.1"], one)
