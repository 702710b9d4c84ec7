"""Pages of nodes are parts of one list, whatever is known; one node is found by number or id."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.view import View
from p2pgrid.gridproxy.node_orders import NODE_SORTS
from p2pgrid.gridproxy.numbers import number_of
from p2pgrid.limits.explorer import NODE_LEASE_MS
from p2pgrid.model.ids import NodeId
from p2pgrid.model.node import NodeAnnouncement
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed
from tests.explorer.grid import NOW, announced, node_of
from tests.explorer.test_selection import records as some_records
from tests.gridproxy.world import GATEWAY, NODES, World, world

queries = st.sampled_from(
    (
        {}, {"free_mru": 1}, {"status": "up"}, {"country_contains": "e"}, {"has_gpu": "true"},
        {"farm_name_contains": "farm"}, {"price_max": 60}, {"ipv6": "true", "total_cru": 1},
    )
)  # fmt: skip


@settings(max_examples=100)
@given(
    st.lists(some_records, max_size=20),
    queries,
    st.sampled_from(("", *NODE_SORTS.known)),
    st.sampled_from(("ASC", "DESC")),
    st.integers(1, 4),
)
def test_pages_together_are_the_whole_list(
    said: list[Signed[ExplorerRecord]],
    query: dict[str, object],
    sort_by: str,
    order: str,
    size: int,
) -> None:
    view = View()
    for one in said:
        view.accept(one, NOW)
    grid = World(view, now_ms=TimestampMs(NOW + NODE_LEASE_MS // 2))
    if sort_by:
        query = {**query, "sort_by": sort_by, "sort_order": order}

    whole = grid.rows("/nodes", **query)
    found: list[object] = []
    for page in range(1, len(whole) // size + 2):
        told = grid.ask("/nodes", **query, size=size, page=page, ret_count="true")
        found += told.document
        assert told.headers == {
            "count": str(len(whole)), "size": str(size), "pages": str(-(-len(whole) // size)),
        }  # fmt: skip

    assert found == whole
    assert {row["id"] for row in whole} <= {
        node_of(number).hex()
        for number in range(10)
        if grid.view.node(node_of(number), now_ms=grid.now_ms)
    }


def test_all_that_is_known_is_listed_and_in_order_of_numbers() -> None:
    listed = [row["nodeId"] for row in world().rows("/nodes")]
    assert listed == sorted(number_of(node_of(number)) for number in NODES)


def test_a_node_is_found_by_its_number_and_by_its_id() -> None:
    grid = world()
    for wanted in (number_of(node_of(2)), node_of(2).hex(), node_of(2).hex().upper()):
        assert grid.ask(f"/nodes/{wanted}").document["id"] == node_of(2).hex()
        assert grid.ask(f"/nodes/{wanted}/status").document == {"status": "up"}
    assert grid.ask(f"/nodes/{node_of(8).hex()}/status").document == {"status": "down"}
    for nothing in (1, node_of(9).hex(), "f" * 64):
        told = grid.ask(f"/nodes/{nothing}")
        assert (told.status, told.document) == (404, {"error": "there is no such node"})
    for nonsense in ("x", "-1", node_of(2).hex()[:12] + "zz", "1.0", "%00"):
        assert "the id of a node" in grid.refusal(f"/nodes/{nonsense}")


def test_a_number_of_two_nodes_is_refused_and_leads_to_neither() -> None:
    """Somebody may make a key with another's number; who asks must not get his node."""
    grid = world()
    victim = node_of(2)
    thief = NodeId(victim[:8] + bytes(24))
    held = announced(9)
    assert isinstance(held.record, NodeAnnouncement)
    record: ExplorerRecord = replace(held.record, node=thief)
    assert grid.view.accept(replace(held, record=record), NOW).refusal is None

    number = number_of(victim)
    assert "stands for several nodes" in grid.refusal(f"/nodes/{number}")
    for identity in (victim, thief):
        assert grid.ask(f"/nodes/{identity.hex()}").document["id"] == identity.hex()
    assert len(grid.rows("/nodes", node_id=number)) == 2
    assert len(grid.rows("/nodes", node_id=thief.hex())) == 1


def test_gateways_are_nodes_that_say_so() -> None:
    grid = world()
    assert [row["id"] for row in grid.rows("/gateways")] == [node_of(GATEWAY).hex()]
    assert grid.rows("/gateways", country="Egypt") == []
    assert grid.ask(f"/gateways/{number_of(node_of(GATEWAY))}").document["status"] == "up"
    assert grid.ask(f"/gateways/{node_of(GATEWAY).hex()}/status").document == {"status": "up"}
    told = grid.ask(f"/gateways/{number_of(node_of(1))}")
    assert (told.status, told.document) == (404, {"error": "there is no such gateway"})


def test_a_random_order_is_another_order_of_the_same() -> None:
    grid = world()
    plain, shuffled = grid.rows("/nodes"), grid.rows("/nodes", randomize="true")
    assert plain != shuffled
    assert sorted(plain, key=str) == sorted(shuffled, key=str)
    assert len(grid.rows("/nodes", randomize="true", size=3)) == 3
