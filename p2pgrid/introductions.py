"""Tells the network layer where nodes are, as they announce it themselves.

Votes need a way to every witness, not only to neighbours; and a node with few
neighbours finds more among those it has heard of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Protocol

import trio

from p2pgrid.explorer.query import NodeView, Presence
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.limits.node import INTRODUCED_AT_ONCE, INTRODUCTION_LOOKS_MAX, INTRODUCTION_SECONDS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Network


class Suggestible(Protocol):
    """What looks for neighbours."""

    @property
    def wants_more(self) -> bool:
        """Whether fresh addresses would be of use."""
        ...

    def suggest(self, addresses: Sequence[str]) -> None:
        """Consider these addresses."""
        ...


@dataclass(frozen=True, slots=True)
class Introductions:
    """Between the explorer, which knows addresses, and the network, which dials them."""

    network: Network
    explorer: ExplorerService
    discovery: Suggestible
    witnesses: tuple[NodeId, ...]
    random: Random

    async def run(self) -> None:
        """Introduce again and again, until cancelled."""
        while True:
            self.introduce()
            await trio.sleep(INTRODUCTION_SECONDS)

    def introduce(self) -> None:
        """Pass on where the witnesses are; and a few other nodes, any of them, when wanted."""
        for witness in self.witnesses:
            known = self.explorer.node(witness)
            if known is not None and witness != self.network.id:
                self.network.learn_addresses(witness, known.addresses)
        if not self.discovery.wants_more:
            return
        for one in islice(self._others_that_are_up(), INTRODUCED_AT_ONCE):
            self.discovery.suggest(one.addresses)

    def _others_that_are_up(self) -> Iterator[NodeView]:
        """In random order. Rows are made of those looked at only, not of the whole grid."""
        known = self.explorer.view.announced()
        for node in self.random.sample(known, min(INTRODUCTION_LOOKS_MAX, len(known))):
            row = None if node == self.network.id else self.explorer.node(node)
            if row is not None and row.status is Presence.UP:
                yield row
