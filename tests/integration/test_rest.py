"""A dashboard reads a live grid by REST, as a node serves it where its settings say so."""

import tomllib

import httpx
import pytest

from p2pgrid.gridproxy.numbers import number_of
from tests.integration.conftest import LiveGrid

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_dashboard_sees_nodes_farms_and_contracts(grid: LiveGrid) -> None:
    settings = tomllib.loads((grid.nodes[0].data / "node.toml").read_text())
    where = f"http://{settings['explorer_http']}"
    ids = {node.node_id for node in grid.nodes}
    with httpx.Client(base_url=where, trust_env=False) as client:
        query = "status=up&features=container&size=2&ret_count=true&sort_by=free_cru"
        told = client.get(f"/nodes?{query}")
        assert (told.headers["count"], told.headers["pages"]) == ("3", "2")
        nodes = client.get("/nodes").json()
        assert {node["id"] for node in nodes} == ids
        assert {node["farmName"] for node in nodes} == {"Farm 1", "Farm 2", "Farm 3"}
        assert [farm["name"] for farm in client.get("/farms?name=farm%202").json()] == ["Farm 2"]
        contracts = client.get("/contracts?state=Deleted").json()
        rented = {number_of(bytes.fromhex(node.node_id)) for node in grid.nodes[1:]}
        assert rented <= {one["details"]["nodeId"] for one in contracts}
        consumer = number_of(bytes.fromhex(grid.processes.consumer.node_id))
        assert {one["twin_id"] for one in contracts} == {consumer}
        assert client.get("/stats").json()["nodes"] == 3
        assert client.get("/health").json()["total_state_ok"] is True
        assert client.get("/nodes?nonsense=1").status_code == 400
