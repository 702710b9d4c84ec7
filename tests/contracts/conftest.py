"""Every test of a network runs in both worlds."""

from collections.abc import AsyncGenerator

import pytest
import trio

from tests.contracts.network_world import SECONDS_MAX, World, world_of


@pytest.fixture(params=["memory", "libp2p"])
def world(request: pytest.FixtureRequest) -> World:
    return world_of(request.param)


@pytest.fixture
async def _in_time() -> AsyncGenerator[None]:
    with trio.fail_after(SECONDS_MAX):
        yield
