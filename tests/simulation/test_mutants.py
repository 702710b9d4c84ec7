"""With a rule taken away, a scenario finds it; with the rule, the same seed passes."""

import pytest

from p2pgrid.errors import BadSignature
from p2pgrid.explorer import records, view
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.limits.explorer import NODE_LEASE_MS
from p2pgrid.net.network import Topic
from p2pgrid.net.spreading import Effect, Router
from p2pgrid.simulation.node import Node
from p2pgrid.simulation.result import Result
from p2pgrid.simulation.scenarios import simulate
from p2pgrid.simulation.world import World
from p2pgrid.wire.signed import NetworkId, Signed

FORGED = "a forged or outdated record is held"
EARLY = "a record is held before its time"


def flood() -> Result:
    return simulate("flood", nodes=40, seed=1, minutes=1.0, changes_per_hour=4.0)


def rules(result: Result) -> set[str]:
    return {one.rule for one in result.violations}


def test_without_verification_forged_records_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rules(flood()) == set()
    verify = records.verify_record

    def believe(data: bytes, network: NetworkId) -> Signed[ExplorerRecord] | None:
        try:
            return verify(data, network)
        except BadSignature:
            return records.reopen_record(data, network)

    monkeypatch.setattr(records, "verify_record", believe)

    assert FORGED in rules(flood())


def test_without_the_lease_outdated_records_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rules(flood()) == set()
    monkeypatch.setattr(view, "lease_ms_of", lambda _kind: 1000 * NODE_LEASE_MS)

    assert FORGED in rules(flood())


def test_without_the_bound_on_time_records_are_held_before_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong_clocks() -> Result:
        return simulate("wrong-clocks", nodes=40, seed=1, minutes=5.0, changes_per_hour=4.0)

    assert rules(wrong_clocks()) == set()
    monkeypatch.setattr(view, "RECORD_AHEAD_MS_MAX", 1000 * NODE_LEASE_MS)

    assert EARLY in rules(wrong_clocks())


class _ToListeners(Router):
    """Pushes its own records only to those who chose it, as it does with those of others."""

    def publish(self, topic: str, data: bytes, now: float) -> list[Effect]:
        listeners = set(self.listeners())
        return [one for one in super().publish(topic, data, now) if one.peer in listeners]


class WithoutFloodPublish(World):
    """Routers that tell only their listeners of their own records."""

    def router_of(self, node: Node) -> Router:
        return _ToListeners(node.random, [Topic.CAPACITY])


def slowest(grid: type[World]) -> float:
    """Seconds until the last node had a record, of several seeds."""
    results = [
        simulate("silent-third", nodes=60, seed=seed, minutes=5.0, changes_per_hour=4.0, grid=grid)
        for seed in (1, 3, 4, 5)
    ]
    return max(result.reach_seconds[2] for result in results)


def test_without_flood_publish_silent_listeners_swallow_records() -> None:
    assert slowest(World) < 5.0 < slowest(WithoutFloodPublish)
