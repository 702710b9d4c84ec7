"""The status says what is held, how fresh it is, and with whom it was compared."""

import trio
import trio.testing

from p2pgrid.explorer.status import PeerStatus, status_of
from p2pgrid.explorer.view import View
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.kinds import RecordKind
from tests.explorer.grid import NOW, TOTAL, announced, farm_record, node_of, updated
from tests.explorer.peers import open_grid


def test_what_is_held_is_counted_by_kind() -> None:
    view = View()
    for signed in (announced(1), announced(2), updated(1, TOTAL), farm_record()):
        assert view.accept(signed, NOW).refusal is None
    view.accept(announced(1, version="another"), NOW)

    status = status_of(view, (), pulled_ms={}, heard_ms=None, now_ms=NOW)

    assert status.records == 4
    assert status.by_kind == {
        RecordKind.NODE_ANNOUNCEMENT: 2, RecordKind.CAPACITY_UPDATE: 1, RecordKind.FARM_RECORD: 1,
    }  # fmt: skip
    assert (status.contradictions, status.liars) == (1, (node_of(1),))
    assert status.root == view.ids.root()
    assert status.memory_bytes > 0


def test_only_connected_peers_are_told_of() -> None:
    pulled = {node_of(1): TimestampMs(NOW - 5 * SECOND_MS), node_of(9): NOW}

    view = View()
    view.accept(announced(1), NOW)

    status = status_of(view, (node_of(1), node_of(2)), pulled_ms=pulled, heard_ms=NOW, now_ms=NOW)

    assert status.peers == (
        PeerStatus(node_of(1), 5 * SECOND_MS, is_node=True),
        PeerStatus(node_of(2), None, is_node=False),
    )


def test_a_clock_that_was_set_back_makes_nothing_younger_than_now() -> None:
    later = TimestampMs(NOW + SECOND_MS)

    status = status_of(
        View(), (node_of(1),), pulled_ms={node_of(1): later}, heard_ms=later, now_ms=NOW
    )

    assert (status.heard_age_ms, status.peers[0].reconciled_age_ms) == (0, 0)


async def test_peers_that_reconciled_show_the_same_root(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        await grid.publish(1)
        await trio.sleep(60)
        first, second = (grid.explorers[number].status() for number in (1, 2))

    assert first.root == second.root
    assert first.records == second.records > 0
    assert second.heard_age_ms is not None
    assert [one.peer for one in first.peers] == [node_of(2)]
    assert first.peers[0].reconciled_age_ms is not None


async def test_a_peer_that_left_is_compared_with_anew_when_it_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_grid(1, 2) as grid:
        await trio.sleep(60)
        grid.world.partition([1], [2])
        await trio.sleep(1)
        assert grid.explorers[1].status().peers == ()
        await grid.world.heal()
        await trio.sleep(1)
        (peer,) = grid.explorers[1].status().peers

    assert peer.reconciled_age_ms is not None
    assert peer.reconciled_age_ms <= SECOND_MS
