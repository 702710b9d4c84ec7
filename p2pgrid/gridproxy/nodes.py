"""Nodes and gateways: pages of them, and one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

import numpy as np

from p2pgrid.errors import NotFound
from p2pgrid.explorer.selection import Bools, Ints
from p2pgrid.explorer.view import View
from p2pgrid.gridproxy.answers import Answer
from p2pgrid.gridproxy.gpus import GpuTexts
from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.node_documents import NodeFacts, node_document
from p2pgrid.gridproxy.node_filters import NODE_FILTERS, NODE_REFUSED
from p2pgrid.gridproxy.node_orders import NODE_SORTS, node_order
from p2pgrid.gridproxy.numbers import read_named
from p2pgrid.gridproxy.paging import PAGING_FIELDS, read_paging
from p2pgrid.gridproxy.parameters import Value, require_known
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.node import Feature
from p2pgrid.units import TimestampMs


@dataclass(frozen=True, slots=True)
class NodeLists:
    """All nodes of a view at one time."""

    view: View
    pricing: PricingPolicy
    now_ms: TimestampMs
    gpus: GpuTexts = field(default_factory=GpuTexts)
    """Those read for earlier questions."""

    def page(self, fields: Mapping[str, Value], random: Random, *, gateways: bool) -> Answer:
        """Some of the nodes that match. Raises BadInput.

        Args:
            fields: the query.
            random: for a random order.
            gateways: only nodes that serve as gateways.
        """
        require_known(fields, (*PAGING_FIELDS, *NODE_FILTERS), NODE_REFUSED)
        paging = read_paging(fields, NODE_SORTS)
        nodes = self.rows()
        found = self._alive(nodes, gateways=gateways) & matching(nodes, fields)
        rows = np.flatnonzero(found)
        order = () if paging.is_random else node_order(nodes, paging.sort_by)
        page = paging.cut(rows, order, random)
        documents = [node_document(one) for one in self._facts(nodes, page)]
        return Answer(documents, headers=paging.headers(len(rows)))

    def one(self, wanted: str, *, gateways: bool) -> NodeFacts:
        """The node of a number or id. Raises BadInput, NotFound."""
        what = "gateway" if gateways else "node"
        nodes, named = self.rows(), read_named(wanted, f"the id of a {what}")
        row = named.one_of(nodes.rows.nodes["node"], self._alive(nodes, gateways=gateways), what)
        facts = [] if row is None else self._facts(nodes, np.array([row]))
        if not facts:
            raise NotFound(f"there is no such {what}")
        return facts[0]

    def rows(self) -> NodeRows:
        """All of them, alive or not."""
        return NodeRows(self.view.rows(self.now_ms), self.pricing, self.gpus)

    def _alive(self, nodes: NodeRows, *, gateways: bool) -> Bools:
        alive = nodes.rows.alive()
        return alive & nodes.offers(Feature.GATEWAY) if gateways else alive

    def _facts(self, nodes: NodeRows, rows: Ints) -> list[NodeFacts]:
        prices, ranges = nodes.prices_usd_of(rows), nodes.farm_ranges()[rows]
        found = []
        for row, price, count in zip(rows, prices, ranges, strict=True):
            view = self.view.node(nodes.rows.node(row), now_ms=self.now_ms)
            if view is not None:
                heard_ms = TimestampMs(self.now_ms - view.age_ms)
                found.append(NodeFacts(view, float(price), int(count), heard_ms))
        return found


def matching(nodes: NodeRows, fields: Mapping[str, Value]) -> Bools:
    """Which rows the filters of a query want; fields that are no filters count nothing."""
    found = nodes.all()
    for name, value in fields.items():
        if name in NODE_FILTERS:
            found &= NODE_FILTERS[name](nodes, value)
    return found
