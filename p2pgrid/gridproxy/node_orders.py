"""What nodes are sorted by; ties by their ids."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from p2pgrid.explorer.selection import Ints, Key
from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.numbers import order_of
from p2pgrid.gridproxy.paging import Sorts

_RESOURCES = {"cru": "millicores", "mru": "memory_bytes", "sru": "ssd_bytes", "hru": "hdd_bytes"}


def _alike(nodes: NodeRows) -> Ints:
    """What does not differ between nodes here."""
    return np.zeros(nodes.rows.nodes.length, np.int64)


def _alphabetical(column: str) -> Callable[[NodeRows], Ints]:
    """Places in alphabetical order; first those who say none."""

    def ranks(nodes: NodeRows) -> Ints:
        places = nodes.rows.place(column)
        texts = sorted(nodes.rows.columns.places)
        rank_of = np.zeros(max((number for _, number in texts), default=0) + 2, np.int64)
        for rank, (_, number) in enumerate(texts):
            rank_of[number] = rank + 1  # NOWHERE, which is -1, is the last cell, and stays 0
        return rank_of[places]

    return ranks


def _total(resource: str) -> Callable[[NodeRows], Ints]:
    return lambda nodes: nodes.rows.ints(f"total_{resource}")


def _used(resource: str) -> Callable[[NodeRows], Ints]:
    return lambda nodes: nodes.used(resource)


_ORDERS: Mapping[str, Callable[[NodeRows], NDArray[np.generic]]] = {
    "farm_id": lambda nodes: nodes.farm_numbers(),
    "country": _alphabetical("country"),
    "city": _alphabetical("city"),
    "uptime": lambda nodes: np.maximum(0, nodes.rows.now_ms - nodes.rows.ints("boot_ms")),
    "updated_at": lambda nodes: -nodes.rows.age_ms(),
    **{f"total_{short}": _total(name) for short, name in _RESOURCES.items()},
    **{f"used_{short}": _used(name) for short, name in _RESOURCES.items()},
    "free_cru": lambda nodes: nodes.rows.free("millicores"),
    "status": lambda nodes: nodes.rows.presence(),
    "num_gpu": lambda nodes: nodes.rows.ints("total_gpus"),
    "price_usd": lambda nodes: nodes.price_usd(),
    "dedicated_farm": _alike,
    "rent_contract_id": _alike,
    "rented": _alike,
    "rentable": _alike,
    "extra_fee": _alike,
}
_BY_ID = ("node_id", "twin_id")

NODE_SORTS = Sorts(
    (*_BY_ID, *_ORDERS), {"created": "nobody knows when a node came to the grid for the first time"}
)


def node_order(nodes: NodeRows, sort_by: str) -> tuple[Key, ...]:
    """What rows are compared by."""
    ids = tuple(column.__getitem__ for column in order_of(nodes.rows.nodes["node"]))
    if sort_by in ("", *_BY_ID):
        return ids
    return (_ORDERS[sort_by](nodes).__getitem__, *ids)
