"""One grid behind control sockets for each test that asks for it."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tests.api.grid import ApiGrid, open_grid


@pytest.fixture
async def grid(tmp_path: Path) -> AsyncGenerator[ApiGrid, None]:
    async with open_grid(tmp_path) as opened:
        yield opened
