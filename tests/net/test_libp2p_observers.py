"""Anybody may listen to announcements with a stock gossipsub, and nobody can say anything there."""

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from libp2p.utils import encode_varint_prefixed
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.observers import (
    OBSERVED_MESSAGES_MAX,
    OBSERVER_PACKETS_MAX,
    OBSERVERS_MAX,
    OBSERVERS_RESTART_SECONDS_MIN,
)
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net import libp2p_observers
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.libp2p_host import open_host
from p2pgrid.net.libp2p_meshsub import MESHSUB_PROTOCOLS
from p2pgrid.net.libp2p_observers import Observers, observers_key, open_observers
from p2pgrid.net.network import Network, Topic, Verdict
from tests.contracts.network_world import accept, until
from tests.net.attack_victims import stock_router

KEY = SigningKey(b"o" * 32)
ANY = "/ip4/127.0.0.1/tcp/0"
GRID = NetworkId(b"observed grid...")
SECONDS_MAX = 40


@asynccontextmanager
async def listener(observers: Observers) -> AsyncGenerator[tuple[Pubsub, Any]]:
    """A stock gossipsub peer that has subscribed at the observers' port, and its inbox."""
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(open_host(SigningKey(os.urandom(32)), [ANY]))
        router = stock_router()
        pubsub = Pubsub(host, router)
        for service in (pubsub, router):
            await stack.enter_async_context(background_trio_service(service))
        await pubsub.wait_until_ready()
        inbox = await pubsub.subscribe(Topic.CAPACITY.value)
        before = listening(observers)
        await host.connect(info_from_p2p_addr(Multiaddr(observers.addresses()[0])))
        await until(lambda: listening(observers) > before)
        yield pubsub, inbox


def listening(observers: Observers) -> int:
    station = observers._station
    return len(station.observers) if station is not None else 0


@asynccontextmanager
async def observed_node() -> AsyncGenerator[tuple[Network, Observers]]:
    async with open_libp2p(
        key=KEY, listen=[ANY], network_id=GRID, mdns=False, observers=[ANY]
    ) as network:
        yield network, network._observers  # type: ignore[attr-defined]  # as the log tells people


async def test_an_observer_hears_what_the_node_says_and_what_it_accepted() -> None:
    async with (
        observed_node() as (network, observers),
        open_libp2p(key=SigningKey(b"p" * 32), listen=[ANY], network_id=GRID, mdns=False) as other,
    ):
        with trio.fail_after(SECONDS_MAX):
            network.subscribe(Topic.CAPACITY, accept)
            await other.connect(network.addresses()[0])
            async with listener(observers) as (_, inbox):
                await network.publish(Topic.CAPACITY, b"own")
                first = await inbox.get()
                await other.publish(Topic.CAPACITY, b"another's")
                second = await inbox.get()

    assert (first.data, second.data) == (b"own", b"another's")
    assert second.from_id == first.from_id
    assert int.from_bytes(second.seqno, "big") > int.from_bytes(first.seqno, "big")


async def test_other_topics_are_not_for_observers() -> None:
    async with observed_node() as (network, observers):
        with trio.fail_after(SECONDS_MAX):
            async with listener(observers):
                await network.publish(Topic.LEDGER, b"money")
                await network.publish(Topic.CAPACITY, b"capacity")

                assert list(observers._news) == [(Topic.CAPACITY.value, b"capacity")]


async def test_what_observers_say_goes_nowhere() -> None:
    judged: list[bytes] = []

    def judge(forwarder: NodeId, data: bytes) -> Verdict:
        judged.append(data)
        return Verdict.ACCEPT

    async with observed_node() as (network, observers):
        with trio.fail_after(SECONDS_MAX):
            network.subscribe(Topic.CAPACITY, judge)
            async with listener(observers) as (first, _), listener(observers) as (_, inbox):
                await first.publish(Topic.CAPACITY.value, b"foreign")
                await trio.sleep(0.5)
                await network.publish(Topic.CAPACITY, b"own")

                assert (await inbox.get()).data == b"own"
    assert judged == []


async def test_the_key_of_the_port_is_not_the_node_s_and_lasts() -> None:
    async with open_observers(KEY, [ANY]) as first:
        [address] = first.addresses()
    async with open_observers(KEY, [ANY]) as again:
        assert again.addresses()[0].rpartition("/")[2] == address.rpartition("/")[2]

    assert observers_key(KEY) != KEY


