"""Who publishes images is listed, and can become a stranger again."""

import pytest

from p2pgrid.errors import BadInput, NotFound
from p2pgrid.model.ids import AccountId
from p2pgrid.publishers import know_publishers
from tests.api.grid import ApiGrid
from tests.api.test_flist_routes import convert, tree

__all__ = ["tree"]


async def test_everybody_who_published_is_listed_and_known_ones_first(
    grid: ApiGrid, tree: object
) -> None:
    del tree
    made = grid.node.services.data / "tree"
    await convert(grid, made, name="web:1")
    gone = AccountId(b"\x07" * 32)
    know_publishers(grid.consumer.services.data, [gone])

    first, second = await grid.consumer.get("/publishers")
    assert (first["publisher"], first["is_known"], first["names"]) == (gone.hex(), True, 0)
    assert first["newest_age_ms"] is None
    assert second["publisher"] == grid.node.identity
    assert (second["is_known"], second["is_own"], second["names"]) == (False, False, 1)
    assert second["address"].startswith("tft1")
    (own,) = await grid.node.get("/publishers")
    assert own["is_own"]


async def test_one_is_forgotten_by_his_address_or_number(grid: ApiGrid) -> None:
    one = AccountId(b"\x07" * 32)
    know_publishers(grid.consumer.services.data, [one])
    (row,) = await grid.consumer.get("/publishers")
    gone = await grid.consumer.post("/publishers/forget", {"publisher": row["address"]})
    assert gone == {"publisher": one.hex()}
    with pytest.raises(NotFound, match="not among"):
        await grid.consumer.post("/publishers/forget", {"publisher": one.hex()})
    with pytest.raises(BadInput):
        await grid.consumer.post("/publishers/forget", {"publisher": "somebody"})
