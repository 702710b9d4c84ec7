"""Witnesses can be dialled from afar; neighbours are suggested only while there are few."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest
from trio.testing import MockClock

from p2pgrid.explorer.query import NodeView
from p2pgrid.introductions import Introductions
from p2pgrid.limits.explorer import NODE_FRESH_MS
from p2pgrid.limits.node import INTRODUCED_AT_ONCE
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Network
from tests.explorer.grid import announced, facts, node_of
from tests.explorer.peers import clock, open_grid

US, WITNESS = node_of(1), node_of(2)


@dataclass
class Way:
    """A network that notes what it is told."""

    id: NodeId = US
    learnt: dict[NodeId, tuple[str, ...]] = field(default_factory=dict)

    def learn_addresses(self, peer: NodeId, addresses: Sequence[str]) -> None:
        self.learnt[peer] = tuple(addresses)


@dataclass
class Suggestions:
    """What was suggested."""

    wants_more: bool = True
    heard: list[str] = field(default_factory=list)

    def suggest(self, addresses: Sequence[str]) -> None:
        self.heard += addresses


async def test_witnesses_are_learnt_and_neighbours_suggested(autojump_clock: MockClock) -> None:
    async with open_grid(1, 2, 3) as grid:
        for number in (1, 2, 3):
            await grid.publish(number)
        way, suggestions = Way(), Suggestions()
        between = Introductions(
            cast(Network, way), grid.explorers[1], suggestions, (US, WITNESS), Random(1)
        )

        between.introduce()

        assert way.learnt == {WITNESS: facts(2).addresses}
        assert sorted(suggestions.heard) == sorted(facts(2).addresses + facts(3).addresses)


async def test_nobody_is_suggested_to_who_wants_no_more(autojump_clock: MockClock) -> None:
    async with open_grid(1, 2) as grid:
        await grid.publish(2)
        way, suggestions = Way(), Suggestions(wants_more=False)
        between = Introductions(
            cast(Network, way), grid.explorers[1], suggestions, (WITNESS,), Random(1)
        )

        between.introduce()

        assert way.learnt == {WITNESS: facts(2).addresses}
        assert suggestions.heard == []


async def test_rows_are_made_of_few_nodes_however_many_there_are(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_grid(1) as grid:
        explorer = grid.explorers[1]
        for number in range(2, 302):
            explorer.view.accept(announced(number, time_ms=clock()), clock())
        made: list[NodeId] = []
        look = explorer.node

        def noting(node: NodeId) -> NodeView | None:
            made.append(node)
            return look(node)

        monkeypatch.setattr(explorer, "node", noting)
        suggestions = Suggestions()

        Introductions(cast(Network, Way()), explorer, suggestions, (), Random(1)).introduce()

        assert len(suggestions.heard) == len(made) == INTRODUCED_AT_ONCE
        assert explorer.view.columns.bring(1), "columns of the whole grid were made"


async def test_those_who_are_down_are_not_suggested(autojump_clock: MockClock) -> None:
    async with open_grid(1) as grid:
        explorer, now_ms = grid.explorers[1], clock()
        explorer.view.accept(announced(2, time_ms=now_ms - NODE_FRESH_MS - 1), now_ms)
        explorer.view.accept(announced(3, time_ms=now_ms), now_ms)
        suggestions = Suggestions()

        Introductions(cast(Network, Way()), explorer, suggestions, (), Random(1)).introduce()

        assert suggestions.heard == list(facts(3).addresses)
