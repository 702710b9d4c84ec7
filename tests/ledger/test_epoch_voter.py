"""Each rule of a witness at the end of an epoch; without it, one of these tests fails."""

from dataclasses import replace

import pytest

from p2pgrid.errors import PeerError
from p2pgrid.ledger.epoch_messages import Approval, Commit, Demur, Gather, Objection, Prepare
from p2pgrid.ledger.epoch_operations import Cut
from p2pgrid.ledger.epoch_rules import propose, read_report
from p2pgrid.limits.ledger import CLOCK_AHEAD_MS_MAX
from p2pgrid.model.epoch import EpochProposal
from p2pgrid.model.ids import RecordId
from p2pgrid.units import TimestampMs
from tests.ledger.council import Council, Councillor


@pytest.fixture
def council() -> Council:
    """Four witnesses whose books are closed over operations 1 and 2."""
    council = Council(4)
    for place in range(4):
        council[place].store(1, 2)
    council.close()
    return council


def proposal_of(
    council: Council, cut: Cut | None = None, *, time_ms: int | None = None
) -> tuple[EpochProposal, tuple[bytes, ...]]:
    """What an honest leader proposes for a set of operations, with everybody's report."""
    reports = []
    for member in council.members.values():
        standing = member.voter._standing(member.books)
        reports.append(read_report(standing.report, council.frame))
    reports.sort(key=lambda one: one.record.node)
    chosen = council[0].books.closed if cut is None else cut
    time = council.now if time_ms is None else TimestampMs(time_ms)
    proposal = propose(
        council.frame,
        [one.record for one in reports],
        (chosen.root, len(chosen.operations)),
        chosen.root,
        time,
    )
    return proposal, tuple(one.envelope for one in reports)


def prepare_of(council: Council, view: int = 0, **changes: int) -> Prepare:
    proposal, reports = proposal_of(council, time_ms=changes.get("time_ms"))
    return Prepare(view=view, proposal=proposal, reports=reports, lock=None)


def another(council: Council) -> Prepare:
    """Another valid proposal: the leader left out a report."""
    proposal, reports = proposal_of(council)
    reports = reports[1:]
    opened = [read_report(one, council.frame).record for one in reports]
    operations = proposal.operations_root, proposal.operation_count
    wanted = propose(council.frame, opened, operations, proposal.snapshot_root, proposal.time_ms)
    return Prepare(view=0, proposal=wanted, reports=reports, lock=None)


def ask(council: Council, who: Councillor, question: Prepare | Commit | Gather) -> Demur | None:
    """Why it does not vote; None when it does."""
    view = question.lock.quorum.vote.view if isinstance(question, Commit) else question.view
    match who.ask(council.leader(view).id, question, council.now):
        case Objection(demur=demur):
            return demur
        case _:
            return None


def test_votes_for_what_an_honest_leader_proposes(council: Council) -> None:
    question = prepare_of(council)

    assert ask(council, council[1], question) is None
    lock = council.prepared(question.proposal, 0, [council[0], council[1], council[2]])
    assert ask(council, council[3], Commit(lock=lock)) is None


def test_prepares_one_proposal_in_a_view(council: Council) -> None:
    question = prepare_of(council)

    assert ask(council, council[1], question) is None
    assert ask(council, council[1], another(council)) is Demur.NOT_NOW
    assert ask(council, council[1], question) is None  # the answer got lost


def test_remembers_after_a_crash_what_it_prepared(council: Council) -> None:
    ask(council, council[1], prepare_of(council))
    council[1].start()

    assert ask(council, council[1], another(council)) is Demur.NOT_NOW


def test_prepares_nothing_in_an_earlier_view(council: Council) -> None:
    council.at_view(2)
    ask(council, council[1], prepare_of(council, view=2))

    assert ask(council, council[1], prepare_of(council, view=1)) is Demur.NOT_NOW


def test_commits_nothing_of_a_view_before_the_last_it_prepared_in(council: Council) -> None:
    old = another(council).proposal
    lock = council.prepared(old, 0, [council[0], council[1], council[2]])
    council.at_view(1)
    ask(council, council[3], prepare_of(council, view=1))

    assert ask(council, council[3], Commit(lock=lock)) is Demur.NOT_NOW


def test_is_locked_on_what_it_committed(council: Council) -> None:
    lock = council.prepared(another(council).proposal, 0, [council[0], council[1], council[2]])
    ask(council, council[3], Commit(lock=lock))
    council[3].start()  # also after a crash
    council.at_view(1)

    assert ask(council, council[3], prepare_of(council, view=1)) is Demur.LOCKED
    again = Prepare(view=1, proposal=lock.proposal, reports=(), lock=lock.quorum)
    assert ask(council, council[3], again) is None


def test_a_later_quorum_unlocks(council: Council) -> None:
    first = council.prepared(another(council).proposal, 0, [council[0], council[1], council[2]])
    ask(council, council[3], Commit(lock=first))
    later = council.prepared(prepare_of(council).proposal, 1, [council[0], council[1], council[2]])
    council.at_view(2)

    question = Prepare(view=2, proposal=later.proposal, reports=(), lock=later.quorum)
    assert ask(council, council[3], question) is None


