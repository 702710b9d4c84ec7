"""When views begin and end, and who leads them."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.ledger.certificate import first_witnesses
from p2pgrid.ledger.epoch_schedule import Schedule, leader_of
from p2pgrid.limits.epochs import EPOCH_FREEZE_MS_MAX, EPOCH_SETTLE_MS, EPOCH_VIEW_MS_MAX
from p2pgrid.units import TimestampMs
from tests.ledger.grids import NOW, genesis_of

SCHEDULE = Schedule(NOW, 60_000)


@given(view=st.integers(0, 10_000))
def test_each_view_begins_when_the_one_before_ends(view: int) -> None:
    begins = SCHEDULE.view_starts_ms(view)

    assert SCHEDULE.view_at(begins) == view
    assert SCHEDULE.view_at(begins - 1) == (view - 1 if view else None)
    assert 0 < SCHEDULE.view_starts_ms(view + 1) - begins <= EPOCH_VIEW_MS_MAX


def test_votes_pause_for_a_bounded_time_only() -> None:
    end = SCHEDULE.ends_ms

    assert not SCHEDULE.is_frozen(end - 1)
    assert SCHEDULE.is_frozen(end)
    assert not SCHEDULE.is_frozen(end + EPOCH_FREEZE_MS_MAX)


def test_books_close_after_certificates_under_way_have_come() -> None:
    assert not SCHEDULE.is_closed(SCHEDULE.ends_ms + EPOCH_SETTLE_MS - 1)
    assert SCHEDULE.is_closed(TimestampMs(SCHEDULE.ends_ms + EPOCH_SETTLE_MS))


def test_everybody_leads_in_turn() -> None:
    witnesses = first_witnesses(genesis_of(4))

    leaders = [leader_of(view, witnesses) for view in range(4)]
    assert sorted(leaders) == sorted(node for node, _ in witnesses.members)
