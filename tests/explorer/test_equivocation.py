"""Whoever says different things to different peers is found out, and everybody hears of it."""

import trio
import trio.testing

from p2pgrid.crdt.register import Contradiction
from p2pgrid.explorer.query import NodeFilter
from p2pgrid.explorer.records import ExplorerRecord, envelope_of
from p2pgrid.limits.explorer import NODE_LEASE_MS
from p2pgrid.net.network import Topic, Verdict
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.signed import Signed
from tests.explorer.grid import NOW, announced, node_of
from tests.explorer.peers import GOSSIP_SECONDS, open_grid


def lies(number: int) -> tuple[Signed[ExplorerRecord], Signed[ExplorerRecord]]:
    """Two announcements with one version, in the order of a proof."""
    one, other = sorted((announced(number, version=v) for v in "12"), key=lambda it: it.id)
    return one, other


async def test_whoever_says_two_things_is_known_everywhere(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each half of the grid heard one of them; who hears both tells the others."""
    async with open_grid(1, 2, 3) as grid:
        one, other = lies(66)
        for explorer in grid.explorers.values():
            assert explorer.judge(Topic.CAPACITY, node_of(66), one.envelope) is Verdict.ACCEPT
        grid.explorers[1].judge(Topic.CAPACITY, node_of(66), other.envelope)
        await trio.sleep(GOSSIP_SECONDS)
        for explorer in grid.explorers.values():
            (proof,) = explorer.view.contradictions.values()
            assert {proof.first, proof.second} == {one.envelope, other.envelope}


async def test_nodes_of_a_liar_are_marked_until_its_register_is_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1) as grid:
        explorer = grid.explorers[1]
        one, other = lies(66)
        explorer.judge(Topic.CAPACITY, node_of(66), one.envelope)
        explorer.judge(Topic.CAPACITY, node_of(66), announced(67).envelope)
        (shown,) = explorer.nodes(NodeFilter(node=node_of(66).hex()))
        assert not shown.is_contradicted
        explorer.judge(Topic.CAPACITY, node_of(66), other.envelope)
        for is_contradicted, number in ((True, 66), (False, 67)):
            (found,) = explorer.nodes(NodeFilter(is_contradicted=is_contradicted))
            assert (found.node, found.is_contradicted) == (node_of(number), is_contradicted)
        assert len(explorer.nodes()) == 2
        assert explorer.status().liars == (node_of(66),)
        explorer.view.expire(TimestampMs(NOW + NODE_LEASE_MS + 10**6))
        explorer.judge(Topic.CAPACITY, node_of(66), one.envelope)
        assert explorer.nodes(NodeFilter(is_contradicted=True)) == ()
        assert len(explorer.nodes()) == 1


async def test_proofs_are_judged_like_records(autojump_clock: trio.testing.MockClock) -> None:
    async with open_grid(1) as grid:
        explorer = grid.explorers[1]
        one, other = lies(66)
        explorer.judge(Topic.CAPACITY, node_of(66), one.envelope)
        forged = bytearray(other.envelope)
        forged[-1] ^= 1
        good = Contradiction(one.envelope, other.envelope)
        unknown = Contradiction(*(signed.envelope for signed in lies(67)))
        newer = announced(66, sequence=1).envelope
        for proof, expected in (
            (Contradiction(one.envelope, bytes(forged)), Verdict.REJECT),
            (Contradiction(other.envelope, one.envelope), Verdict.REJECT),
            (Contradiction(one.envelope, one.envelope), Verdict.REJECT),
            (Contradiction(one.envelope, newer), Verdict.REJECT),
            (Contradiction(one.envelope, announced(67).envelope), Verdict.REJECT),
            (Contradiction(one.envelope, b"garbage"), Verdict.REJECT),
            (unknown, Verdict.IGNORE),
            (good, Verdict.ACCEPT),
            (good, Verdict.IGNORE),
        ):
            verdict = explorer.judge(Topic.CAPACITY, node_of(3), envelope_of(proof))
            assert verdict is expected
        assert len(explorer.view.contradictions) == 1


async def test_a_proof_survives_a_restart_as_long_as_its_register(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore()
    async with open_grid() as grid:
        explorer = await grid.join(1, store)
        for signed in lies(66):
            explorer.judge(Topic.CAPACITY, node_of(66), signed.envelope)
    store.write([(Table.CONTRADICTION.key(bytes(49)), b"rotten")])
    async with open_grid() as grid:
        again = await grid.join(1, store)
        assert len(again.view.contradictions) == 1
        assert len(list(store.scan(Table.CONTRADICTION.value))) == 1
        await trio.sleep(NODE_LEASE_MS / SECOND_MS + 120)
        assert list(store.scan(Table.CONTRADICTION.value)) == []
