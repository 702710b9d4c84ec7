"""Requests and peers of every `Network`, in memory and on libp2p alike."""

import logging

import pytest
import trio

from p2pgrid.errors import (
    BadInput,
    GridError,
    InsufficientBalance,
    NotFound,
    Refused,
    StoreFailed,
    Unreachable,
)
from p2pgrid.limits.net import REQUEST_BODY_BYTES_MAX, REQUESTS_PER_PEER_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.links import NEVER
from p2pgrid.net.network import (
    Method,
    Network,
    PeerDown,
    PeerUp,
    Topic,
    Verdict,
)
from p2pgrid.net.prefix import prefix_of
from tests.contracts.network_world import (
    OTHER_GRID,
    World,
    accept,
    echo,
    key,
    pair,
    spread,
    until,
)

pytestmark = pytest.mark.usefixtures("_in_time")


async def test_a_request_is_answered_with_who_asked(world: World) -> None:
    async def whoami(peer: NodeId, body: bytes) -> bytes:
        return peer + body

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, whoami)
        left.serve(Method.LEDGER_VOTE, whoami)

        assert await left.request(right.id, Method.EXPLORER_QUERY, b"!") == left.id + b"!"
        assert await right.request(left.id, Method.LEDGER_VOTE, b"?") == right.id + b"?"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Refused("not you"), Refused),
        (InsufficientBalance("3 TFT are missing"), InsufficientBalance),
        (NotFound("no such record"), NotFound),
    ],
)
async def test_an_error_of_the_handler_arrives_as_its_class(
    world: World, raised: GridError, expected: type[GridError]
) -> None:
    async def refuse(peer: NodeId, body: bytes) -> bytes:
        raise raised

    async with pair(world) as (left, right):
        right.serve(Method.LEDGER_SUBMIT, refuse)

        with pytest.raises(expected, match=str(raised)) as caught:
            await left.request(right.id, Method.LEDGER_SUBMIT, b"")

        assert type(caught.value) is expected


@pytest.mark.parametrize(
    "bug", [KeyError("secret"), StoreFailed("disk secret"), trio.EndOfChannel()]
)
async def test_a_failing_handler_says_nothing_and_the_node_lives_on(
    world: World, bug: Exception
) -> None:
    async def fail(peer: NodeId, body: bytes) -> bytes:
        raise bug

    async with pair(world) as (left, right):
        right.serve(Method.LEDGER_SUBMIT, fail)
        right.serve(Method.LEDGER_VOTE, echo)

        with pytest.raises(Unreachable) as caught:
            await left.request(right.id, Method.LEDGER_SUBMIT, b"")

        assert "secret" not in str(caught.value)
        assert await left.request(right.id, Method.LEDGER_VOTE, b"alive") == b"alive"


async def test_an_unknown_method_is_refused(world: World) -> None:
    async with pair(world) as (left, right):
        with pytest.raises(Refused, match="not served"):
            await left.request(right.id, Method.RESERVATION_LOGS, b"")


async def test_requests_overtake_each_other(world: World) -> None:
    """And more than REQUESTS_PER_PEER_MAX at once all get their answer."""
    last_may_go = trio.Event()

    async def wait_for_last(peer: NodeId, body: bytes) -> bytes:
        if body == b"0":
            await last_may_go.wait()
        return body

    answers: list[bytes] = []
    async with pair(world) as (left, right), trio.open_nursery() as nursery:
        right.serve(Method.EXPLORER_QUERY, wait_for_last)

        async def ask(number: int) -> None:
            answers.append(await left.request(right.id, Method.EXPLORER_QUERY, b"%d" % number))

        count = REQUESTS_PER_PEER_MAX + 20
        for number in range(count):
            nursery.start_soon(ask, number)
        await until(lambda: len(answers) == count - 1)
        last_may_go.set()
        await until(lambda: len(answers) == count)

    assert answers[-1] == b"0"
    assert sorted(map(int, answers)) == list(range(count))


async def test_at_most_so_many_requests_of_a_peer_are_worked_on_at_once(world: World) -> None:
    running = most = done = 0
    may_end = trio.Event()

    async def count(peer: NodeId, body: bytes) -> bytes:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await may_end.wait()
        running -= 1
        done += 1
        return b""

    async with pair(world) as (left, right):
        right.serve(Method.LEDGER_VOTE, count)
        async with trio.open_nursery() as nursery:
            for _ in range(2 * REQUESTS_PER_PEER_MAX):
                nursery.start_soon(left.request, right.id, Method.LEDGER_VOTE, b"")
            await until(lambda: running == REQUESTS_PER_PEER_MAX)
            may_end.set()

    assert (most, done) == (REQUESTS_PER_PEER_MAX, 2 * REQUESTS_PER_PEER_MAX)