def test_an_earlier_quorum_does_not_unlock(council: Council) -> None:
    council.at_view(1)
    second = council.prepared(another(council).proposal, 1, [council[0], council[1], council[2]])
    ask(council, council[3], Commit(lock=second))
    older = council.prepared(prepare_of(council).proposal, 0, [council[0], council[1], council[2]])
    council.at_view(2)

    question = Prepare(view=2, proposal=older.proposal, reports=(), lock=older.quorum)
    assert ask(council, council[3], question) is Demur.LOCKED


def test_a_quorum_of_its_own_view_is_a_lie(council: Council) -> None:
    proposal = another(council).proposal
    lock = council.prepared(proposal, 1, [council[0], council[1], council[2]])
    council.at_view(1)

    with pytest.raises(PeerError):
        ask(council, council[3], Prepare(view=1, proposal=proposal, reports=(), lock=lock.quorum))


def test_a_quorum_must_have_the_weight(council: Council) -> None:
    lock = council.prepared(another(council).proposal, 0, [council[0], council[1], council[2]])
    quorum = replace(lock.quorum, signers=b"\x03", signatures=lock.quorum.signatures[:2])

    with pytest.raises(PeerError, match="less weight"):
        ask(council, council[3], Commit(lock=replace(lock, quorum=quorum)))


def test_leaves_out_nothing_that_it_stored_before_it_closed() -> None:
    council = Council(4)
    for place in range(4):
        council[place].store(1, 2)
    council[3].store(3)
    council.close()
    council.share()
    question = prepare_of(council)  # by the books of the first, who lacks operation 3

    assert ask(council, council[1], question) is None
    assert ask(council, council[3], question) is Demur.UNCOVERED


def test_what_came_after_it_closed_may_be_left_out(council: Council) -> None:
    council[3].store(3)

    assert ask(council, council[3], prepare_of(council)) is None


def test_votes_for_no_set_that_it_does_not_hold(council: Council) -> None:
    council[0].store(3)
    proposal, reports = proposal_of(council, council[0].books.everything)
    question = Prepare(view=0, proposal=proposal, reports=reports, lock=None)

    assert ask(council, council[1], question) is Demur.UNKNOWN
    council[1].books.operations.learn(council[0].books.everything)
    assert ask(council, council[1], question) is Demur.UNKNOWN
    council[1].store(3)
    assert ask(council, council[1], question) is None


def test_one_liar_cannot_block_the_epoch_with_a_lock() -> None:
    """What a quorum prepared goes on, also past a witness that it does not cover."""
    council = Council(4)
    for place in range(4):
        council[place].store(1)
    council[3].store(2)
    council.close()
    lock = council.prepared(prepare_of(council).proposal, 0, [council[0], council[1], council[2]])
    council.at_view(1)

    question = Prepare(view=1, proposal=lock.proposal, reports=(), lock=lock.quorum)
    assert ask(council, council[3], question) is None
    assert ask(council, council[3], Commit(lock=lock)) in (None, Demur.NOT_NOW)


@pytest.mark.parametrize(
    "field", ["operation_count", "snapshot_root", "beacon", "seats", "previous"]
)
def test_checks_everything_that_follows(council: Council, field: str) -> None:
    question = prepare_of(council)
    proposal = question.proposal
    wrong = {
        "operation_count": replace(proposal, operation_count=3),
        "snapshot_root": replace(proposal, snapshot_root=bytes(32)),
        "beacon": replace(proposal, beacon=bytes(32)),
        "seats": replace(proposal, seats=proposal.seats[1:]),
        "previous": replace(proposal, previous=RecordId(b"\x01" * 32)),
    }
    assert ask(council, council[1], replace(question, proposal=wrong[field])) is Demur.INVALID


def test_reports_are_sorted_and_one_of_each(council: Council) -> None:
    question = prepare_of(council)
    for reports in (question.reports[::-1], (question.reports[0], *question.reports)):
        assert ask(council, council[1], replace(question, reports=reports)) is Demur.INVALID


def test_the_next_epoch_starts_about_now(council: Council) -> None:
    for off in (-CLOCK_AHEAD_MS_MAX - 1, CLOCK_AHEAD_MS_MAX + 1):
        question = prepare_of(council, time_ms=council.now + off)
        assert ask(council, council[1], question) is Demur.INVALID


def test_answers_only_the_leader_of_the_view(council: Council) -> None:
    for question in (Gather(view=0), prepare_of(council)):
        match council[2].ask(council[1].id, question, council.now):
            case Objection(demur=demur):
                assert demur is Demur.NOT_LEADER
            case _:
                pytest.fail("it answered somebody else")


def test_answers_nothing_before_the_books_are_closed(council: Council) -> None:
    council.now = TimestampMs(council.frame.schedule.closes_ms - 1)

    assert ask(council, council[1], Gather(view=0)) is Demur.NOT_NOW
    assert ask(council, council[1], prepare_of(council)) is Demur.NOT_NOW
    lock = council.prepared(another(council).proposal, 0, [council[0], council[1], council[2]])
    assert ask(council, council[1], Commit(lock=lock)) is Demur.NOT_NOW


def test_nobody_leads_a_view_far_ahead(council: Council) -> None:
    assert ask(council, council[1], prepare_of(council, view=1)) is None
    assert ask(council, council[2], prepare_of(council, view=2)) is Demur.NOT_NOW


def test_an_approval_is_durable_before_it_leaves(council: Council) -> None:
    who = council[1]
    judged = who.voter.answer(council[0].id, prepare_of(council), who.books, council.now)

    assert isinstance(judged.answer, Approval)
    assert judged.changes
