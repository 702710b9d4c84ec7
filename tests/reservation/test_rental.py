"""Rentals: the ledger says what was paid, the node only how it stands; nothing paid is dropped."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.ledger import RECLAIM_DELAY_MS
from p2pgrid.limits.reservation import PAYMENT_DOUBT_MS
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.reservation import Phase, Status
from p2pgrid.reservation.rental import Rental, closed, funded, given_up, quoted, told, unpaid
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from tests.reservation.samples import NODE, quote_of, request_of

REQUEST = request_of()
ESCROW = RecordId(b"e" * 32)
ASKED = Rental(id=REQUEST.id, request=REQUEST.record, node_addresses=("/ip4/127.0.0.1/tcp/1",))
QUOTED = quoted(ASKED, REQUEST, quote_of(REQUEST))
PAID = funded(QUOTED, ESCROW)


def status(phase: Phase, *, time_ms: int = 1, detail: str = "") -> Status:
    return Status(
        node=NODE,
        reservation=REQUEST.id,
        time_ms=TimestampMs(time_ms),
        phase=phase,
        addresses=("fd00::1",),
        detail=detail,
        exit_code=None,
    )


@given(st.lists(st.tuples(st.sampled_from(list(Phase)), st.integers(0, 50))))
def test_a_node_s_word_alone_never_ends_it(said: list[tuple[Phase, int]]) -> None:
    rental = PAID
    for phase, time_ms in said:
        rental = told(rental, status(phase, time_ms=time_ms))

    assert not rental.is_over
    assert rental.phase >= Phase.FUNDED
    assert decode(Rental, encode(rental)) == rental


def test_an_older_word_does_not_replace_a_newer() -> None:
    running = told(PAID, status(Phase.RUNNING, time_ms=9))

    assert told(running, status(Phase.DEPLOYING, time_ms=8)) == running


@pytest.mark.parametrize(
    "wrong",
    [
        replace(status(Phase.RUNNING), node=NodeId(b"x" * 32)),
        replace(status(Phase.RUNNING), reservation=RecordId(b"x" * 32)),
    ],
)
def test_a_word_on_something_else_is_refused(wrong: Status) -> None:
    with pytest.raises(BrokenProtocol):
        told(PAID, wrong)


def test_a_closed_escrow_ends_it() -> None:
    over = closed(told(PAID, status(Phase.RUNNING)), Amount(7), Amount(3))

    assert (over.phase, over.paid, over.refunded) == (Phase.ENDED, 7, 3)
    assert over.reclaimable_ms is None


def test_a_whole_refund_with_a_reason_is_a_failure() -> None:
    failing = told(PAID, status(Phase.ENDING, detail="no such image"))

    assert closed(failing, Amount(0), Amount(10)).phase is Phase.FAILED
    cancelled = replace(failing, is_cancelled=True)
    assert closed(cancelled, Amount(0), Amount(10)).phase is Phase.ENDED


def test_unpaid_it_expires_after_the_quote_but_is_looked_after_for_a_while() -> None:
    assert unpaid(QUOTED, TimestampMs(60_000)) == QUOTED

    expired = unpaid(QUOTED, TimestampMs(70_001))

    assert expired.phase is Phase.EXPIRED
    assert not expired.is_done_with(TimestampMs(70_001))
    assert expired.is_done_with(TimestampMs(60_000 + PAYMENT_DOUBT_MS))
    assert funded(expired, ESCROW).phase is Phase.FUNDED


def test_cancelled_before_it_is_paid_it_is_over_at_once() -> None:
    over = given_up(QUOTED, TimestampMs(1))

    assert over.phase is Phase.EXPIRED
    assert funded(over, ESCROW).is_cancelled
    assert given_up(PAID, TimestampMs(1)).phase is Phase.FUNDED


def test_what_is_paid_never_counts_as_unpaid() -> None:
    assert unpaid(PAID, TimestampMs(10**12)) == PAID
    assert funded(PAID, RecordId(b"x" * 32)) == PAID


def test_a_deposit_can_be_reclaimed_some_time_after_the_end() -> None:
    assert PAID.reclaimable_ms == 3_600_000 + RECLAIM_DELAY_MS
    assert QUOTED.reclaimable_ms is None
