"""In hundreds of simulated ledgers nothing is spent twice or lost; every rule taken away shows.

Half of them go through ends of epochs while there is load. A mutant that survives would mean
that the simulation looks at nothing. Ten thousand seeds: `scripts/simulate ledger --seeds 10000`.
"""

from collections.abc import Callable

import pytest

from p2pgrid.ledger import archive, certificate
from p2pgrid.ledger.epoch_voter import Books, EpochVoter
from p2pgrid.ledger.rules import Scene
from p2pgrid.ledger.witness import Candidate, Witness
from p2pgrid.limits.simulated_ledger import WITNESS_COUNTS
from p2pgrid.model.certificate import Reason, Refusal
from p2pgrid.model.epoch import EpochProposal
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.simulation import ledger_epochs
from p2pgrid.simulation.ledger_court import Court
from p2pgrid.simulation.ledger_node import LedgerNode
from p2pgrid.simulation.ledger_run import LedgerResult, simulate_ledger, witness_count_of

SEEDS = 60
BLOCKS = 6
MUTANT_SEEDS = 150

TWO_VOTES = "a witness contradicts a vote that left it"
TWO_CERTIFICATES = "two operations are certified in one slot"
LOST = "a final operation was lost at the end of its epoch"
OVERDRAWN = "an account spent more than it had"


@pytest.mark.parametrize("block", range(BLOCKS))
def test_every_rule_holds_in_every_schedule(block: int) -> None:
    each = SEEDS // BLOCKS
    result = simulate_ledger(block * each, seeds=each)

    assert result.violations == ()
    assert result.certified >= 9 * each
    assert result.epochs > each // 2
    assert result.crashes > each
    assert result.hidden
    assert result.convicted > each // 2
    assert set(result.witnesses) == set(WITNESS_COUNTS)


def test_the_same_seeds_give_the_same_runs() -> None:
    runs = [simulate_ledger(4, seeds=2) for _ in range(2)]

    assert len({run.digest for run in runs}) == 1
    assert simulate_ledger(5, seeds=2).digest != runs[0].digest
    assert witness_count_of(4) in runs[0].witnesses


class WithoutVoteOnce(Witness):
    def _holder(self, candidate: Candidate) -> RecordId | None:
        return None


class WithoutClosingSlots(Witness):
    """Votes once for each place in a chain, but not for the end of an escrow."""

    def _holder(self, candidate: Candidate) -> RecordId | None:
        holder, place = super()._holder(candidate), candidate.slots[0]
        is_held = self._state.certified_in(place) or self._book.slots.get(place)
        return holder if is_held not in (None, candidate.signed.id) else None


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


class WithoutCoverage(EpochVoter):
    """Prepares an end of the epoch that leaves out what it has stored."""

    def _require_covering(self, proposal: EpochProposal, books: Books) -> None:
        cut = books.held(proposal.operations_root)
        assert cut is not None or proposal.operation_count


class AnswersBeforeDurable(LedgerNode):
    """Its answer leaves while the disk still writes the vote."""

    def when_durable(self, action: Callable[..., object], *arguments: object) -> None:
        super().when_durable(lambda: None)
        action(*arguments)


def found(honest: type[LedgerNode] = LedgerNode, witness_count: int = 4) -> set[str]:
    """The rules broken in the first run that breaks any."""
    rules: set[str] = set()
    for seed in range(MUTANT_SEEDS):
        try:
            result: LedgerResult = simulate_ledger(seed, witness_count=witness_count, honest=honest)
        except KeyError:  # a vote book that holds two votes for one slot contradicts itself
            continue
        rules = {one.rule for one in result.violations}
        if rules:
            break
    return rules


@pytest.mark.parametrize(
    ("mutant", "witness_count", "rule"),
    [
        (WithoutVoteOnce, 4, TWO_VOTES),
        (WithoutClosingSlots, 4, TWO_VOTES),
        (TrustsCertificates, 7, TWO_VOTES),
        (WithoutFunds, 4, OVERDRAWN),
    ],
)
def test_a_witness_that_breaks_a_rule_is_found(
    mutant: type[Witness], witness_count: int, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "Witness", mutant)

    assert rule in found(witness_count=witness_count)


def test_a_vote_that_leaves_before_it_is_durable_is_found() -> None:
    assert TWO_VOTES in found(AnswersBeforeDurable)


def test_an_end_of_an_epoch_that_leaves_out_what_is_stored_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger_epochs, "EpochVoter", WithoutCoverage)

    assert LOST in found()


def test_what_is_certified_is_not_final_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a client to take the first certificate for the last word, it would lose money."""
    monkeypatch.setattr(Court, "final_in", Court.certified_in)

    assert LOST in found()


def test_a_quorum_of_one_less_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = certificate.quorum_of
    monkeypatch.setattr(certificate, "quorum_of", lambda total: right(total) - 1)

    assert TWO_CERTIFICATES in found()