async def test_the_host_is_opened_anew_when_it_breaks_and_observers_come_back() -> None:
    async with open_observers(KEY, [ANY]) as observers:
        with trio.fail_after(SECONDS_MAX):
            broken = observers._station
            assert broken is not None
            broken._nursery.start_soon(_break)
            await trio.sleep(OBSERVERS_RESTART_SECONDS_MIN)
            await until(lambda: observers._station not in (None, broken))
            async with listener(observers) as (_, inbox):
                observers.tell(Topic.CAPACITY.value, b"back")

                assert (await inbox.get()).data == b"back"


async def _break() -> None:
    raise RuntimeError("a bug that an observer reached")


async def test_a_port_that_cannot_be_had_is_told_at_once() -> None:
    async with open_observers(KEY, [ANY]) as first:
        taken = first.addresses()[0].rpartition("/p2p/")[0]
        with pytest.raises(Unusable):
            async with open_libp2p(
                key=KEY, listen=[ANY], network_id=GRID, mdns=False, observers=[taken]
            ):
                pytest.fail("it listens")
    with pytest.raises(BadInput):
        async with open_libp2p(
            key=KEY, listen=[ANY], network_id=GRID, mdns=False, observers=["nonsense"]
        ):
            pytest.fail("it listens")


async def test_of_too_much_the_oldest_is_dropped_and_counted() -> None:
    async with open_observers(KEY, [ANY]) as observers:
        observers.tell(Topic.CAPACITY.value, b"nobody listens")
        assert len(observers._news) == 0
        with trio.fail_after(SECONDS_MAX):
            async with listener(observers):
                for number in range(OBSERVED_MESSAGES_MAX + 3):
                    observers.tell(Topic.CAPACITY.value, b"%d" % number)

                assert observers.dropped_count == 3
                assert observers._news[0] == (Topic.CAPACITY.value, b"3")
                station = observers._station
                assert station is not None
                [observer] = station.observers.values()
                for _ in range(OBSERVER_PACKETS_MAX + 2):
                    observer.put(b"x")
                assert observer.dropped_count == 2


async def test_who_does_not_subscribe_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libp2p_observers, "OBSERVER_SUBSCRIBE_SECONDS_MAX", 0.2)
    async with open_observers(KEY, [ANY]) as observers, open_host(KEY, [ANY]) as mute:
        with trio.fail_after(SECONDS_MAX):
            await mute.connect(info_from_p2p_addr(Multiaddr(observers.addresses()[0])))
            assert mute.get_connected_peers()
            await until(lambda: not mute.get_connected_peers())


@pytest.mark.parametrize("said", [b"\xff" * 100, encode_varint_prefixed(b"\xff" * 50)])
async def test_who_breaks_the_protocol_is_hung_up_on(said: bytes) -> None:
    async with open_observers(KEY, [ANY]) as observers, open_host(KEY, [ANY]) as liar:
        with trio.fail_after(SECONDS_MAX):
            info = info_from_p2p_addr(Multiaddr(observers.addresses()[0]))
            await liar.connect(info)
            stream = await liar.new_stream(info.peer_id, list(MESHSUB_PROTOCOLS))
            await stream.write(said)
            await until(lambda: not liar.get_connected_peers())

            assert listening(observers) == 0


async def test_an_observer_that_left_the_topic_is_told_no_more() -> None:
    async with open_observers(KEY, [ANY]) as observers:
        with trio.fail_after(SECONDS_MAX):
            async with listener(observers) as (pubsub, _):
                station = observers._station
                assert station is not None
                [observer] = station.observers.values()
                await pubsub.unsubscribe(Topic.CAPACITY.value)
                await until(lambda: not observer.is_listening)
            await until(lambda: not station.observers)


async def test_there_are_so_many_observers_at_most() -> None:
    async with open_observers(KEY, [ANY]) as observers:
        station = observers._station
        assert station is not None
        for number in range(OBSERVERS_MAX + 5):
            station._take(number, is_wanted=True)  # type: ignore[arg-type]  # any name does

        assert listening(observers) == OBSERVERS_MAX
