"""Every test of a network runs in both worlds."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import trio

from p2pgrid.model.ids import NetworkId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.memory import MemoryHub
from p2pgrid.net.network import (
    Network,
)
from tests.contracts.network_world import GRID, SECONDS_MAX, World, key


@pytest.fixture(params=["memory", "libp2p"])
def world(request: pytest.FixtureRequest) -> World:
    hub = MemoryHub(latency_seconds=0.001)

    @asynccontextmanager
    async def open_in_memory(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        async with hub.open(key(number), network_id=grid) as network:
            yield network

    @asynccontextmanager
    async def open_on_libp2p(number: int, *, grid: NetworkId = GRID) -> AsyncGenerator[Network]:
        listen = ["/ip4/127.0.0.1/tcp/0"]
        async with open_libp2p(
            key=key(number), listen=listen, network_id=grid, mdns=False
        ) as network:
            yield network

    return open_in_memory if request.param == "memory" else open_on_libp2p


@pytest.fixture
async def _in_time() -> AsyncGenerator[None]:
    with trio.fail_after(SECONDS_MAX):
        yield
