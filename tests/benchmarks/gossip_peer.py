"""One of the processes that gossip: `python -m tests.benchmarks.gossip_peer NUMBER`.

It says where it listens, is told whom to dial and then when to publish what, and says what it
heard and what that took, a JSON line each. `js/gossip_peer.js` is the same on js-libp2p.
"""

import json
import struct
import sys
import time
from random import Random
from typing import Any

import trio
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import GossipMessage, Network, Topic, Verdict

GRID = NetworkId(bytes(16))
HEAD = struct.Struct(">BIQ")
"""Number of the sender, sequence, time of sending in ns of the machine's monotonic clock."""
SIGNATURE_BYTES = 64


def key_of(number: int) -> SigningKey:
    """The key of a peer; everybody knows everybody's."""
    return SigningKey((number + 1).to_bytes(32, "big"))


class Hearing:
    """What came, each message once, and how long it was under way."""

    def __init__(self) -> None:
        self.delays_ms: dict[tuple[int, int], float] = {}

    def judge(self, _forwarder: NodeId, data: bytes) -> Verdict:
        """Check the signature, as the program does with every record that it passes on."""
        try:
            key_of(data[SIGNATURE_BYTES]).verify_key.verify(data)
        except BadSignatureError:
            return Verdict.REJECT
        return Verdict.ACCEPT

    async def listen(self, inbox: trio.MemoryReceiveChannel[GossipMessage]) -> None:
        async for message in inbox:
            number, sequence, sent_ns = HEAD.unpack_from(message.data, SIGNATURE_BYTES)
            delay_ms = (time.monotonic_ns() - sent_ns) / 1e6
            self.delays_ms.setdefault((number, sequence), delay_ms)


async def gossip(number: int) -> None:
    """The whole life of the process."""
    hearing = Hearing()
    async with open_libp2p(
        key=key_of(number), listen=["/ip4/127.0.0.1/tcp/0"], network_id=GRID, mdns=False
    ) as network:
        inbox = network.subscribe(Topic.CAPACITY, hearing.judge)
        say({"address": network.addresses()[0]})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hearing.listen, inbox)
            for address in (await told())["dial"]:
                await network.connect(address)
            say({"linked": len(network.peers())})
            plan = await told()
            cpu_seconds = await _publish(network, number, plan)
            delays = hearing.delays_ms.items()
            counted = [delay for (_, turn), delay in delays if turn >= plan["warm_up"]]
            say({"cpu_seconds": cpu_seconds, "delays_ms": counted})
            await trio.to_thread.run_sync(sys.stdin.readline)
            nursery.cancel_scope.cancel()


async def _publish(network: Network, number: int, plan: dict[str, int]) -> float:
    """Publish in turns; the CPU seconds from the end of the warm-up until all is heard."""
    random, key, cpu_started = Random(number), key_of(number), 0.0
    filler_bytes = plan["message_bytes"] - SIGNATURE_BYTES - HEAD.size
    for turn in range(plan["warm_up"] + plan["messages"]):
        due_ns = plan["begin_ns"] + turn * plan["interval_ns"]
        await _until(due_ns)
        if turn == plan["warm_up"]:
            cpu_started = time.process_time()
        await _until(due_ns + plan["interval_ns"] * number // plan["peers"])
        head = HEAD.pack(number, turn, time.monotonic_ns())
        await network.publish(Topic.CAPACITY, key.sign(head + random.randbytes(filler_bytes)))
    turns = plan["warm_up"] + plan["messages"]
    await _until(plan["begin_ns"] + turns * plan["interval_ns"] + plan["drain_ns"])
    return time.process_time() - cpu_started


async def _until(due_ns: int) -> None:
    await trio.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)


async def told() -> dict[str, Any]:
    """The next line of the process that started us."""
    found: dict[str, Any] = json.loads(await trio.to_thread.run_sync(sys.stdin.readline))
    return found


def say(what: object) -> None:
    """One JSON line to the process that started us."""
    print(json.dumps(what), flush=True)  # noqa: T201 - that is the protocol


if __name__ == "__main__":
    trio.run(gossip, int(sys.argv[1]))
