"""In hundreds of simulated grids nothing is spent twice or lost; every rule taken away shows.

A mutant that survives would mean that the simulation looks at nothing.
"""

from collections.abc import Callable

import pytest

from p2pgrid.ledger.certificate import WitnessSet
from p2pgrid.ledger.rules import Scene
from p2pgrid.ledger.witness import Candidate, Witness
from p2pgrid.model.certificate import Reason, Refusal
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import Operation
from tests.simulation.ledger_grid import Grid, Rules, Violated

SEEDS = {1: 60, 3: 60, 4: 140, 7: 40}
"""Seeds for each number of witnesses."""


@pytest.mark.parametrize(("witness_count", "block"), [(n, b) for n in SEEDS for b in range(4)])
def test_every_rule_holds_in_every_schedule(witness_count: int, block: int) -> None:
    seeds = range(block * SEEDS[witness_count] // 4, (block + 1) * SEEDS[witness_count] // 4)
    certified = 0
    for seed in seeds:
        grid = Grid(seed, witness_count, Rules(), operations_each=2)
        try:
            grid.run()
        except Violated as violation:
            raise AssertionError(f"{witness_count} witnesses, seed {seed}: {violation}") from None
        certified += len(grid.told)

    assert certified >= 4 * len(seeds)


class WithoutVoteOnce(Witness):
    def _holder(self, candidate: Candidate) -> RecordId | None:
        return None


class TrustsCertificates(Witness):
    """Votes for what is certified, whatever it voted for before."""

    def _object(self, candidate: Candidate, scene: Scene) -> Refusal | None:
        if self._state.operation(candidate.signed.id) is not None:
            return None
        return super()._object(candidate, scene)


class WithoutFunds(Witness):
    def _object_to_chain(self, operation: Operation) -> Reason | None:
        reason = super()._object_to_chain(operation)
        return None if reason is Reason.FUNDS else reason


class _OneLess(WitnessSet):
    @property
    def quorum(self) -> int:
        return super().quorum - 1


def one_less(genesis: Genesis) -> WitnessSet:
    return _OneLess(0, genesis.witnesses)


MUTANTS: dict[str, Callable[[], Rules]] = {
    "votes twice": lambda: Rules(witness=WithoutVoteOnce),
    "votes for what is certified": lambda: Rules(witness=TrustsCertificates),
    "ignores the balance": lambda: Rules(witness=WithoutFunds),
    "answers before its vote is durable": lambda: Rules(answers_before_durable=True),
    "quorum of one less": lambda: Rules(witnesses=one_less),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_found(mutant: str) -> None:
    found: set[str] = set()
    for seed in range(200):
        try:
            Grid(seed, 4, MUTANTS[mutant](), operations_each=2).run()
        except Violated as violation:
            if "honest client" not in str(violation):
                found.add(str(violation))
                break

    assert found
