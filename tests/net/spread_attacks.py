"""Attacks on our gossip protocol, by members of the grid on streams of stock libp2p.

A victim that hangs up defends itself: what an attacker suffers then is no concern.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import cycle
from typing import Any

import trio
from libp2p.custom_types import TProtocol

from p2pgrid.limits.net import FAULTS_BURST
from p2pgrid.limits.spreading import (
    GOSSIP_FRAME_BYTES_MAX,
    GOSSIP_IDS_PER_MESSAGE_MAX,
    GOSSIP_TOPICS_PER_PEER_MAX,
)
from p2pgrid.net.network import SPREADING_PROTOCOL, Topic
from p2pgrid.net.spread_messages import (
    ITEM_ID_BYTES,
    Announce,
    Graft,
    Item,
    Prune,
    Pull,
    Push,
    SpreadMessage,
    SpreadReader,
    Topics,
    item_id,
    spread_bytes,
)
from p2pgrid.wire.frames import frame
from tests.net.attack_victims import POISON
from tests.net.attacks import attacker

_PROTOCOL = TProtocol(SPREADING_PROTOCOL)
SPREADERS_AT_ONCE = 3
_FLOOD_SECONDS = 2
_TRICKLE_SECONDS = 3
_ALL_TOPICS = Topics(tuple(topic.value for topic in Topic))
Attack = Callable[[str], Awaitable[object]]


async def _by_several(attack: Attack, address: str, seconds: float) -> None:
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(SPREADERS_AT_ONCE):
                nursery.start_soon(_shielded, attack, address)


async def _shielded(attack: Attack, address: str) -> None:
    with suppress(Exception):  # libp2p raises anything once it is hung up on
        await attack(address)


async def _say(address: str, packets: Iterator[bytes]) -> None:
    """Write all of it on one stream, as fast as it is taken."""
    async with attacker(address) as (host, victim):
        stream = await host.new_stream(victim, [_PROTOCOL])
        for packet in packets:
            await stream.write(packet)


# --- attacks --------------------------------------------------------------------------------------


async def spread_garbage(address: str) -> None:
    """Frames that are none, too long, or of no message; a stream for each until we are refused."""
    for said in (
        b"\xff" * 5000,
        (GOSSIP_FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(5000),
        frame(os.urandom(3000)),
        frame(b""),
        spread_bytes(Graft())[:-1] + b"\xff",
    ):
        with suppress(Exception):
            await _garbage_of_one(address, said)


async def _garbage_of_one(address: str, said: bytes) -> None:
    async with attacker(address) as (host, victim):
        for _ in range(6):
            stream = await host.new_stream(victim, [_PROTOCOL])
            await stream.write(said)
            await trio.sleep(0.02)


async def spread_junk(address: str) -> None:
    """Records that nobody signed, a thousand in each message, and one on which a judge raises."""

    def packets() -> Iterator[bytes]:
        yield spread_bytes(Push((Item(Topic.LEDGER, POISON),)))
        for _ in range(20 * FAULTS_BURST):
            items = tuple(Item(Topic.CAPACITY, os.urandom(50)) for _ in range(1000))
            yield spread_bytes(Push(items))

    await _by_several(lambda one: _say(one, packets()), address, _FLOOD_SECONDS)


async def spread_chatter(address: str) -> None:
    """Change what we want to hear and whom we want to hear it from, without end."""
    topics = Topics(tuple(str(n).rjust(60, "t") for n in range(GOSSIP_TOPICS_PER_PEER_MAX)))
    messages: Sequence[SpreadMessage] = (Graft(), topics, Prune(), _ALL_TOPICS, Pull(()))
    packet = b"".join(map(spread_bytes, messages)) * 20
    await _by_several(partial(_say, packets=cycle([packet])), address, _FLOOD_SECONDS)


async def endless_ids(address: str) -> None:
    """Announce what there is not, and pull what never was."""

    def packets() -> Iterator[bytes]:
        while True:
            yield spread_bytes(Announce(_made_up()))
            yield spread_bytes(Pull(_made_up()))

    await _by_several(lambda one: _say(one, packets()), address, _FLOOD_SECONDS)


def _made_up() -> tuple[bytes, ...]:
    return tuple(os.urandom(ITEM_ID_BYTES) for _ in range(GOSSIP_IDS_PER_MESSAGE_MAX))


async def spread_unread(address: str) -> None:
    """Hear everything for a second; then pull it again and again, and read no more."""
    await _by_several(_pull_unread, address, _TRICKLE_SECONDS)


async def _pull_unread(address: str) -> None:
    heard: list[bytes] = []
    until = trio.current_time() + 1

    async def hear(stream: Any) -> None:
        reader = SpreadReader()
        while trio.current_time() < until:
            for message in reader.feed(await stream.read(65536)):
                heard.extend(map(item_id, message.items) if isinstance(message, Push) else ())
        await trio.sleep_forever()

    async with attacker(address) as (host, victim):
        host.set_stream_handler(_PROTOCOL, hear)
        stream = await host.new_stream(victim, [_PROTOCOL])
        await stream.write(spread_bytes(_ALL_TOPICS) + spread_bytes(Graft()))
        await trio.sleep(1)
        muxed = host.get_network().get_connections(victim)[0].muxed_conn
        await muxed.streams_lock.acquire()  # nothing is read from the socket any more
        pull = spread_bytes(Pull(tuple(heard[:GOSSIP_IDS_PER_MESSAGE_MAX])))
        while True:
            await stream.write(pull)


async def spread_trickle(address: str) -> None:
    """All of a long message but its end, which comes a byte a second; and streams without end."""
    await _by_several(_trickle, address, _TRICKLE_SECONDS)


async def _trickle(address: str) -> None:
    async with attacker(address) as (host, victim):
        streams = [await host.new_stream(victim, [_PROTOCOL]) for _ in range(40)]
        head = GOSSIP_FRAME_BYTES_MAX.to_bytes(4, "big")
        beginning = head + bytes(GOSSIP_FRAME_BYTES_MAX - 1000)
        for said in (beginning, b"\x00", b"\x00", b"\x00"):
            for stream in streams:
                with suppress(Exception):  # most are refused
                    await stream.write(said)
            await trio.sleep(1)


SPREADERS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        spread_garbage,
        spread_junk,
        spread_chatter,
        endless_ids,
        spread_unread,
        spread_trickle,
    )
}