async def test_the_longest_bodies_travel_both_ways(world: World) -> None:
    body = bytes(range(256)) * (REQUEST_BODY_BYTES_MAX // 256)
    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, echo)

        assert await left.request(right.id, Method.EXPLORER_QUERY, body) == body


async def test_a_longer_body_is_not_sent_and_a_longer_answer_not_given(world: World) -> None:
    async def too_long(peer: NodeId, body: bytes) -> bytes:
        return bytes(REQUEST_BODY_BYTES_MAX + 1)

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, too_long)

        with pytest.raises(ValueError, match="limit"):
            await left.request(right.id, Method.EXPLORER_QUERY, bytes(REQUEST_BODY_BYTES_MAX + 1))
        with pytest.raises(Unreachable):
            await left.request(right.id, Method.EXPLORER_QUERY, b"")


async def test_who_stops_waiting_stops_the_handler(world: World) -> None:
    started, stopped = trio.Event(), trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, wait)
        right.serve(Method.LEDGER_VOTE, echo)
        async with trio.open_nursery() as asking:
            asking.start_soon(left.request, right.id, Method.EXPLORER_QUERY, b"")
            await started.wait()
            asking.cancel_scope.cancel()
        await stopped.wait()

        assert await left.request(right.id, Method.LEDGER_VOTE, b"alive") == b"alive"


async def test_requests_to_a_peer_that_leaves_fail(world: World) -> None:
    started, failed = trio.Event(), trio.Event()
    peer = NodeId(bytes(key(2).verify_key))

    async def wait(peer: NodeId, body: bytes) -> bytes:
        started.set()
        return await trio.sleep_forever()

    async def ask(asker: Network, peer: NodeId) -> None:
        with pytest.raises(Unreachable):
            await asker.request(peer, Method.EXPLORER_QUERY, b"")
        failed.set()

    async with world(1) as left, trio.open_nursery() as nursery:
        async with world(2) as right:
            right.serve(Method.EXPLORER_QUERY, wait)
            await left.connect(right.addresses()[0])
            nursery.start_soon(ask, left, peer)
            await started.wait()
        await failed.wait()
        await ask(left, peer)

        assert left.peers() == ()


