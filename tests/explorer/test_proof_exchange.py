"""Whoever comes later hears of liars as well; who sends what proves nothing is blamed."""

import pytest
import trio
import trio.testing

from p2pgrid.crdt.register import Contradiction
from p2pgrid.explorer.query import NodeFilter
from p2pgrid.explorer.questions import Page
from p2pgrid.explorer.records import envelope_of
from p2pgrid.limits.explorer import PROOFS_PAUSE_SECONDS
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Method, RequestHandler, Topic
from p2pgrid.wire.codec import encode
from tests.explorer.grid import announced, node_of
from tests.explorer.peers import open_grid
from tests.explorer.test_equivocation import lies


async def test_a_node_that_comes_later_learns_who_lied(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        for number in (66, 67):
            for signed in lies(number):
                grid.explorers[1].judge(Topic.CAPACITY, node_of(2), signed.envelope)
        await trio.sleep(1)
        late = await grid.join(3)
        await trio.sleep(10)
        assert {row.node for row in late.nodes(NodeFilter(is_contradicted=True))} == {
            node_of(66),
            node_of(67),
        }


async def test_what_was_missed_later_on_is_learnt_some_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        await trio.sleep(60)
        for signed in lies(66):
            grid.explorers[2].judge(Topic.CAPACITY, node_of(1), signed.envelope)
        grid.explorers[1].view.contradictions.drop(
            next(iter(grid.explorers[2].view.contradictions))
        )
        await trio.sleep(1.5 * PROOFS_PAUSE_SECONDS)
        assert len(grid.explorers[1].view.contradictions) == 1


async def test_who_answers_with_what_proves_nothing_is_blamed(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing of it is kept; others are asked instead."""
    async with open_grid(1) as grid:
        one, other = lies(66)
        grid.explorers[1].judge(Topic.CAPACITY, node_of(2), one.envelope)
        forged = Contradiction(one.envelope, other.envelope[:-1] + bytes(1))
        for number in (50, 51):
            liar = await grid.world.join(number)
            liar.serve(Method.EXPLORER_QUERY, _answering(encode(Page((envelope_of(forged),), 1))))
        await grid.join(2)
        blamed: list[NodeId] = []
        network = grid.world.networks[1]
        monkeypatch.setattr(network, "blame", blamed.append)
        await trio.sleep(5 * PROOFS_PAUSE_SECONDS)
        assert set(blamed) == {node_of(50), node_of(51)}
        assert not grid.explorers[1].view.contradictions


def _answering(answer: bytes) -> RequestHandler:
    async def handle(_peer: NodeId, _body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return answer

    return handle


async def test_a_proof_about_nobody_who_is_here_is_not_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1) as grid:
        proof = Contradiction(*(signed.envelope for signed in lies(66)))
        peer = await grid.world.join(50)
        peer.serve(Method.EXPLORER_QUERY, _answering(encode(Page((envelope_of(proof),), 1))))
        await trio.sleep(3 * PROOFS_PAUSE_SECONDS)
        grid.explorers[1].judge(Topic.CAPACITY, node_of(2), announced(67).envelope)
        assert not grid.explorers[1].view.contradictions
