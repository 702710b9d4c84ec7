"""Who is slow or silent makes way, and only a few are asked at the same time."""

from contextlib import suppress

import pytest
import trio

from p2pgrid.chunks.messages import Answer, FlistAnswer
from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits.chunks import (
    FLIST_BYTES_MAX,
    HOLDER_SILENCE_SECONDS_MAX,
    HOLDERS_AT_ONCE_MAX,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import BulkStream
from p2pgrid.units import MIB
from p2pgrid.wire.codec import encode
from tests.chunks.blobs import blob
from tests.chunks.peers import (
    open_world,
    serve_trickle,
)

FLIST = bytes(blob(1, MIB + 5).data)
FLIST_ID = flist_id(FLIST)


async def test_only_a_few_are_asked_for_an_flist_at_the_same_time(
    autojump_clock: trio.abc.Clock,
) -> None:
    """Each may send a whole flist, which is held in memory."""
    asked = most = 0

    async def serve(peer: NodeId, stream: BulkStream) -> None:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        async with trio.open_nursery() as nursery:
            await stream.receive()
            nursery.start_soon(give_slowly, stream)
            with suppress(GridError):
                await stream.receive()  # until we hang up
            asked -= 1
            nursery.cancel_scope.cancel()

    async def give_slowly(stream: BulkStream) -> None:
        await stream.send(encode(Answer(FlistAnswer(FLIST_BYTES_MAX))))
        while True:
            await trio.sleep(HOLDER_SILENCE_SECONDS_MAX - 1)
            await stream.send(bytes(BULK_FRAME_BYTES))

    async with open_world() as world:
        slow = [await world.add(serve) for _ in range(3 * HOLDERS_AT_ONCE_MAX)]
        exchange = world.exchange()
        with pytest.raises(Unreachable, match="slow"):
            await exchange.fetch_flist(FLIST_ID, slow)
    assert HOLDERS_AT_ONCE_MAX <= most <= HOLDERS_AT_ONCE_MAX + 1  # one is hanging up


async def test_a_holder_that_is_slow_for_ever_has_failed(autojump_clock: trio.abc.Clock) -> None:
    async with open_world() as world:
        trickle = await world.add(serve_trickle)
        exchange = world.exchange()
        with pytest.raises(Unreachable, match="slow"):
            await exchange.fetch_flist(FLIST_ID, [trickle])
        assert trio.current_time() < 30