async def test_nobody_known_cannot_be_asked(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(Unreachable):
            await left.request(NodeId(bytes(key(9).verify_key)), Method.EXPLORER_QUERY, b"")


async def test_a_request_dials_a_peer_whose_address_was_learnt(world: World) -> None:
    async with world(1) as left, world(2) as right:
        right.serve(Method.EXPLORER_QUERY, echo)
        left.learn_addresses(right.id, ["nonsense", *right.addresses()])

        assert await left.request(right.id, Method.EXPLORER_QUERY, b"hi") == b"hi"
        assert left.addresses_of(right.id)[0] == right.addresses()[0]


# --- peers --------------------------------------------------------------------------------------


async def test_both_sides_hear_of_ups_and_downs(world: World) -> None:
    async with world(1) as left:
        left_events = left.peer_events()
        async with world(2) as right:
            right_events = right.peer_events()

            assert await left.connect(right.addresses()[0]) == right.id
            assert await left_events.receive() == PeerUp(right.id)
            assert await right_events.receive() == PeerUp(left.id)
            assert left.peers() == (right.id,)
            assert right.peers() == (left.id,)
            assert right.addresses_of(left.id) == left.addresses()
        assert await left_events.receive() == PeerDown(right.id)
        assert left.peers() == ()


async def test_a_connected_peer_has_the_prefix_that_it_speaks_from(world: World) -> None:
    async with world(1) as left:
        async with world(2) as right:
            assert left.prefix_of_peer(right.id) == ""
            await left.connect(right.addresses()[0])
            await until(lambda: left.id in right.peers())

            assert left.prefix_of_peer(right.id) == prefix_of(right.addresses()[0])
            assert right.prefix_of_peer(left.id) == prefix_of(left.addresses()[0])
        await until(lambda: not left.peers())
        assert left.prefix_of_peer(right.id) == ""


async def test_a_link_says_who_dialled_and_whether_it_was_of_use(world: World) -> None:
    async with pair(world) as (left, right):
        right.serve(Method.EXPLORER_QUERY, echo)
        await until(lambda: bool(right.links()))
        (ours,), (theirs,) = left.links(), right.links()
        assert (ours.peer, ours.is_outbound, ours.useful_at) == (right.id, True, NEVER)
        assert (theirs.peer, theirs.is_outbound, theirs.useful_at) == (left.id, False, NEVER)
        assert ours.prefix == left.prefix_of_peer(right.id)
        await left.request(right.id, Method.EXPLORER_QUERY, b"")

        assert 0 < left.round_trips_us()[right.id] < 10_000_000
        assert ours.since <= left.links()[0].useful_at <= trio.current_time()
        assert not left.links()[0].is_busy


async def test_a_link_is_busy_while_requests_are_under_way(world: World) -> None:
    asked = trio.Event()

    async def wait(peer: NodeId, body: bytes) -> bytes:
        asked.set()
        return await trio.sleep_forever()

    async with pair(world) as (left, right), trio.open_nursery() as nursery:
        right.serve(Method.EXPLORER_QUERY, wait)
        nursery.start_soon(left.request, right.id, Method.EXPLORER_QUERY, b"")
        await asked.wait()

        assert left.links()[0].is_busy
        assert right.links()[0].is_busy
        nursery.cancel_scope.cancel()


async def test_a_peer_that_is_hung_up_on_is_gone_and_may_come_back(world: World) -> None:
    async with pair(world) as (left, right):
        await left.disconnect(right.id)
        await until(lambda: not left.peers() and not right.peers())
        await left.disconnect(right.id)
        await right.connect(left.addresses()[0])
        await until(lambda: bool(left.links()))

        assert not left.links()[0].is_outbound


async def test_connecting_twice_is_one_peer(world: World) -> None:
    async with pair(world) as (left, right):
        events = left.peer_events()
        await left.connect(right.addresses()[0])
        await right.connect(left.addresses()[0])

        assert left.peers() == (right.id,)
        with pytest.raises(trio.WouldBlock):
            events.receive_nowait()


async def test_a_peer_comes_back_with_the_same_key(world: World) -> None:
    """Twice, at another address each time."""
    async with world(1) as left:
        for _ in range(2):
            async with world(2) as right:
                right.serve(Method.EXPLORER_QUERY, echo)
                inbox = right.subscribe(Topic.LEDGER, accept)
                await left.connect(right.addresses()[0])

                assert await left.request(right.id, Method.EXPLORER_QUERY, b"hi") == b"hi"
                assert await spread(left, Topic.LEDGER, b"news", inbox) == left.id
            await until(lambda: not left.peers())


async def test_nobody_answers(world: World) -> None:
    async with world(1) as left:
        async with world(2) as right:
            address = right.addresses()[0]
        with pytest.raises(Unreachable):
            await left.connect(address)
        assert left.peers() == ()


async def test_somebody_else_answers(world: World) -> None:
    async with world(1) as left, world(2) as right, world(3) as third:
        transport = right.addresses()[0].rpartition("/p2p/")[0]
        expected = third.addresses()[0].rpartition("/p2p/")[2]

        with pytest.raises(Unreachable):
            await left.connect(f"{transport}/p2p/{expected}")
        assert left.peers() == ()


@pytest.mark.parametrize(
    "address", ["", "/ip4/127.0.0.1/tcp/1", "/p2p/", "/ip4/1.2.3.4/tcp/1/p2p/Qm"]
)
async def test_nonsense_is_no_address(world: World, address: str) -> None:
    async with world(1) as left:
        with pytest.raises(BadInput, match="is not"):
            await left.connect(address)


async def test_a_node_does_not_connect_to_itself(world: World) -> None:
    async with world(1) as left:
        with pytest.raises(BadInput, match="itself"):
            await left.connect(left.addresses()[0])


async def test_grids_do_not_mix(world: World, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[bytes] = []

    def hear(forwarder: NodeId, data: bytes) -> Verdict:
        heard.append(data)
        return Verdict.ACCEPT

    async with world(1) as left, world(2, grid=OTHER_GRID) as right:
        left_events, right_events = left.peer_events(), right.peer_events()
        right.subscribe(Topic.LEDGER, hear)
        left.subscribe(Topic.LEDGER, hear)
        right.serve(Method.EXPLORER_QUERY, echo)
        left.learn_addresses(right.id, right.addresses())

        with caplog.at_level(logging.WARNING), pytest.raises(Unreachable, match="another grid"):
            await left.connect(right.addresses()[0])
        with pytest.raises(Unreachable, match="another grid"):
            await left.request(right.id, Method.EXPLORER_QUERY, b"")
        await left.publish(Topic.LEDGER, b"ours")
        await right.publish(Topic.LEDGER, b"theirs")

        assert "of another grid" in caplog.text
        assert left.peers() == right.peers() == ()
        for events in (left_events, right_events):
            with pytest.raises(trio.WouldBlock):
                events.receive_nowait()
    assert heard == []
