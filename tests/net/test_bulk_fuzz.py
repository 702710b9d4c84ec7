"""Whatever is sent on the bulk lane, over TCP or libp2p: that connection ends, the node does not.

Nothing reaches the handler but what was sealed for it, from the first frame on, in order.
"""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, cast

import pytest
import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID

from p2pgrid.limits.net import BULK_CONNECTIONS_PER_PEER_MAX, BULK_FRAME_BYTES
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import peer_id_bytes
from p2pgrid.net.bulk import (
    KEY_BYTES,
    LENGTH_BYTES,
    SEALED_BYTES_MAX,
    TAG_BYTES,
    TOKEN_BYTES,
    BulkOffer,
    client_ends,
)
from p2pgrid.net.bulk_socket import BulkServer, dial_bulk
from p2pgrid.net.libp2p_streams import Libp2pStream
from p2pgrid.net.network import BULK_PROTOCOL, BulkStream
from tests.contracts.network_world import pair, until, world_of

ROUNDS = {"tcp": 300, "libp2p": 45}  # a connection may open 64 streams at once
PEER = NodeId(b"p" * 32)
HANG_UP_SECONDS_MAX = 20


class Raw(Protocol):
    """A connection on which anything may be sent."""

    async def send(self, data: bytes) -> None: ...

    async def send_eof(self) -> None: ...

    async def receive(self) -> bytes: ...


class Victim(Protocol):
    """A node that serves bulk connections."""

    got: list[bytes]

    def offer(self) -> BulkOffer: ...

    def raw(self) -> AbstractAsyncContextManager[Raw]: ...

    async def open(self) -> BulkStream: ...


