"""Full peers come to the same view: by gossip, by pulls, after a partition and beside liars."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from p2pgrid.crdt.messages import (
    Below,
    Compared,
    Cuts,
    Descend,
    Differs,
    Fetch,
    Leaf,
    Records,
    Request,
)
from p2pgrid.errors import BadSignature, Refused, StoreFailed
from p2pgrid.explorer.announce import Load, NodeFacts
from p2pgrid.explorer.questions import Query, Submit
from p2pgrid.limits.crdt import HINTED_PULL_MS
from p2pgrid.limits.explorer import (
    ANNOUNCE_CHECK_SECONDS,
    ANNOUNCE_INTERVAL_MS,
    NODE_LEASE_MS,
    PULL_PAUSE_SECONDS_MAX,
    PULL_PAUSES_SECONDS,
    RECORD_BURST,
)
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import NetworkId
from p2pgrid.net.network import Method, Topic, Verdict
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.units import SECOND_MS
from p2pgrid.wire.codec import decode, encode
from tests.explorer.grid import (
    NOW,
    announced,
    facts,
    farm_record,
    flist_name,
    key_of,
    node_of,
    updated,
)
from tests.explorer.peers import GOSSIP_SECONDS, clock, open_grid


@dataclass(frozen=True, slots=True)
class OtherEnvelope:
    """An envelope of a kind that only newer programs know."""

    kind: int
    body: bytes
    signature: bytes


async def test_gossip_reaches_everybody(autojump_clock: trio.testing.MockClock) -> None:
    async with open_grid(1, 2, 3) as grid:
        await grid.publish(1)
        for explorer in grid.explorers.values():
            assert [row.node for row in explorer.nodes()] == [node_of(1)]


async def test_a_newcomer_catches_up_with_what_was_said_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        await grid.publish(1)
        newcomer = await grid.join(3)
        await newcomer.pulled.wait()
        assert newcomer.node(node_of(1)) is not None
        await trio.sleep(1)
        assert newcomer.pulls >= 2


async def test_lost_gossip_is_made_up_for_by_a_pull(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2, 3) as grid:
        await trio.sleep(PULL_PAUSE_SECONDS_MAX * 3)
        grid.world.hub.gossip_loss = 1.0
        await grid.publish(1)
        assert not grid.are_equal()
        await trio.sleep(PULL_PAUSE_SECONDS_MAX * 3)
        assert grid.are_equal()
        assert grid.explorers[2].node(node_of(1)) is not None


async def test_views_are_equal_again_after_a_partition_heals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2, 3, 4) as grid:
        grid.world.partition((1, 2), (3, 4))
        for number in (1, 3):
            await grid.publish(number)
        await trio.sleep(3600)
        assert grid.explorers[4].node(node_of(1)) is None
        assert grid.explorers[2].node(node_of(1)) is not None
        await grid.world.heal()
        await trio.sleep(PULL_PAUSE_SECONDS_MAX)
        assert grid.are_equal()
        assert len(grid.explorers[4].nodes()) == 2


async def test_hostile_gossip_is_blamed_only_for_what_is_objectively_wrong(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1) as grid:
        forged = bytearray(announced(2).envelope)
        forged[-1] ^= 1
        unknown_kind = encode(OtherEnvelope(99, b"", bytes(64)))
        for topic, data, expected in (
            (Topic.CAPACITY, b"garbage", Verdict.REJECT),
            (Topic.CAPACITY, bytes(forged), Verdict.REJECT),
            (Topic.CAPACITY, announced(2, grid=NetworkId(bytes(16))).envelope, Verdict.REJECT),
            (Topic.HUB, announced(2).envelope, Verdict.REJECT),
            (Topic.CAPACITY, unknown_kind, Verdict.IGNORE),
            (
                Topic.CAPACITY,
                announced(2, time_ms=NOW - 2 * NODE_LEASE_MS).envelope,
                Verdict.IGNORE,
            ),
            (Topic.CAPACITY, announced(2, time_ms=NOW * 2).envelope, Verdict.IGNORE),
            (Topic.CAPACITY, announced(2, sequence=1).envelope, Verdict.ACCEPT),
            (Topic.CAPACITY, announced(2, sequence=1).envelope, Verdict.IGNORE),
            (Topic.CAPACITY, announced(2, sequence=0).envelope, Verdict.IGNORE),
        ):
            assert grid.explorers[1].judge(topic, node_of(66), data) is expected
        assert len(grid.explorers[1].view) == 1


async def test_our_own_message_may_leave_again(autojump_clock: trio.testing.MockClock) -> None:
    async with open_grid(1) as grid:
        await grid.publish(1)
        envelope = grid.explorers[1].view.record(next(iter(grid.explorers[1].view.ids)))
        assert envelope is not None
        verdict = grid.explorers[1].judge(Topic.CAPACITY, node_of(1), envelope)
        assert verdict is Verdict.ACCEPT


async def test_a_node_that_speaks_too_often_is_not_forwarded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1) as grid:
        verdicts = [
            grid.explorers[1].judge(
                Topic.CAPACITY,
                node_of(2),
                updated(2, Capacity(millicores=sequence), sequence=sequence).envelope,
            )
            for sequence in range(RECORD_BURST + 2)
        ]
        assert verdicts == [Verdict.ACCEPT] * RECORD_BURST + [Verdict.IGNORE] * 2


async def test_the_last_of_what_came_too_fast_is_known_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Long before the next pull from somebody at random."""
    async with open_grid(1, 2) as grid:
        await trio.sleep(sum(PULL_PAUSES_SECONDS))
        for _ in range(20):
            await trio.sleep(PULL_PAUSE_SECONDS_MAX)
            for _ in range(RECORD_BURST + 3):
                await grid.publish(1)
            await trio.sleep(HINTED_PULL_MS / SECOND_MS)
            assert grid.are_equal()


