"""What is passed on, and what is not: the view decides, and how a record came."""

from p2pgrid.explorer.announce import Stamp, update_of
from p2pgrid.explorer.hearing import Hearing
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import (
    PULLED_REMEMBERED_MAX,
    PULLED_REMEMBERED_MS,
    RECORD_BURST,
)
from p2pgrid.net.network import Verdict
from p2pgrid.simulation.node import Node
from p2pgrid.simulation.world import NETWORK, Setting, World
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import Signed, sign

WORLD = World(Setting(nodes=8, seed=1), lambda _: Node)
NOW = TimestampMs(WORLD.true_ms())


def record(sequence: int = 0, author: int = 0) -> Signed[ExplorerRecord]:
    node = WORLD.nodes[author]
    return sign(update_of(node.id, node.load, Stamp(1, sequence, NOW)), node.key, NETWORK)


def hearing() -> Hearing:
    view = View()
    return Hearing(view, lambda signed, now_ms: view.accept(signed, now_ms).refusal is None)


def test_news_is_passed_on_once() -> None:
    ears = hearing()

    assert ears.gossiped(record(), NOW) is Verdict.ACCEPT
    assert ears.gossiped(record(), NOW) is Verdict.IGNORE


def test_what_a_pull_brought_first_is_still_passed_on_once() -> None:
    ears = hearing()

    assert ears.pulled(record(), NOW)
    assert ears.gossiped(record(), NOW) is Verdict.ACCEPT
    assert ears.gossiped(record(), NOW) is Verdict.IGNORE


def test_what_a_pull_brought_long_ago_is_a_replay() -> None:
    ears = hearing()
    ears.pulled(record(), NOW)
    late = TimestampMs(NOW + PULLED_REMEMBERED_MS)

    assert ears.gossiped(record(), late) is Verdict.IGNORE


def test_a_first_pull_of_everything_is_remembered_within_bounds() -> None:
    ears = hearing()
    for sequence in range(PULLED_REMEMBERED_MAX + 1):
        assert ears.pulled(record(sequence), NOW)

    assert len(ears._pulled_ms) == PULLED_REMEMBERED_MAX


def test_who_speaks_too_often_is_not_passed_on() -> None:
    ears = hearing()
    said = [ears.gossiped(record(sequence), NOW) for sequence in range(RECORD_BURST + 1)]

    assert said == [Verdict.ACCEPT] * RECORD_BURST + [Verdict.IGNORE]
