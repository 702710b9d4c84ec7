"""Views of a whole council: what is decided, by whom, and what lies and losses cannot do."""

from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.errors import PeerError
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.epoch_leader import AskWitnesses, EpochLeader
from p2pgrid.ledger.epoch_messages import Approval, Commit, Gather, Prepare, Standing
from p2pgrid.ledger.epoch_rules import proposal_id
from p2pgrid.limits.epochs import EPOCH_PATIENCE_MS
from p2pgrid.model.ids import NodeId
from p2pgrid.units import TimestampMs
from tests.ledger.council import Council, Question, epoch_key_of, operation_id
from tests.ledger.grids import genesis_of


def council_of(count: int) -> Council:
    """Each stored what all did, and one operation more."""
    council = Council(count)
    for place in range(count):
        council[place].store(0, place + 1)
    council.close()
    council.share()
    return council


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_a_view_ends_the_epoch_with_everything(count: int) -> None:
    council = council_of(count)
    decided = council.lead(0)

    assert decided is not None
    assert decided.proposal.operation_count == count + 1
    assert EpochChain(council.genesis).append(decided)


def test_fresh_keys_and_commitments_make_the_next_epoch() -> None:
    council = council_of(4)
    first = council.lead(0)
    assert first is not None
    council.chain.append(first)
    assert [seat.key for seat in council.frame.seats] == [
        bytes(epoch_key_of(one.name, 1).verify_key) for one in council.members.values()
    ]
    following = Council(4, council.chain)
    following.close()
    second = following.lead(0)

    assert second is not None
    assert second.proposal.beacon != first.proposal.beacon
    assert council.chain.append(second)


def test_who_was_away_keeps_its_key() -> None:
    council = council_of(4)
    away = council[3].id
    decided = council.lead(0, lambda node, _question: node != away)

    assert decided is not None
    seats = {seat.node: seat for seat in decided.proposal.seats}
    assert seats[away].key == away
    assert seats[council[0].id].key != council[0].id


def test_too_few_end_nothing() -> None:
    council = council_of(4)
    away = {council[2].id, council[3].id}

    assert council.lead(0, lambda node, _question: node not in away) is None


def test_the_next_leader_ends_it_when_the_first_is_dead() -> None:
    council = council_of(4)
    assert council.lead(0, lambda _node, question: isinstance(question, Gather)) is None

    assert council.lead(1) is not None


def test_what_may_be_decided_is_what_the_next_leader_proposes() -> None:
    """A quorum prepared and one committed: maybe a certificate exists that nobody shows."""
    council = council_of(4)
    shown: list[Question] = []

    def first_only(node: NodeId, question: Question) -> bool:
        shown.append(question)
        return not isinstance(question, Commit) or node == council[0].id

    assert council.lead(0, first_only) is None
    council[2].store(99)  # so that an honest leader would propose something else
    decided = council.lead(2)

    (prepared,) = {
        proposal_id(question.proposal, council.frame.network)
        for question in shown
        if isinstance(question, Prepare)
    }
    assert decided is not None
    assert proposal_id(decided.proposal, council.frame.network) == prepared


def test_waits_a_little_for_those_that_are_slow() -> None:
    council = council_of(4)
    leader = EpochLeader(council.frame, 0)
    books, now = council[0].books, council.now
    effects = []
    for place in range(3):
        answer = council[place].ask(council[0].id, Gather(view=0), now)
        effects += leader.receive(council[place].id, answer, books, now)

    assert effects == []
    assert leader.wake_at == now + EPOCH_PATIENCE_MS
    (effect,) = leader.poll(books, TimestampMs(now + EPOCH_PATIENCE_MS))
    assert isinstance(effect, AskWitnesses)
    assert isinstance(effect.question, Prepare)
    assert len(effect.question.reports) == 3


def test_reports_of_others_and_keys_of_others_are_no_use() -> None:
    council = council_of(4)
    leader = EpochLeader(council.frame, 0)
    answer = council[1].ask(council[0].id, Gather(view=0), council.now)
    assert isinstance(answer, Standing)

    with pytest.raises(PeerError, match="of another"):
        leader.receive(council[2].id, answer, council[0].books, council.now)


def test_a_witness_cannot_take_the_key_of_another() -> None:
    council = council_of(4)
    thief, victim = council[3], council[1]
    thief.voter.fresh = type(thief.voter.fresh)(victim.id, bytes(32), b"")
    decided = council.lead(0)

    assert decided is not None
    seats = {seat.node: seat for seat in decided.proposal.seats}
    assert seats[thief.id].key == thief.id


def test_votes_count_only_with_a_signature() -> None:
    council = council_of(1)
    leader = EpochLeader(council.frame, 0)
    with pytest.raises(PeerError):
        leader.receive(council[0].id, Approval(signature=bytes(64)), council[0].books, council.now)
    answer = council[0].ask(council[0].id, Gather(view=0), council.now)
    leader.receive(council[0].id, answer, council[0].books, council.now)
    with pytest.raises(PeerError, match="not signed"):
        leader.receive(council[0].id, Approval(signature=bytes(64)), council[0].books, council.now)


def test_a_report_must_reveal_what_was_committed() -> None:
    council = council_of(4)
    first = council.lead(0)
    assert first is not None
    council.chain.append(first)
    following = Council(4, council.chain)
    following.close()
    liar = following[2]
    liar.voter.fresh = type(liar.voter.fresh)(
        liar.voter.fresh.next_key, liar.voter.fresh.commitment, b"\x01" * 32
    )
    answer = liar.ask(following.leader(0).id, Gather(view=0), following.now)

    leader = EpochLeader(following.frame, 0)
    with pytest.raises(PeerError, match="reveals"):
        leader.receive(liar.id, answer, following[0].books, following.now)
    assert isinstance(answer, Standing)
    with pytest.raises(PeerError):
        leader.receive(
            liar.id,
            Standing(report=b"\x80", closed_root=bytes(32), closed_count=0, lock=None),
            following[0].books,
            following.now,
        )


def _gets_through(random: Random, loss: float, _node: NodeId, _question: Question) -> bool:
    return random.random() >= loss


@given(seed=st.integers(0, 2**32), count=st.sampled_from([4, 7]))
@settings(max_examples=40, deadline=None)
def test_views_with_losses_and_crashes_agree_and_lose_nothing(seed: int, count: int) -> None:
    """Whatever is lost: all certificates are of one proposal, which covers a quorum's books."""
    random = Random(seed)
    council = council_of(count)
    acknowledged = operation_id(0)  # everybody stored it before it closed
    decided = set()
    for view in range(6):
        loss = random.choice([0.0, 0.2, 0.5])
        for place in range(count):
            if random.random() < 0.3:
                council[place].start()
            if random.random() < 0.3:
                council[place].store(100 + view)  # late: by gossip
        council.share()
        certificate = council.lead(view, partial(_gets_through, random, loss))
        if certificate is not None:
            decided.add(proposal_id(certificate.proposal, council.frame.network))
            cut = council.leader(view).books.held(certificate.proposal.operations_root)
            assert cut is not None
            assert acknowledged in cut.operations
    assert len(decided) <= 1
    assert genesis_of(count) == council.genesis
