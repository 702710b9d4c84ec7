"""Sums are those of the nodes that are meant."""

from dataclasses import replace

from p2pgrid.explorer.view import View
from p2pgrid.limits.gridproxy import COUNTRIES_TOLD_MAX
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from tests.explorer.grid import TOTAL, announced
from tests.gridproxy.world import GHENT, NODES, World, view_of, world


def test_all_nodes_are_summed_up() -> None:
    grid = world()
    assert grid.ask("/stats").document == {
        "nodes": len(NODES), "farms": 3, "countries": 3, "totalCru": 56,
        "totalSru": 7 * TOTAL.ssd_bytes, "totalMru": 7 * TOTAL.memory_bytes, "totalHru": 2**30,
        "publicIps": 2, "accessNodes": 2, "gateways": 1, "twins": 13, "contracts": 5,
        "nodesDistribution": {"Egypt": 2, "Belgium": 1, "Atlantis": 1}, "gpus": 2,
        "dedicatedNodes": 0, "workloads_number": 4,
    }  # fmt: skip


def test_only_nodes_of_a_status_are_summed_up() -> None:
    grid = world()
    assert grid.ask("/stats", status="down,standby").document["nodes"] == 3
    assert grid.ask("/stats", status="standby").document["nodesDistribution"] == {}
    assert "status" in grid.refusal("/stats", status="sleepy")
    assert "no 'country'" in grid.refusal("/stats", country="Egypt")


def test_what_others_claim_is_summed_up_exactly() -> None:
    much = Capacity(memory_bytes=INTEGER_MAX)
    grid = World(view_of(announced(number, total=much) for number in (1, 2, 3)))
    assert grid.ask("/stats").document["totalMru"] == 3 * INTEGER_MAX


def test_nobody_is_nothing() -> None:
    told = World(View(), escrows=()).ask("/stats").document
    assert (told["nodes"], told["countries"], told["nodesDistribution"]) == (0, 0, {})


def test_invented_countries_do_not_make_the_answer_long() -> None:
    places = (replace(GHENT, country=f"Country {number}") for number in range(400))
    told = World(
        view_of(announced(number + 1, location=place) for number, place in enumerate(places))
    ).ask("/stats").document  # fmt: skip
    assert (told["countries"], len(told["nodesDistribution"])) == (400, COUNTRIES_TOLD_MAX)
