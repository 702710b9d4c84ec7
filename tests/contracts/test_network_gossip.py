"""Gossip of every `Network`, in memory and on libp2p alike."""

import pytest
import trio

from p2pgrid.errors import (
    Unreachable,
)
from p2pgrid.limits.net import (
    FAULTS_BURST,
    GOSSIP_BURST_MESSAGES,
    GOSSIP_BYTES_MAX,
    GOSSIP_MESSAGE_BYTES,
    GOSSIP_PER_SECOND_MAX,
)
from p2pgrid.limits.spreading import GOSSIP_FLUSH_SECONDS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import (
    Method,
    PeerDown,
    Topic,
    Verdict,
)
from p2pgrid.net.standing import Fault
from tests.contracts.network_world import World, accept, connect_and_ask, echo, pair, spread, until

pytestmark = pytest.mark.usefixtures("_in_time")


async def test_gossip_reaches_subscribers_with_who_passed_it_on(world: World) -> None:
    data = bytes(GOSSIP_BYTES_MAX)
    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.CAPACITY, accept)

        assert await spread(left, Topic.CAPACITY, data, inbox) == left.id


async def test_gossip_is_passed_on_but_not_to_its_author(world: World) -> None:
    async with world(1) as left, world(2) as middle, world(3) as right:
        await left.connect(middle.addresses()[0])
        await middle.connect(right.addresses()[0])
        own = left.subscribe(Topic.LEDGER, accept)
        middle.subscribe(Topic.LEDGER, accept)
        inbox = right.subscribe(Topic.LEDGER, accept)

        assert await spread(left, Topic.LEDGER, b"news", inbox) == middle.id
        with pytest.raises(trio.WouldBlock):
            own.receive_nowait()


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
async def test_what_is_not_accepted_is_neither_given_nor_passed_on(
    world: World, verdict: Verdict
) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        return Verdict.ACCEPT if data.startswith(b"good") else verdict

    async with world(1) as left, world(2) as middle, world(3) as right:
        await left.connect(middle.addresses()[0])
        await middle.connect(right.addresses()[0])
        at_middle = middle.subscribe(Topic.LEDGER, judge)
        at_right = right.subscribe(Topic.LEDGER, accept)
        await spread(left, Topic.LEDGER, b"good", at_right)

        await left.publish(Topic.LEDGER, b"bad")
        await spread(left, Topic.LEDGER, b"good too", at_right)

        for inbox in (at_middle, at_right):
            while inbox.statistics().current_buffer_used:
                assert inbox.receive_nowait().data.startswith(b"good")


async def test_a_raising_validator_harms_nobody(world: World) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        if data == b"bad":
            raise ValueError
        return Verdict.ACCEPT

    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.LEDGER, judge)
        await spread(left, Topic.LEDGER, b"first", inbox)
        await left.publish(Topic.LEDGER, b"bad")

        assert await spread(left, Topic.LEDGER, b"second", inbox) == left.id


async def test_a_peer_that_keeps_sending_invalid_messages_is_hung_up_on(world: World) -> None:
    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        return Verdict.REJECT if data == b"bad" else Verdict.ACCEPT

    async with pair(world) as (left, right):
        events = right.peer_events()
        inbox = right.subscribe(Topic.LEDGER, judge)
        await spread(left, Topic.LEDGER, b"good", inbox)
        for _ in range(FAULTS_BURST):
            await left.publish(Topic.LEDGER, b"bad")
            await trio.sleep(2 * GOSSIP_FLUSH_SECONDS)  # each in a message of its own
        await spread(left, Topic.LEDGER, b"better", inbox)
        assert right.peers() == (left.id,)

        await left.publish(Topic.LEDGER, b"bad")

        assert await events.receive() == PeerDown(left.id)
        with pytest.raises(Unreachable):
            await connect_and_ask(left, right)


async def test_gossip_that_is_too_long_is_not_sent(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(ValueError, match="limit"):
            await left.publish(Topic.HUB, bytes(GOSSIP_BYTES_MAX + 1))


async def test_a_burst_is_paced_and_arrives_completely(world: World) -> None:
    """Nothing is lost between peers that read."""
    count = 100
    async with pair(world) as (left, right):
        inbox = right.subscribe(Topic.LEDGER, accept)
        await spread(left, Topic.LEDGER, b"first", inbox)
        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(left.publish, Topic.LEDGER, b"%d" % number)
        got: set[bytes] = set()
        while len(got) < count:
            got.add((await inbox.receive()).data)
            got.discard(b"first")

    assert got == {b"%d" % number for number in range(count)}


async def test_long_messages_count_as_several(world: World) -> None:
    """Otherwise one publisher could fill everybody's line."""
    count = 16
    async with world(1) as left:
        began_at = trio.current_time()
        for _ in range(count):
            await left.publish(Topic.LEDGER, bytes(GOSSIP_BYTES_MAX))
        took = trio.current_time() - began_at

    free_bytes = GOSSIP_BURST_MESSAGES * GOSSIP_MESSAGE_BYTES
    paced_bytes = count * GOSSIP_BYTES_MAX - free_bytes
    assert took >= 0.9 * paced_bytes / (GOSSIP_PER_SECOND_MAX * GOSSIP_MESSAGE_BYTES)


async def test_a_peer_that_keeps_giving_invalid_answers_is_refused(world: World) -> None:
    """By whoever asks, and says so; coming back does not help."""
    async with pair(world) as (left, right):
        left.serve(Method.EXPLORER_QUERY, echo)
        right.serve(Method.EXPLORER_QUERY, echo)
        for _ in range(FAULTS_BURST // Fault.ANSWER):
            right.blame(left.id)
        await right.disconnect(left.id)
        await until(lambda: not left.peers() and not right.peers())
        await connect_and_ask(left, right)
        await until(lambda: bool(right.links()))
        assert right.links()[0].faults > FAULTS_BURST - 1

        right.blame(left.id)
        await until(lambda: not left.peers() and not right.peers())
        with pytest.raises(Unreachable):
            await connect_and_ask(left, right)
        with pytest.raises(Unreachable):
            await right.connect(left.addresses()[0])
