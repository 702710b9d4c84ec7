"""The status of the explorer over the control socket, of a full node and of a light peer."""

from p2pgrid.api.explorer_routes import resident_bytes
from p2pgrid.units import GIB, MIB
from tests.api.grid import ApiGrid


async def test_a_full_node_says_what_it_holds(grid: ApiGrid) -> None:
    status = await grid.node.get("/explorer")

    assert (status["node"], status["role"]) == (grid.node.identity, "node")
    assert status["by_kind"]["node_announcement"] == 1
    assert status["records"] == sum(status["by_kind"].values())
    assert status["root"] == grid.explorer.view.ids.root().hex()
    assert status["contradictions"] == 0
    (peer,) = status["peers"]
    assert (peer["peer"], peer["is_node"]) == (grid.consumer.identity, False)


async def test_a_light_peer_holds_nothing_and_says_whom_it_asks(grid: ApiGrid) -> None:
    status = await grid.consumer.get("/explorer")

    assert (status["role"], status["root"], status["records"]) == ("light peer", None, None)
    assert [one["peer"] for one in status["peers"]] == [grid.node.identity]


def test_memory_is_what_the_process_takes() -> None:
    before = resident_bytes()
    held = bytearray(64 * MIB)
    held[::4096] = b"x" * len(held[::4096])

    assert 48 * MIB < resident_bytes() - before < GIB
