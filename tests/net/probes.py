"""Those who see how a victim fares: they ask like anybody else. Each runs in its own process."""

import json
import os
from contextlib import suppress
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid.model.ids import NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Method
from tests.net.attack_victims import ECHO, GRID

IDLE_QUESTIONS = 20
QUESTION_SECONDS_MAX = 5.0
_PAUSE_SECONDS = 0.04
_LISTEN = "/ip4/127.0.0.1/tcp/0"


async def stock_probe(address: str) -> bool:
    """Whether a newcomer gets an answer of a stock host."""
    host: Any = new_host(key_pair=create_new_key_pair(os.urandom(32)))
    info = info_from_p2p_addr(Multiaddr(address))
    is_answered = False
    with trio.move_on_after(4):
        async with host.run(listen_addrs=[]):
            with suppress(Exception):
                await host.connect(info)
                stream = await host.new_stream(info.peer_id, [ECHO])
                await stream.write(b"alive?")
                is_answered = await stream.read(6) == b"alive?"
    return is_answered


async def our_probe(stop: int, answers: int, address: str) -> None:
    """Connected before the attack; asks until a byte of `stop`, then a newcomer asks.

    Writes "+" once it is connected and knows how long answers take in quiet, and in the
    end one line with all times in seconds.
    """
    async with our_asker(b"s" * 32) as steady:
        victim = await steady.connect(address)
        idle = [await _ask(steady, victim) for _ in range(IDLE_QUESTIONS)]
        os.write(answers, b"+")
        during: list[float] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask_for_ever, steady, victim, during)
            await trio.to_thread.run_sync(os.read, stop, 1)
            nursery.cancel_scope.cancel()
        async with our_asker(os.urandom(32)) as newcomer:
            newcomer.learn_addresses(victim, [address])
            first = await _ask(newcomer, victim)
        last = await _ask(steady, victim)
        rounded = [round(one, 4) for one in during[-300:]]
        line = {"idle": idle, "during": rounded, "last": last, "newcomer": first}
        os.write(answers, json.dumps(line).encode())


def our_asker(seed: bytes) -> Any:
    return open_libp2p(key=SigningKey(seed), listen=[_LISTEN], network_id=GRID, mdns=False)


async def _ask_for_ever(asker: Any, victim: NodeId, seconds: list[float]) -> None:
    while True:
        seconds.append(await _ask(asker, victim))
        await trio.sleep(_PAUSE_SECONDS)


async def _ask(asker: Any, victim: NodeId) -> float:
    """How long an answer takes; QUESTION_SECONDS_MAX for none or a wrong one."""
    asked_at = trio.current_time()
    with trio.move_on_after(QUESTION_SECONDS_MAX), suppress(Exception):
        if await asker.request(victim, Method.LEDGER_STATUS, b"?") == b"?":
            return round(trio.current_time() - asked_at, 4)
    return QUESTION_SECONDS_MAX
