"""Reads the gossip of one peer as fast as it may cost us CPU, and others their turn."""

import time
from collections.abc import Callable
from typing import Protocol

import trio

from p2pgrid.limits.spreading import GOSSIP_READ_MS_PER_MIB, GOSSIP_SLICE_SECONDS
from p2pgrid.net.spread_messages import SpreadMessage, SpreadReader, slices_of
from p2pgrid.units import MIB


class Receiving(Protocol):
    """A stream of bytes."""

    async def receive_some(self) -> bytes:
        """Some bytes; b"" at the end. Raises BrokenResourceError. Always a checkpoint."""
        ...


async def read_gossip(
    stream: Receiving,
    receive: Callable[[SpreadMessage], None],
    charge: Callable[[float], float],
) -> None:
    """Give what comes to `receive`, until the stream ends.

    Args:
        stream: of one peer.
        receive: does all that a message leads to.
        charge: counts milliseconds of CPU; the seconds to wait before there may be more.

    Raises:
        BrokenProtocol: it is not our gossip.
        trio.BrokenResourceError: the stream broke.
    """
    reader = SpreadReader()
    while data := await stream.receive_some():
        started = time.thread_time()
        for part in slices_of(reader.feed(data)):
            receive(part)
            seconds = time.thread_time() - started
            if seconds > GOSSIP_SLICE_SECONDS:
                await trio.sleep(charge(1000 * seconds))
                started = time.thread_time()
        cost_ms = len(data) / MIB * GOSSIP_READ_MS_PER_MIB
        pause = charge(cost_ms + 1000 * (time.thread_time() - started))
        if pause:
            await trio.sleep(pause)