def _garbage(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    return [*sealed[:-1], choice.randbytes(choice.randrange(LENGTH_BYTES + TAG_BYTES, 3000))]


def _truncated(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    return [*sealed[:-1], sealed[-1][: choice.randrange(len(sealed[-1]))]]


def _oversize(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    length = choice.randrange(SEALED_BYTES_MAX + 1, 1 << 32)
    return [*sealed[:-1], length.to_bytes(LENGTH_BYTES, "big") + sealed[-1][LENGTH_BYTES:]]


def _undersize(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    return [*sealed[:-1], choice.randrange(TAG_BYTES).to_bytes(LENGTH_BYTES, "big") + bytes(40)]


def _reordered(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    return [*sealed[:-2], sealed[-1], sealed[-2]]


def _repeated(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    return [*sealed, choice.choice(sealed)]


def _left_out(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    gone = choice.randrange(len(sealed) - 1)
    return sealed[:gone] + sealed[gone + 1 :]


def _flipped(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    whole = bytearray(b"".join(sealed))
    whole[choice.randrange(len(whole))] ^= 1 << choice.randrange(8)
    return [bytes(whole)]


def _of_another_key(choice: random.Random, sealed: list[bytes]) -> list[bytes]:
    sealer, _ = client_ends(choice.randbytes(KEY_BYTES))
    return [b"".join(sealer.seal(b"mine"))]


DAMAGES = (
    _garbage, _truncated, _oversize, _undersize, _reordered, _repeated, _left_out, _flipped,
    _of_another_key,
)  # fmt: skip
WAITING = {_garbage, _truncated, _flipped}
"""After these the server may wait for more: the client says that nothing comes."""


class TcpVictim:
    """The server of the bulk lane alone."""

    def __init__(self, server: BulkServer) -> None:
        self.got: list[bytes] = []
        self._server = server
        server.handler = _echo_into(self.got)

    def offer(self) -> BulkOffer:
        return self._server.offer(PEER)

    @asynccontextmanager
    async def raw(self) -> AsyncGenerator[Raw]:
        async with await trio.open_tcp_stream("127.0.0.1", self.offer().port4) as stream:
            yield _RawSocket(stream)

    async def open(self) -> BulkStream:
        return await dial_bulk(["127.0.0.1"], self.offer())


class _RawSocket:
    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.send = stream.send_all
        self.send_eof = stream.send_eof
        self.receive = stream.receive_some


class Libp2pVictim:
    """A node whose bulk ports cannot be reached."""

    def __init__(self, left: Any, right: Any) -> None:
        self.got: list[bytes] = []
        self._left, self._right = left, right
        right.serve_bulk(_echo_into(self.got))

    def offer(self) -> BulkOffer:
        return cast(BulkOffer, self._right._bulk.offer(self._left.id))

    @asynccontextmanager
    async def raw(self) -> AsyncGenerator[Raw]:
        peer = ID(peer_id_bytes(self._right.id))
        stream = Libp2pStream(await self._left._host.new_stream(peer, [TProtocol(BULK_PROTOCOL)]))
        try:
            yield _RawStream(stream)
        finally:
            await stream.aclose()

    async def open(self) -> BulkStream:
        return cast(BulkStream, await self._left.open_bulk(self._right.id))


class _RawStream:
    def __init__(self, stream: Libp2pStream) -> None:
        self.send = stream.send_all
        self.send_eof = stream.send_eof
        self.receive = stream.receive_some


def _echo_into(got: list[bytes]) -> Callable[[NodeId, BulkStream], Any]:
    async def echo(peer: NodeId, stream: BulkStream) -> None:
        while frame := await stream.receive():
            got.append(frame)
            await stream.send(frame)

    return echo


@asynccontextmanager
async def victim_of(kind: str) -> AsyncGenerator[tuple[Victim, BulkServer]]:
    if kind == "tcp":
        server = BulkServer()
        victim = TcpVictim(server)
        async with server.open([("127.0.0.1", 0)]):
            yield victim, server
    else:
        async with pair(world_of("libp2p, no bulk ports")) as (left, right):
            yield Libp2pVictim(left, right), cast(Any, right)._bulk


async def attack(victim: Victim, choice: random.Random) -> None:
    """One connection that shows a good token, and damaged frames after it."""
    offer = victim.offer()
    sealer, _ = client_ends(offer.key)
    frames = [choice.randbytes(choice.randrange(1, 2000)) for _ in range(choice.randrange(2, 6))]
    damage = choice.choice(DAMAGES)
    data = b"".join(damage(choice, [b"".join(sealer.seal(frame)) for frame in frames]))
    victim.got.clear()
    async with victim.raw() as raw:
        await _send_all(raw, [offer.token, data], is_end=damage in WAITING)
        assert await _is_hung_up(raw), damage
    assert victim.got == frames[: len(victim.got)], damage
    if damage is not _repeated:  # there the damage comes after all of them
        assert len(victim.got) < len(frames), damage


async def show_no_token(victim: Victim, choice: random.Random) -> None:
    """Garbage, half a token, or one that was shown before."""
    used = victim.offer().token
    async with victim.raw() as raw:
        await _send_all(raw, [used])
        assert await _is_hung_up(raw)
    shown = choice.choice([used, used[:-1], b"", choice.randbytes(TOKEN_BYTES + 9)])
    victim.got.clear()
    async with victim.raw() as raw:
        await _send_all(raw, [shown])
        assert await _is_hung_up(raw)
    assert victim.got == []


async def _send_all(raw: Raw, pieces: list[bytes], *, is_end: bool = True) -> None:
    """All of it; that the other side hangs up in between is what it should do."""
    try:
        for piece in pieces:
            await raw.send(piece)
        if is_end:
            await raw.send_eof()
    except trio.BrokenResourceError:
        return


async def _is_hung_up(raw: Raw) -> bool:
    try:
        with trio.fail_after(HANG_UP_SECONDS_MAX):
            while await raw.receive():
                pass
    except trio.BrokenResourceError:
        return True
    return True


async def is_alive(victim: Victim) -> bool:
    stream = await victim.open()
    frame = bytes(BULK_FRAME_BYTES)
    await stream.send(frame)
    answer = await stream.receive()
    await stream.aclose()
    return answer == frame


@pytest.mark.parametrize("kind", ROUNDS)
async def test_damaged_frames_and_tokens_end_their_connection_only(kind: str) -> None:
    choice = random.Random(5)
    async with victim_of(kind) as (victim, server):
        for number in range(ROUNDS[kind]):
            await (show_no_token if number % 10 == 9 else attack)(victim, choice)
        assert await is_alive(victim)
        with trio.fail_after(HANG_UP_SECONDS_MAX):
            await until(lambda: not (server._served or server._greeting))
        assert not server._served_of_prefix


async def test_a_token_is_good_for_its_peer_only() -> None:
    async with victim_of("libp2p") as (victim, server):
        stolen = server.offer(PEER)
        async with victim.raw() as raw:
            await _send_all(raw, [stolen.token, b"".join(client_ends(stolen.key)[0].seal(b"x"))])
            assert await _is_hung_up(raw)
        assert victim.got == []
        assert await is_alive(victim)


async def test_streams_that_show_no_token_are_bounded_and_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    greeting_seconds = 1.5
    monkeypatch.setattr("p2pgrid.net.libp2p_bulk.BULK_GREETING_SECONDS_MAX", greeting_seconds)
    ended: list[float] = []
    async with victim_of("libp2p") as (victim, _):

        async def be_mute(task_status: Any) -> None:
            async with victim.raw() as raw:
                started = trio.current_time()
                task_status.started()
                assert await _is_hung_up(raw)
                ended.append(trio.current_time() - started)

        async with trio.open_nursery() as nursery:
            for _ in range(BULK_CONNECTIONS_PER_PEER_MAX + 3):
                await nursery.start(be_mute)
        assert sum(seconds < greeting_seconds / 2 for seconds in ended) == 3
        assert max(ended) < HANG_UP_SECONDS_MAX / 2
        assert await is_alive(victim)
