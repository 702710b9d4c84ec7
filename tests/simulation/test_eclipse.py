"""Attackers with nine of ten addresses are not all that a node sees, because prefixes count."""

import pytest

from p2pgrid.simulation.eclipse import Attacker, Victim, kinds_of_nodes
from p2pgrid.simulation.result import Result
from p2pgrid.simulation.scenarios import simulate

ALONE = "a node has nobody but attackers as neighbours"


def eclipse() -> Result:
    return simulate("eclipse", nodes=100, seed=1, minutes=20.0, changes_per_hour=6.0)


def rules(result: Result) -> set[str]:
    return {one.rule for one in result.violations}


def test_without_distinct_prefixes_attackers_are_all_we_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert rules(eclipse()) == set()
    monkeypatch.setattr("p2pgrid.net.candidates.prefix_of", lambda _address: "anywhere")
    monkeypatch.setattr("p2pgrid.simulation.eclipse.prefix_of", lambda _address: "anywhere")
    result = eclipse()

    assert ALONE in rules(result)
    assert result.records_lost > 0


def test_attackers_are_nine_of_ten() -> None:
    kinds = kinds_of_nodes(200)

    assert kinds.count(Attacker) == 180
    assert kinds.count(Victim) == 5
    assert kinds_of_nodes(8).count(Attacker) == 1
