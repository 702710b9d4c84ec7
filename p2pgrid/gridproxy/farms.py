"""Farms, and the address ranges that they have."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

import numpy as np

from p2pgrid.explorer.query import FarmView
from p2pgrid.explorer.selection import Bools, Ints, Key
from p2pgrid.gridproxy.answers import Answer, Json
from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.node_filters import NODE_FILTERS
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.numbers import number_of, order_of
from p2pgrid.gridproxy.paging import PAGING_FIELDS, Sorts, read_paging
from p2pgrid.gridproxy.parameters import Value, require_known
from p2pgrid.model.address import format_account, parse_account
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.ids import ID_BYTES, FarmId

FarmFilterBy = Callable[[NodeRows, Value], Bools]

PRICING_POLICY = 1
"""A grid has one price list."""

_CERTIFICATIONS = ("NotCertified", "Silver", "Gold")


def _named(nodes: NodeRows, value: Value) -> Bools:
    return nodes.farms_named(value.named())


def _title(nodes: NodeRows, value: Value) -> Bools:
    return nodes.farms_titled(value.text().casefold().__eq__)


def _title_contains(nodes: NodeRows, value: Value) -> Bools:
    part = value.text().casefold()
    return nodes.farms_titled(lambda title: part in title)


def _ranges(nodes: NodeRows, value: Value) -> Bools:
    found: Bools = nodes.farms.ints("ranges") >= value.whole()
    return found


def _paid_to(nodes: NodeRows, value: Value) -> Bools:
    account = parse_account(value.text())
    return _said(nodes, lambda record: record.payout == account)


def _policy(nodes: NodeRows, value: Value) -> Bools:
    return nodes.known_farms() & (value.whole() == PRICING_POLICY)


def _certification(nodes: NodeRows, value: Value) -> Bools:
    return nodes.known_farms() & (value.choice(_CERTIFICATIONS) == "NotCertified")


def _dedicated(nodes: NodeRows, value: Value) -> Bools:
    return nodes.known_farms() & (not value.flag())


FARM_FILTERS: Mapping[str, FarmFilterBy] = {
    "farm_id": _named,
    "twin_id": _named,
    "name": _title,
    "name_contains": _title_contains,
    "free_ips": _ranges,
    "total_ips": _ranges,
    "stellar_address": _paid_to,
    "pricing_policy_id": _policy,
    "certification_type": _certification,
    "dedicated": _dedicated,
}
"""What a farm itself is asked for."""

NODE_FIELDS: Mapping[str, str] = {
    "node_free_mru": "free_mru",
    "node_free_hru": "free_hru",
    "node_free_sru": "free_sru",
    "node_total_cru": "total_cru",
    "node_status": "status",
    "node_rented_by": "rented_by",
    "node_available_for": "available_for",
    "node_has_gpu": "has_gpu",
    "node_has_ipv6": "has_ipv6",
    "node_features": "features",
    "country": "country",
}
"""What one of its nodes is asked for, by the filter of nodes that says the same."""

_NODE_CERTIFIED = "node_certified"

FARM_REFUSED: Mapping[str, str] = {
    "region": "nodes say in which country and city they stand, not in which region",
    "balance": "prices here know no discount for what an account holds",
}

FARM_SORTS = Sorts(("farm_id", "twin_id", "name", "public_ips", "dedicated", "pricing_policy_id"))
IP_FILTERS = ("farm_ids", "free", "ip", "gateway")
IP_SORTS = Sorts(("farm_id",))


@dataclass(frozen=True, slots=True)
class FarmLists:
    """All farms of a view at one time."""

    lists: NodeLists

    def page(self, fields: Mapping[str, Value], random: Random) -> Answer:
        """Some of the farms that match. Raises BadInput."""
        known = (*PAGING_FIELDS, *FARM_FILTERS, *NODE_FIELDS, _NODE_CERTIFIED)
        require_known(fields, known, FARM_REFUSED)
        paging = read_paging(fields, FARM_SORTS)
        nodes = self.lists.rows()
        found = nodes.known_farms()
        for name, value in fields.items():
            if name in FARM_FILTERS:
                found &= FARM_FILTERS[name](nodes, value)
        if any(name in NODE_FIELDS or name == _NODE_CERTIFIED for name in fields):
            found &= _with_such_a_node(nodes, fields)
        rows = np.flatnonzero(found)
        page = paging.cut(rows, _order(nodes, paging.sort_by), random)
        farms = (self._farm(nodes, int(row)) for row in page)
        documents = [_farm_document(farm) for farm in farms if farm is not None]
        return Answer(documents, headers=paging.headers(len(rows)))

    def public_ips(self, fields: Mapping[str, Value], random: Random) -> Answer:
        """Some of the address ranges of farms. Raises BadInput."""
        require_known(fields, (*PAGING_FIELDS, *IP_FILTERS), {})
        paging = read_paging(fields, IP_SORTS)
        nodes = self.lists.rows()
        farms, places = _all_ranges(nodes, _farms_asked(nodes, fields))
        found = np.ones(len(farms), np.bool_)
        if "free" in fields:  # nobody takes one: none is ever in use
            found &= fields["free"].flag()
        if "gateway" in fields:  # ranges are said without one
            found &= fields["gateway"].text() == ""
        if "ip" in fields:
            found &= _ranges_written(nodes, farms, fields["ip"].text())
        rows = np.flatnonzero(found)
        words = order_of(nodes.farms["farm"])
        order: list[Key] = [column[farms].__getitem__ for column in words]
        page = paging.cut(rows, [*order, places.__getitem__], random)
        documents = [_ip_document(nodes, int(farms[row]), int(places[row])) for row in page]
        return Answer(documents, headers=paging.headers(len(rows)))

    def _farm(self, nodes: NodeRows, row: int) -> FarmView | None:
        farm = FarmId(bytes(nodes.farms["farm"][row]).ljust(ID_BYTES, b"\0"))
        return self.lists.view.farm(farm, now_ms=self.lists.now_ms)


def _with_such_a_node(nodes: NodeRows, fields: Mapping[str, Value]) -> Bools:
    """Which farms have a node that all of these hold for."""
    such = nodes.rows.alive() & nodes.belongs()
    for name, value in fields.items():
        if name in NODE_FIELDS:
            such &= NODE_FILTERS[NODE_FIELDS[name]](nodes, value)
        elif name == _NODE_CERTIFIED:
            such &= not value.flag()
    found = np.zeros(nodes.farms.length, np.bool_)
    found[nodes.rows.ints("farm")[such]] = True
    return found


def _said(nodes: NodeRows, is_such: Callable[[FarmRecord], bool]) -> Bools:
    """Which farms say such a thing."""
    found = np.zeros(nodes.farms.length, np.bool_)
    for row in map(int, np.flatnonzero(nodes.known_farms())):
        record = nodes.rows.columns.farm_record(row)
        found[row] = record is not None and is_such(record)
    return found


def _order(nodes: NodeRows, sort_by: str) -> tuple[Key, ...]:
    ids = tuple(column.__getitem__ for column in order_of(nodes.farms["farm"]))
    if sort_by == "name":
        return (_title_ranks(nodes).__getitem__, *ids)
    if sort_by == "public_ips":
        return (nodes.farms.ints("ranges").__getitem__, *ids)
    if sort_by in ("dedicated", "pricing_policy_id"):
        return (np.zeros(nodes.farms.length, np.int64).__getitem__, *ids)
    return ids


def _title_ranks(nodes: NodeRows) -> Ints:
    titles = nodes.rows.columns.titles
    rank_of = {title: rank for rank, title in enumerate(sorted(set(titles.values())))}
    ranks = np.zeros(nodes.farms.length, np.int64)
    for row, title in titles.items():
        ranks[row] = rank_of[title]
    return ranks


def _farm_document(farm: FarmView) -> dict[str, Json]:
    number = number_of(farm.farm)
    return {
        "name": farm.title,
        "farmId": number,
        "twinId": number,
        "pricingPolicyId": PRICING_POLICY,
        "certificationType": "NotCertified",
        "stellarAddress": format_account(farm.payout),
        "dedicated": False,
        "publicIps": [
            _range_document(farm.farm, place, text) for place, text in enumerate(farm.public_ranges)
        ],
    }


def _range_document(farm: bytes, place: int, text: str) -> dict[str, Json]:
    return {
        "id": f"{farm.hex()}-{place}",
        "ip": text,
        "gateway": "",
        "contract_id": 0,
        "farm_id": number_of(farm),
    }


def _farms_asked(nodes: NodeRows, fields: Mapping[str, Value]) -> Bools:
    known = nodes.known_farms()
    if "farm_ids" not in fields:
        return known
    return known & nodes.farms_named(*fields["farm_ids"].all_named())


def _all_ranges(nodes: NodeRows, farms: Bools) -> tuple[Ints, Ints]:
    """Of each range of some farms the farm's row, and its place in the farm's list."""
    counts = np.where(farms, nodes.farms.ints("ranges"), 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    return rows, np.arange(len(rows)) - starts


def _ranges_written(nodes: NodeRows, farms: Ints, text: str) -> Bools:
    """Which of the ranges of `_all_ranges` are written so."""
    found = np.zeros(len(farms), np.bool_)
    first = 0
    for row in map(int, np.unique(farms)):
        for one in _texts(nodes, row):
            found[first] = one == text
            first += 1
    return found


def _texts(nodes: NodeRows, row: int) -> tuple[str, ...]:
    record = nodes.rows.columns.farm_record(row)
    return () if record is None else record.public_ranges


def _ip_document(nodes: NodeRows, row: int, place: int) -> dict[str, Json]:
    farm = bytes(nodes.farms["farm"][row]).ljust(ID_BYTES, b"\0")
    return _range_document(farm, place, _texts(nodes, row)[place])
