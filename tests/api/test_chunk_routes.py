"""What a node keeps of images can be seen, read again and given up."""

from pathlib import Path

import pytest

from p2pgrid.errors import BadInput
from tests.api.grid import ApiGrid


async def test_what_an_image_needs_stays_when_everything_loose_goes(grid: ApiGrid) -> None:
    tree = grid.node.services.data / "tree"
    _write(tree)
    await grid.node.result("/flists", {"source": f"dir:{tree}"})

    before = await grid.node.get("/chunks")
    assert before["usage"]["chunk_count"] == 1
    assert (before["loose_count"], before["excess_bytes"]) == (0, 0)
    verified = await grid.node.result("/chunks/verify", {})
    assert verified["is_sound"]
    assert (verified["chunk_count"], verified["flist_count"]) == (1, 1)
    made = await grid.node.result("/chunks/gc", {"all": True})
    assert made == {"evicted_bytes": 0, "freed_bytes": 0}
    assert await grid.node.get("/chunks") == before


async def test_a_light_peer_has_no_chunks_to_look_after(grid: ApiGrid) -> None:
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.get("/chunks")


def _write(tree: Path) -> None:
    tree.mkdir()
    (tree / "hello").write_text("hello")