@pytest.mark.parametrize(
    ("lie", "is_fault"),
    [
        (lambda question: b"garbage", True),
        (lambda question: encode(Compared(Differs(7, 0, 1, bytes(7)))), True),
        (lambda question: encode(Cuts(bytes(8), is_last=False)), True),
        (lambda question: _lie_by_the_book(question, b"garbage"), True),
        (lambda question: _lie_by_the_book(question, announced(5, time_ms=1).envelope), False),
        (
            lambda question: _lie_by_the_book(
                question, announced(5, grid=NetworkId(bytes(16))).envelope
            ),
            True,
        ),
    ],
)
async def test_a_peer_that_answers_pulls_with_lies_changes_nothing(
    lie: Callable[[object], bytes], is_fault: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """And is blamed for it, unless it is only late."""
    async with open_grid(1, 2) as grid:
        liar = await grid.world.join(66)

        async def answer(_peer: object, body: bytes) -> bytes:
            await trio.lowlevel.checkpoint()
            return lie(decode(Request, body).question)

        liar.serve(Method.RECONCILE_EXPLORER, answer)
        await grid.publish(1)
        await trio.sleep(PULL_PAUSE_SECONDS_MAX * 10)
        assert grid.are_equal()
        assert len(grid.explorers[1].view) == 1
        assert grid.explorers[1].pulls > 3
        faults = [
            link.faults for link in grid.explorers[1]._network.links() if link.peer == liar.id
        ]
        is_blamed = not faults or faults[0] > 0
        assert is_blamed == is_fault


async def test_peers_that_never_answer_hold_up_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid() as grid:

        async def wait(_peer: object, _body: bytes) -> bytes:
            await trio.sleep_forever()

        *mute, speaker, newcomer = sorted(range(1, 5), key=node_of)  # asked in this order
        for number in mute:
            (await grid.world.join(number)).serve(Method.RECONCILE_EXPLORER, wait)
        await grid.join(speaker)
        await grid.publish(speaker)
        joined = await grid.join(newcomer)
        await trio.sleep(PULL_PAUSES_SECONDS[0] / 2)
        assert joined.node(node_of(speaker)) is not None


async def test_a_change_while_announcing_is_not_missed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class BusyStore(MemoryStore):
        """Has a reservation begin while the announcement is being stored."""

        async def commit(self, changes: Sequence[Change]) -> None:
            await super().commit(changes)
            if machine.now.reservations == 0:
                machine.now = Load(Capacity(millicores=7000), 1)
                grid.explorers[1].recheck()

    async with open_grid(2) as grid, trio.open_nursery() as nursery:
        machine = Machine()
        await grid.join(1, BusyStore())
        nursery.start_soon(grid.explorers[1].announce, key_of(1), machine)
        await trio.sleep(ANNOUNCE_CHECK_SECONDS / 2)
        assert [row.reservations for row in grid.explorers[2].nodes()] == [1]
        nursery.cancel_scope.cancel()


async def test_a_lossy_grid_becomes_one_view(autojump_clock: trio.testing.MockClock) -> None:
    async with open_grid(*range(1, 9)) as grid:
        grid.world.hub.gossip_loss = 0.7
        for number in grid.explorers:
            await grid.publish(number)
        await trio.sleep(PULL_PAUSE_SECONDS_MAX * 10)
        assert grid.are_equal()
        assert len(grid.explorers[1].nodes()) == 8


# --- disk -----------------------------------------------------------------------------------------


async def test_the_view_survives_a_restart(autojump_clock: trio.testing.MockClock) -> None:
    store = MemoryStore()
    async with open_grid(2) as grid:
        explorer = await grid.join(1, store)
        await grid.publish(1)
        await grid.publish(2)
        before = explorer.view.ids.root()
    async with open_grid() as grid:
        again = await grid.join(1, store)
        assert again.view.ids.root() == before
        assert len(again.nodes()) == 2


async def test_two_tasks_that_publish_at_once_use_different_stamps(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(grid.publish, 1)
        assert not grid.explorers[2].view.contradictions
        row = grid.explorers[2].view.nodes(now_ms=clock())
        assert len(row) == 1


class FailingStore(MemoryStore):
    """A disk that is full."""

    async def commit(self, changes: Sequence[Change]) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreFailed("no room")


async def test_what_was_not_stored_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with open_grid(2) as grid:
        await grid.join(1, FailingStore())
        with pytest.raises(StoreFailed):
            await grid.publish(1)
        await trio.sleep(PULL_PAUSE_SECONDS_MAX)
        assert grid.explorers[2].nodes() == ()


async def test_what_is_past_its_lease_leaves_the_disk(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store = MemoryStore()
    async with open_grid() as grid:
        explorer = await grid.join(1, store)
        await explorer.publish(announced(1))
        assert len(list(store.scan(Table.REGISTER.value))) == 1
        await trio.sleep(NODE_LEASE_MS / SECOND_MS + 120)
        assert list(store.scan(Table.REGISTER.value)) == []
        assert len(explorer.view) == 0


# --- announcing and submitting --------------------------------------------------------------------


class Machine:
    """What a node would say of itself."""

    def __init__(self) -> None:
        self.now = Load(Capacity(millicores=8000), 0)
        self.version = "0.1.0"

    def facts(self) -> NodeFacts:
        return facts(1, version=self.version)

    def load(self) -> Load:
        return self.now


async def test_a_node_announces_itself_and_every_change(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid, trio.open_nursery() as nursery:
        machine = Machine()
        nursery.start_soon(grid.explorers[1].announce, key_of(1), machine)
        await trio.sleep(1)
        (row,) = grid.explorers[2].nodes()
        assert (row.free, row.version) == (machine.now.free, "0.1.0")

        machine.now = Load(Capacity(millicores=7000), 1)
        grid.explorers[1].recheck()
        await trio.sleep(GOSSIP_SECONDS)
        (row,) = grid.explorers[2].nodes()
        assert (row.free.millicores, row.reservations) == (7000, 1)

        machine.version = "0.2.0"
        await trio.sleep(10)
        (row,) = grid.explorers[2].nodes()
        assert row.version == "0.2.0"

        await trio.sleep(ANNOUNCE_INTERVAL_MS / SECOND_MS + 10)
        assert grid.explorers[2].nodes()[0].age_ms < 20_000
        nursery.cancel_scope.cancel()


async def test_a_record_handed_in_is_stored_and_spread(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        light = await grid.world.join(66)

        async def submit(envelope: bytes) -> None:
            query = encode(Query(Submit(envelope)))
            await light.request(node_of(1), Method.EXPLORER_QUERY, query)

        await submit(farm_record().envelope)
        await submit(farm_record().envelope)
        await trio.sleep(GOSSIP_SECONDS)
        assert [farm.title for farm in grid.explorers[2].farms()] == ["Acme"]
        with pytest.raises(Refused):
            await submit(farm_record(time_ms=1).envelope)
        forged = bytearray(flist_name(1, "web", None).envelope)
        forged[-1] ^= 1
        with pytest.raises(BadSignature):
            await submit(bytes(forged))


def _lie_by_the_book(question: object, record: bytes) -> bytes:
    """Answer as the protocol wants, with one record that nobody should take."""
    claimed = b"\x07" * 8
    match question:
        case Descend():
            return encode(Below((Leaf(claimed),)))
        case Fetch():
            return encode(Records((record,), 1))
        case _:
            return encode(Compared(Differs(7, 1, 1, bytes(16))))
