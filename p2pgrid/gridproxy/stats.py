"""What there is on the grid in all."""

from collections.abc import Mapping

import numpy as np

from p2pgrid.explorer.columns import NOWHERE
from p2pgrid.gridproxy.answers import Answer
from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.node_filters import MILLI, NODE_FILTERS
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.parameters import Value, require_known
from p2pgrid.limits.gridproxy import COUNTRIES_TOLD_MAX
from p2pgrid.model.node import Feature


def stats(lists: NodeLists, fields: Mapping[str, Value], *, contracts: int, twins: int) -> Answer:
    """Sums over the nodes of a status, and of all farms, contracts and twins. Raises BadInput."""
    require_known(fields, ("status",), {})
    nodes = lists.rows()
    counted = nodes.rows.alive()
    if "status" in fields:
        counted &= NODE_FILTERS["status"](nodes, fields["status"])

    def total(name: str) -> int:
        # Numbers are others' word: together they may be more than 64 bits hold.
        numbers = nodes.rows.ints(name)[counted]
        return (int(np.sum(numbers >> 32)) << 32) + int(np.sum(numbers & 0xFFFF_FFFF))

    farms = nodes.known_farms()
    countries, numbers = _countries(lists, nodes, np.flatnonzero(counted))
    is_public = nodes.rows.has_public_address()
    return Answer(
        {
            "nodes": int(np.count_nonzero(counted)),
            "farms": int(np.count_nonzero(farms)),
            "countries": numbers,
            "totalCru": total("total_millicores") // MILLI,
            "totalSru": total("total_ssd_bytes"),
            "totalMru": total("total_memory_bytes"),
            "totalHru": total("total_hdd_bytes"),
            "publicIps": int(np.sum(nodes.farms.ints("ranges")[farms])),
            "accessNodes": int(np.count_nonzero(counted & is_public)),
            "gateways": int(np.count_nonzero(counted & nodes.offers(Feature.GATEWAY))),
            "twins": twins,
            "contracts": contracts,
            "nodesDistribution": countries,
            "gpus": total("total_gpus"),
            "dedicatedNodes": 0,
            "workloads_number": total("reservations"),
        }
    )


def _countries(
    lists: NodeLists, nodes: NodeRows, counted: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> tuple[dict[str, int], int]:
    """Nodes in each country, as one of them writes it; and how many countries there are."""
    places = nodes.rows.place("country")[counted]
    counted, places = counted[places != NOWHERE], places[places != NOWHERE]
    _, firsts, counts = np.unique(places, return_index=True, return_counts=True)
    largest = np.argsort(-counts, kind="stable")[:COUNTRIES_TOLD_MAX]
    told = {}
    for place in map(int, largest):
        node = lists.view.node(nodes.rows.node(counted[firsts[place]]), now_ms=lists.now_ms)
        if node is not None and node.location is not None:
            told[node.location.country] = int(counts[place])
    return told, len(counts)
