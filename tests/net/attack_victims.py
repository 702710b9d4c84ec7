"""Those who are attacked: a stock libp2p host, and a node of ours. Each runs in its own process."""

import json
import os
import resource
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

import trio
from libp2p import new_host
from libp2p.abc import INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb.rpc_pb2 import Message
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid import clock
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import BulkStream, Method, Topic, Verdict
from p2pgrid.store.memory import MemoryStore

GRID = NetworkId(b"attacked grid...")
ECHO = TProtocol("/t/echo/1")
RAISING = TProtocol("/t/raising/1")
IGNORING = TProtocol("/t/ignoring/1")
WHO = TProtocol("/t/who/1")
TOPIC = Topic.CAPACITY.value
POISON = b"poison"
REPORT_BYTES = 4096
TOIL_SECONDS = 0.01
_REPORT_SECONDS = 0.05
_LISTEN = "/ip4/127.0.0.1/tcp/0"


echoes: list[int] = []
"""One for each stream that was worked on."""


async def echo(stream: INetStream) -> None:
    echoes.append(1)
    await stream.write(await stream.read(100))
    await stream.close()


async def raising(stream: INetStream) -> None:
    raise RuntimeError("a bug in a handler")


async def ignoring(stream: INetStream) -> None:
    await trio.sleep_forever()


async def who(stream: INetStream) -> None:
    await stream.write(str(stream.muxed_conn.peer_id).encode())
    await stream.close()


HANDLERS = {ECHO: echo, RAISING: raising, IGNORING: ignoring, WHO: who}


def stock_router() -> GossipSub:
    return GossipSub(
        protocols=[TProtocol("/meshsub/1.1.0")], degree=6, degree_low=4, degree_high=12
    )


async def stock_victim(report: int) -> None:
    """All defaults, as the documentation shows it."""
    host: Any = new_host(key_pair=create_new_key_pair(b"v" * 32))
    for protocol, handler in HANDLERS.items():
        host.set_stream_handler(protocol, handler)
    router = stock_router()
    pubsub = Pubsub(host, router)
    async with (
        host.run(listen_addrs=[Multiaddr(_LISTEN)]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        pubsub.set_topic_validator(TOPIC, _stock_validator, False)
        await pubsub.subscribe(TOPIC)
        address = f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}"
        await _report_for_ever(report, host, address)


def _stock_validator(forwarder: ID, message: Message) -> bool:
    if message.data == POISON:
        raise RuntimeError("a bug in a validator")
    return True


async def our_victim(report: int) -> None:
    """A node as `open_libp2p` makes it, with the handlers of the stock one besides."""
    key = SigningKey(b"v" * 32)
    async with open_libp2p(
        key=key, listen=[_LISTEN], network_id=GRID, mdns=False, observers=[_LISTEN]
    ) as network:
        host: Any = network._host  # type: ignore[attr-defined]  # to see how it fares inside
        for protocol, handler in HANDLERS.items():
            host.set_stream_handler(protocol, handler)
        network.serve(Method.LEDGER_STATUS, _our_echo)
        network.serve(Method.RESERVATION_LOGS, _our_echo)
        network.serve(Method.LEDGER_SUBMIT, _our_raising)
        network.serve(Method.LEDGER_HISTORY, _our_toil)
        network.serve(Method.LEDGER_EVIDENCE, _our_sleep)
        network.serve_bulk(_our_bulk)
        explorer = ExplorerService(network, MemoryStore(), GRID, clock.now_ms, random=Random(1))
        inbox = network.subscribe(Topic.LEDGER, _our_validator)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_publish_for_ever, network.publish)
            nursery.start_soon(_tell_for_ever, network._observers.tell)  # type: ignore[attr-defined]  # as above
            nursery.start_soon(_drain, inbox)
            nursery.start_soon(explorer.run)
            address = network.addresses()[0]
            await _report_for_ever(report, host, address, partial(_inside, network, explorer))


def _inside(network: Any, explorer: ExplorerService) -> dict[str, Any]:
    """What only a node of ours has."""
    gossip, observers = network._gossip, network._observers
    return {
        "observers_address": observers.addresses()[0],
        "observers": health(observers._station._host),
        "known": len(explorer.nodes()),
        "shunned": len(network._peers._standing._shunned_until),
        "wanted": gossip._driver._router.wanted_count,
        "outbox_bytes": gossip._outboxes.bytes_held,
    }


async def _our_echo(peer: NodeId, body: bytes) -> bytes:
    return body


async def _our_raising(peer: NodeId, body: bytes) -> bytes:
    raise RuntimeError("a bug in a handler")


async def _our_toil(peer: NodeId, body: bytes) -> bytes:
    """As much work as a question about a large grid."""
    until = time.thread_time() + TOIL_SECONDS
    while time.thread_time() < until:
        pass
    return body


async def _our_sleep(peer: NodeId, body: bytes) -> bytes:
    await trio.sleep(20)
    return b""


async def _our_bulk(peer: NodeId, stream: BulkStream) -> None:
    while await stream.receive():
        pass


def _our_validator(forwarder: NodeId, data: bytes) -> Verdict:
    if data == POISON:
        raise RuntimeError("a bug in a validator")
    return Verdict.ACCEPT


async def _publish_for_ever(publish: Any) -> None:
    """So that there is something to send to a peer that does not read."""
    while True:
        await publish(Topic.LEDGER, os.urandom(10_000))
        await trio.sleep(0.02)


async def _tell_for_ever(tell: Callable[[str, bytes], None]) -> None:
    """The same for observers, without anything that nodes of the grid would judge."""
    while True:
        tell(TOPIC, os.urandom(10_000))
        await trio.sleep(0.02)


async def _drain(inbox: trio.MemoryReceiveChannel[Any]) -> None:
    async for _ in inbox:
        pass


async def _report_for_ever(
    report: int, host: Any, address: str, inside: Callable[[], dict[str, Any]] = dict
) -> None:
    """Leave a line about our health where others can look at it."""
    while True:
        line = json.dumps({"address": address, **inside(), **health(host)}).encode()
        os.pwrite(report, line.ljust(REPORT_BYTES), 0)
        await trio.sleep(_REPORT_SECONDS)


def health(host: Any) -> Mapping[str, int]:
    """Figures that an attack would raise."""
    swarm = host.get_network()
    connections = [one.muxed_conn for one in swarm.get_connections()]
    buffers = [getattr(one, "stream_buffers", {}) for one in connections]  # mplex has none
    return {
        "connections": len(connections),
        "echoes": len(echoes),
        "slots": swarm._inbound_limiter.borrowed_tokens,
        "streams": sum(len(one.streams) for one in connections),
        "buffered": sum(len(buffer) for each in buffers for buffer in each.values()),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "tasks": trio.lowlevel.current_statistics().tasks_living,
    }
