"""A canary: what stands next to where images are unpacked must not change."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.flist.service import FlistService
from tests.flist.peers import NoPeers


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory to work in whose surroundings are compared afterwards."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "passwd").write_text("unchanged")
    work = tmp_path / "work"
    work.mkdir()

    yield work

    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside", "work"]
    assert [path.name for path in (tmp_path / "outside").iterdir()] == ["passwd"]
    assert (tmp_path / "outside" / "passwd").read_text() == "unchanged"


@pytest.fixture
def chunks() -> MemoryChunkStore:
    return MemoryChunkStore()


@pytest.fixture
async def service(chunks: MemoryChunkStore, canary: Path) -> FlistService:
    service = FlistService(chunks, NoPeers(), canary / "images")
    await service.recover()
    return service
