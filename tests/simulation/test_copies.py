"""Copies of a view are views of their own."""

from p2pgrid.explorer.view import View
from p2pgrid.simulation.copies import copies_of
from p2pgrid.simulation.node import Node
from p2pgrid.simulation.world import Setting, World


def test_copies_hold_the_same_records_and_change_on_their_own() -> None:
    world = World(Setting(nodes=8, seed=1), lambda _: Node)
    world.start_settled()
    view = world.nodes[0].view

    first, second = copies_of(view, 2)
    identity = next(iter(view.ids))
    assert first.ids.root() == view.ids.root()
    assert first.record(identity) is view.record(identity)

    late = world.true_ms() + 400 * 24 * 3600 * 1000
    assert len(first.expire(late)) == len(view)  # type: ignore[arg-type]  # a time in the future
    assert len(first) == 0
    assert len(second) == len(view) == 16
    assert first.ids.root() == View().ids.root() != second.ids.root()
