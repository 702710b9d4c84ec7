"""A bulk stream ends only where the other side said so, whatever happens in between."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from p2pgrid.errors import Unreachable
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.net.bulk import KEY_BYTES, client_ends, server_ends
from p2pgrid.net.bulk_frames import FramedBulkStream
from p2pgrid.net.bulk_socket import SocketPipe

KEY = b"k" * KEY_BYTES


@asynccontextmanager
async def ends() -> AsyncGenerator[tuple[FramedBulkStream, trio.SocketStream]]:
    """A served end, and the bare other end of its connection."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    other = await trio.open_tcp_stream("127.0.0.1", listeners[0].socket.getsockname()[1])
    accepted = await listeners[0].accept()
    served = FramedBulkStream(SocketPipe(accepted), *server_ends(KEY))
    yield served, other
    served.break_off()
    await other.aclose()
    await listeners[0].aclose()


@pytest.mark.parametrize("cut", [0, 2, 4, 9])
async def test_a_connection_that_breaks_off_is_not_taken_for_the_end(cut: int) -> None:
    async with ends() as (served, other):
        length, sealed = client_ends(KEY)[0].seal(b"half")
        await other.send_all((length + sealed)[:cut])
        await other.aclose()

        with pytest.raises(Unreachable):
            await served.receive()


async def test_the_end_is_said_and_cannot_be_forged() -> None:
    async with ends() as (served, other):
        sealer, _ = client_ends(KEY)
        for frame in (b"last", b""):
            await other.send_all(b"".join(sealer.seal(frame)))

        assert [await served.receive() for _ in range(3)] == [b"last", b"", b""]


async def test_a_cancelled_receive_loses_nothing() -> None:
    async with ends() as (served, other):
        length, sealed = client_ends(KEY)[0].seal(b"whole")
        for byte in (length + sealed)[:-1]:
            await other.send_all(bytes([byte]))
            with trio.move_on_after(0.001) as scope:
                await served.receive()
            assert scope.cancelled_caught
        await other.send_all(sealed[-1:])

        assert await served.receive() == b"whole"


async def test_a_cut_send_spoils_the_stream_and_says_so() -> None:
    """Half a frame went out: whatever followed would be garbage to the other side."""
    async with ends() as (served, _):
        with trio.move_on_after(0.05) as scope:
            for _ in range(10_000):
                await served.send(bytes(BULK_FRAME_BYTES))
        assert scope.cancelled_caught

        with pytest.raises(Unreachable, match="cut off"):
            await served.send(b"next")
