"""A peer with news all the time: `python -m tests.benchmarks.explorer_feeder GENESIS ADDRESS`.

It announces NODES nodes that do not exist, then says how much each has free, in turns,
RATE records a second, until its stdin ends. That is once a minute of each, as fast as
a record may follow another: the grid that a full peer hears all of.
"""

import sys
from pathlib import Path

import trio
from nacl.signing import SigningKey

from p2pgrid import clock
from p2pgrid.errors import GridError
from p2pgrid.explorer.announce import NodeFacts, Stamp, announcement_of
from p2pgrid.ledger.genesis_file import read_genesis
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId, NetworkId, NodeId
from p2pgrid.model.node import CapacityUpdate, Feature, Hardware
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Network, Topic, Verdict
from p2pgrid.units import GIB
from p2pgrid.wire.signed import sign

NODES = 3_000
RATE = 50
KEYS = [SigningKey(number.to_bytes(32, "big")) for number in range(1, NODES + 1)]
TOTAL = Capacity(millicores=8000, memory_bytes=32 * GIB, ssd_bytes=500 * GIB)


def announcement(number: int, network: NetworkId) -> bytes:
    """What an imagined node says of itself: an envelope."""
    key = KEYS[number]
    node = NodeId(bytes(key.verify_key))
    facts = NodeFacts(
        node=node,
        farm=FarmId(node),
        total=TOTAL,
        system=Capacity(memory_bytes=4 * GIB),
        addresses=(f"/ip6/2001:db8::{number:x}/tcp/4001",),
        features=(Feature.CONTAINER,),
        hardware=Hardware(
            board="board", cpu_model="cpu", gpus=(), secure_boot=None, virtualized=None
        ),
        boot_ms=clock.now_ms(),
        version="0.1.0",
    )
    return sign(announcement_of(facts, Stamp(1, 0, clock.now_ms())), key, network).envelope


def update(number: int, turn: int, network: NetworkId) -> bytes:
    """What it has free now: an envelope."""
    key = KEYS[number]
    said = CapacityUpdate(
        node=NodeId(bytes(key.verify_key)),
        incarnation=1,
        sequence=turn,
        time_ms=clock.now_ms(),
        free=Capacity(millicores=(turn * 37 + number) % 8000, memory_bytes=GIB),
        reservations=turn,
    )
    return sign(said, key, network).envelope


async def feed(genesis: str, address: str) -> None:
    """Tell them, evenly spaced, for ever; gossip may lose some."""
    grid = read_genesis(Path(genesis)).network
    key = SigningKey(b"feeder".ljust(32, b"."))
    async with open_libp2p(
        key=key, listen=["/ip4/127.0.0.1/tcp/0"], network_id=grid, mdns=False
    ) as network:
        for topic in (Topic.CAPACITY, Topic.HUB):
            network.subscribe(topic, lambda *_: Verdict.IGNORE)
        await network.connect(address)
        await trio.sleep(2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_tell, network, grid)
            await trio.to_thread.run_sync(sys.stdin.read)
            nursery.cancel_scope.cancel()


async def _tell(network: Network, grid: NetworkId) -> None:
    due, turn = trio.current_time(), 0
    while True:
        for number in range(NODES):
            envelope = update(number, turn, grid) if turn else announcement(number, grid)
            try:
                await network.publish(Topic.CAPACITY, envelope)
            except GridError as error:
                sys.stderr.write(f"not told: {error}\n")
            due += 1 / RATE
            await trio.sleep_until(due)
        turn += 1


if __name__ == "__main__":
    trio.run(feed, *sys.argv[1:])
