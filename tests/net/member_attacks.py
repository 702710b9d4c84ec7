"""Attacks by nodes of the grid: they greet as one should, and then misbehave."""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import trio
from libp2p.custom_types import TProtocol

from p2pgrid import clock
from p2pgrid.errors import GridError
from p2pgrid.model.ids import NodeId
from p2pgrid.net.bulk import BulkOffer
from p2pgrid.net.control import Hello, Request, message_bytes
from p2pgrid.net.network import CONTROL_PROTOCOL, Method, Network, Topic
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode
from tests.explorer.grid import announced
from tests.net.attack_victims import GRID
from tests.net.attacks import attacker
from tests.net.probes import our_asker

_DAY_MS = 24 * 3600 * 1000
_FLOOD_SECONDS = 3
_BIG = 900_000
Attack = Callable[[str], Awaitable[object]]


@asynccontextmanager
async def members(address: str, count: int) -> AsyncGenerator[tuple[list[Network], NodeId]]:
    """Nodes that are connected to the victim."""
    async with AsyncExitStack() as stack:
        networks: list[Network] = [
            await stack.enter_async_context(our_asker(os.urandom(32))) for _ in range(count)
        ]
        victims = [await network.connect(address) for network in networks]
        yield networks, victims[0]


async def _request(network: Network, victim: NodeId, method: Method, body: bytes) -> None:
    with suppress(GridError):
        await network.request(victim, method, body)


async def _ask_for_ever(network: Network, victim: NodeId, method: Method, body: bytes) -> None:
    while True:
        await _request(network, victim, method, body)
        await trio.lowlevel.checkpoint()


async def question_flood(address: str) -> None:
    """Ask what costs most, each of four nodes a hundred times at once and again."""
    async with members(address, 4) as (networks, victim):
        with trio.move_on_after(_FLOOD_SECONDS):
            async with trio.open_nursery() as nursery:
                for network in networks * 100:
                    nursery.start_soon(_ask_for_ever, network, victim, Method.LEDGER_HISTORY, b"")


async def big_requests(address: str) -> None:
    """Large requests that take long to answer, as many as the victim takes."""
    async with members(address, 3) as (networks, victim):
        with trio.move_on_after(_FLOOD_SECONDS):
            async with trio.open_nursery() as nursery:
                for network in networks * 60:
                    nursery.start_soon(
                        _request, network, victim, Method.LEDGER_EVIDENCE, bytes(_BIG)
                    )


async def unread_answers(address: str) -> None:
    """Ask for large answers, and read none of them."""
    with trio.move_on_after(_FLOOD_SECONDS):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(_ask_and_not_read, address)


async def _ask_and_not_read(address: str) -> None:
    with suppress(Exception):
        async with attacker(address) as (host, victim):
            stream = await host.new_stream(victim, [TProtocol(CONTROL_PROTOCOL)])
            await stream.write(message_bytes(Hello(GRID, ())))
            await stream.read(1000)
            for number in range(60):
                request = Request(number, Method.RESERVATION_LOGS, bytes(_BIG))
                await stream.write(message_bytes(request))
            await trio.sleep_forever()


async def garbage_requests(address: str) -> None:
    """Questions and reconciliations that are no records, large and small."""
    methods = (Method.RECONCILE_EXPLORER, Method.EXPLORER_QUERY, Method.PEERS)
    async with members(address, 2) as (networks, victim), trio.open_nursery() as nursery:
        for number in range(150):
            body = os.urandom(50_000 if number % 10 == 0 else 50)
            network = networks[number % 2]
            nursery.start_soon(_request, network, victim, methods[number % 3], body)


async def garbage_bulk(address: str) -> None:
    """Wrong tokens, none at all, and a right one with frames that are none."""
    host = address.split("/")[2]
    async with members(address, 1) as ((network,), victim), trio.open_nursery() as nursery:
        offers = [
            decode(BulkOffer, await network.request(victim, Method.BULK_OPEN, b""))
            for _ in range(10)
        ]
        for number in range(100):
            offer = offers[number % len(offers)]
            token = offer.token if number < len(offers) else os.urandom(number % 40)
            said = token + b"\xff" * (number * 1000)
            nursery.start_soon(partial(_say, host, offer.port4, said))


async def _say(host: str, port: int, said: bytes) -> None:
    with suppress(OSError, trio.BrokenResourceError), trio.move_on_after(1):
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(said)
        await stream.receive_some()


async def stale_records(address: str) -> None:
    """Replay what nodes that are long gone once signed, and the same again; then one true word."""
    then = TimestampMs(clock.now_ms() - 2 * _DAY_MS)
    records = [announced(number, time_ms=then, grid=GRID).envelope for number in range(60)]
    fresh = announced(1000, time_ms=clock.now_ms(), grid=GRID).envelope
    await _publish(address, [*records, *records, fresh])


async def equivocation(address: str) -> None:
    """Say two things under one number, of many nodes."""
    now = clock.now_ms()
    records = [
        announced(number, time_ms=now, grid=GRID, version=f"0.{said}.0").envelope
        for number in range(40)
        for said in (1, 2)
    ]
    await _publish(address, records)


async def _publish(address: str, records: list[bytes]) -> None:
    async with members(address, 1) as ((network,), _):
        await trio.sleep(0.3)  # until gossip knows of both
        for record in records:
            await network.publish(Topic.CAPACITY, record)
        await trio.sleep(0.5)


MEMBERS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        question_flood,
        big_requests,
        unread_answers,
        garbage_requests,
        garbage_bulk,
        stale_records,
        equivocation,
    )
}
