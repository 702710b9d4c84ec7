"""Every path of the REST interface, and what it answers; pure: time and randomness are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from urllib.parse import unquote

from p2pgrid.errors import BadInput, NotFound
from p2pgrid.gridproxy.answers import Answer, error_answer
from p2pgrid.gridproxy.farms import FarmLists
from p2pgrid.gridproxy.ledger_lists import LedgerLists
from p2pgrid.gridproxy.node_documents import (
    NodeFacts,
    gpu_documents,
    nested_document,
    statistics_document,
    status_document,
)
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.parameters import Value, read_query, require_known
from p2pgrid.gridproxy.stats import stats

PATHS = (
    "/nodes", "/nodes/{id}", "/nodes/{id}/status", "/nodes/{id}/statistics", "/nodes/{id}/gpu",
    "/gateways", "/gateways/{id}", "/gateways/{id}/status", "/farms", "/public_ips", "/contracts",
    "/contracts/{id}", "/contracts/{id}/bills", "/twins", "/stats", "/health", "/version", "/ping",
)  # fmt: skip

_OF_LEDGER = frozenset({"contracts", "twins", "stats"})
_ALONE = {"balance": "prices here know no discount for what an account holds"}

_OfNode = Callable[[NodeFacts], object]

_NODE_PARTS: Mapping[str, _OfNode] = {
    "": nested_document,
    "status": lambda facts: status_document(facts.view),
    "statistics": lambda facts: statistics_document(facts.view),
    "gpu": gpu_documents,
}
_GATEWAY_PARTS = {name: _NODE_PARTS[name] for name in ("", "status")}


@dataclass(frozen=True, slots=True)
class Grid:
    """What there is to answer from at one moment."""

    nodes: NodeLists
    ledger: LedgerLists
    peers: int
    """To whom this node is connected."""
    version: str
    """Of the program."""


def needs_ledger(path: str) -> bool:
    """Whether contracts and twins should be fresh for this."""
    return _parts(path)[0] in _OF_LEDGER


def needs_gpus(query: str) -> bool:
    """Whether somebody is looking for GPUs by what they are."""
    return "gpu_" in unquote(query)


def answer(grid: Grid, path: str, query: str, random: Random) -> Answer:
    """Answer a GET.

    Args:
        grid: what there is.
        path: of the request, as it was sent.
        query: what follows the question mark.
        random: for lists in random order.
    """
    try:
        return _answer(grid, _parts(path), read_query(query), random)
    except BadInput as error:
        return error_answer(400, str(error))
    except NotFound as error:
        return error_answer(404, str(error))


def _answer(
    grid: Grid, parts: tuple[str, ...], fields: Mapping[str, Value], random: Random
) -> Answer:
    match parts:
        case ("nodes",):
            return grid.nodes.page(fields, random, gateways=False)
        case ("gateways",):
            return grid.nodes.page(fields, random, gateways=True)
        case ("farms",):
            return FarmLists(grid.nodes).page(fields, random)
        case ("public_ips",):
            return FarmLists(grid.nodes).public_ips(fields, random)
        case ("contracts",):
            return grid.ledger.contract_page(fields, random)
        case ("twins",):
            return grid.ledger.twin_page(fields, random)
        case ("stats",):
            contracts, twins = len(grid.ledger.contracts), len(grid.ledger.twins)
            return stats(grid.nodes, fields, contracts=contracts, twins=twins)
        case _:
            require_known(fields, (), _ALONE)
            return _plain(grid, parts)


def _plain(grid: Grid, parts: tuple[str, ...]) -> Answer:
    """What takes no query."""
    match parts:
        case ("nodes", wanted, *part) if "/".join(part) in _NODE_PARTS:
            facts = grid.nodes.one(wanted, gateways=False)
            return Answer(_NODE_PARTS["/".join(part)](facts))
        case ("gateways", wanted, *part) if "/".join(part) in _GATEWAY_PARTS:
            facts = grid.nodes.one(wanted, gateways=True)
            return Answer(_GATEWAY_PARTS["/".join(part)](facts))
        case ("contracts", wanted):
            return grid.ledger.one_contract(wanted)
        case ("contracts", wanted, "bills"):
            return grid.ledger.bills(wanted)
        case ("health",):
            return _health(grid)
        case ("version",):
            return Answer({"version": grid.version})
        case ("ping",):
            return Answer({"ping": "pong"})
        case ("",):
            return Answer("p2pgrid answers " + " ".join(PATHS))
        case _:
            raise NotFound("there is no such path here; / lists them all")


def _health(grid: Grid) -> Answer:
    """Our database is in the process, messages go by our connections, and nobody is polled."""
    connection = "ok" if grid.peers else "no peer is connected"
    return Answer(
        {
            "total_state_ok": grid.peers > 0,
            "db_conn": "ok",
            "rmb_conn": connection,
            "indexers": {},
        }
    )


def _parts(path: str) -> tuple[str, ...]:
    """The names in a path; one empty name for the root."""
    return tuple(unquote(path).strip("/").split("/"))
