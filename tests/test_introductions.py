"""Witnesses can be dialled from afar; neighbours are suggested only while there are few."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

from trio.testing import MockClock

from p2pgrid.introductions import Introductions
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Network
from tests.explorer.grid import facts, node_of
from tests.explorer.peers import open_grid

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
