"""Every scenario holds its rules, at more than one seed, and says so when a rule is broken."""

import pytest

from p2pgrid.errors import BadInput
from p2pgrid.simulation.result import Result
from p2pgrid.simulation.scenarios import SCENARIOS, simulate
from p2pgrid.simulation.world import World

SMALL = {
    "converge": (60, 5.0),
    "churn": (24, 15.0),
    "partition-heal": (40, 20.0),
    "silent-third": (60, 2.0),
    "flood": (40, 1.5),
    "eclipse": (80, 20.0),
    "wrong-clocks": (40, 5.0),
}
"""Nodes and minutes."""


def run(name: str, seed: int) -> Result:
    nodes, minutes = SMALL[name]
    return simulate(name, nodes=nodes, seed=seed, minutes=minutes, changes_per_hour=4.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_holds_its_rules(name: str, seed: int) -> None:
    result = run(name, seed)

    assert result.violations == ()
    assert result.records > 0
    assert result.records_lost == 0


def test_what_changed_is_everywhere_within_two_seconds() -> None:
    result = run("converge", 4)

    p50, p99, worst = result.reach_seconds
    assert result.reached_permille == 1000
    assert 0.02 < p50 <= p99 < 2.0
    assert p99 <= worst
    assert 1.0 <= result.copies < 8.0


def test_the_same_seed_is_the_same_run() -> None:
    first, again, other = run("flood", 5), run("flood", 5), run("flood", 6)

    assert first.digest == again.digest
    assert first.reach_seconds == again.reach_seconds
    assert first.digest != other.digest


def test_roots_are_said_to_be_equal_only_when_they_were_seen_to_be() -> None:
    result = run("flood", 1)

    assert all(share < 1.0 for _, share in result.series)
    assert result.roots_equal_seconds is None
    assert result.attacks_go_on
    assert result.agreement.startswith("never all equal")


def test_attackers_that_do_not_publish_are_no_excuse_for_roots_that_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(World, "agreement", lambda _: 0.9)
    broken, excused = run("converge", 1), run("flood", 1)

    assert [one.rule for one in broken.violations] == ["roots are not equal in the end"]
    assert broken.agreement == "never all equal"
    assert excused.violations == ()


@pytest.mark.parametrize("name", ["flood", "partition-heal", "wrong-clocks"])
def test_a_run_is_told_to_be_further_and_further(name: str) -> None:
    shares: list[float] = []
    nodes, minutes = SMALL[name]

    simulate(name, nodes=nodes, seed=1, minutes=minutes, tell=shares.append)

    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert any(0.8 < share < 1.0 for share in shares)


def test_an_unknown_scenario_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadInput, match="converge"):
        simulate("nothing", nodes=10, seed=1)


def test_too_few_nodes_are_refused() -> None:
    with pytest.raises(BadInput, match="nodes"):
        simulate("converge", nodes=2, seed=1)
