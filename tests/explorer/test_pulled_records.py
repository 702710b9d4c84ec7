"""What a peer sends on request is verified before any of it is taken, and stored by the batch."""

import pytest
import trio
import trio.testing

from p2pgrid.crdt.messages import (
    Below,
    Compared,
    Descend,
    Differs,
    Fetch,
    Leaf,
    Records,
    Request,
)
from p2pgrid.errors import BadSignature, MalformedRecord
from p2pgrid.limits.explorer import PULL_IDLE_SECONDS_MAX, PULL_STORE_BATCH, PULL_VERIFY_BATCH
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Method, Network
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Envelope, open_envelope
from tests.crdt.replicas import Shelf
from tests.explorer.grid import announced, node_of
from tests.explorer.peers import open_grid


@pytest.mark.parametrize("count", [1, PULL_VERIFY_BATCH + 1, PULL_STORE_BATCH + 1])
async def test_what_comes_before_something_wrong_is_taken_and_stored(
    count: int, autojump_clock: trio.testing.MockClock
) -> None:
    good = [announced(number).envelope for number in range(1000, 1000 + count)]
    store = MemoryStore()
    async with open_grid() as grid:
        explorer = await grid.join(1, store)
        with pytest.raises(MalformedRecord):
            await explorer._take_pulled((*good, b"garbage", announced(99).envelope))
        assert len(explorer.view) == count
        assert sorted(value for _, value in store.scan(Table.REGISTER.value)) == sorted(good)
        assert explorer.node(node_of(99)) is None
        assert await explorer._take_pulled((announced(99).envelope, *good)) == 1


async def test_what_is_known_or_outdated_is_not_verified_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A peer may send it as often as it likes: its signature is not looked at."""
    old, new, other = announced(5), announced(5, sequence=2), announced(6)
    async with open_grid() as grid:
        explorer = await grid.join(1)
        assert await explorer._take_pulled((old.envelope, new.envelope)) == 2
        for known in (old, new):
            assert await explorer._take_pulled((_forged(known.envelope),)) == 0
        with pytest.raises(BadSignature):
            await explorer._take_pulled((_forged(other.envelope),))


def _forged(envelope: bytes) -> bytes:
    opened = open_envelope(envelope)
    return encode(Envelope(opened.kind, opened.body, bytes(len(opened.signature))))


async def test_peers_that_are_slow_on_purpose_keep_no_newcomer_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They answer as the protocol wants, just in time, bring nothing, and come again."""
    async with open_grid() as grid, trio.open_nursery() as nursery:
        explorer = await grid.join(1)

        async def occupy(network: Network) -> None:
            asked_at = float("-inf")

            async def answer(_peer: object, body: bytes) -> bytes:
                nonlocal asked_at
                asked_at = trio.current_time()
                await trio.sleep(REQUEST_SECONDS_MAX - 1)
                return _nothing(decode(Request, body).question)

            network.serve(Method.RECONCILE_EXPLORER, answer)
            while True:
                if trio.current_time() > asked_at + REQUEST_SECONDS_MAX:
                    await network.disconnect(explorer._network.id)
                    await network.connect(explorer._network.addresses()[0])
                    asked_at = trio.current_time()
                await trio.sleep(1)

        for number in range(2, 14):
            nursery.start_soon(occupy, await grid.world.join_unconnected(number))
        await trio.sleep(PULL_IDLE_SECONDS_MAX * 6)
        for number in range(20, 25):
            newcomer = await grid.world.join_unconnected(number)
            newcomer.serve(Method.RECONCILE_EXPLORER, _answer_as_empty)
            await newcomer.connect(explorer._network.addresses()[0])
            await trio.sleep(PULL_IDLE_SECONDS_MAX + 1)
            assert node_of(number) in explorer._catching_up.level_at_of
        nursery.cancel_scope.cancel()


async def _answer_as_empty(peer: NodeId, body: bytes) -> bytes:
    await trio.lowlevel.checkpoint()
    return Shelf().answerer.answer(peer, body, 0)


def _nothing(question: object) -> bytes:
    """An answer that leads to the next question, and to no record."""
    match question:
        case Descend():
            cuts = b"".join(number.to_bytes(8, "big") for number in range(50))
            return encode(Below((Leaf(cuts),)))
        case Fetch():
            return encode(Records((), 1))
        case _:
            return encode(Compared(Differs(7, 1, 50, bytes(16))))
