"""An escrow pays for the time used and no more; only its parties end it, and only once."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.ledger.rules import Scene, object_to_signing
from p2pgrid.ledger.witness import Candidate
from p2pgrid.limits.ledger import (
    CANCEL_NOTICE_MS,
    GRACE_SECONDS_MAX,
    RECLAIM_DELAY_MS,
    SETTLE_MARGIN_MS,
)
from p2pgrid.model.certificate import Reason
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
)
from p2pgrid.units import HOUR_MS, Amount, TimestampMs
from tests.ledger.booth import Booth
from tests.ledger.grids import (
    FEE,
    NOW,
    Chain,
    close_signature,
    escrow_terms,
    node_of,
)


@dataclass
class Lease:
    """An open escrow of alice's, one hour from NOW at 60 an hour, deposit 100."""

    booth: Booth = field(default_factory=Booth)

    def __post_init__(self) -> None:
        self.alice, self.node = (Chain(self.booth.genesis, name) for name in ("alice", "node"))
        self.opening = self.alice.next(escrow_terms())
        self.booth.certify(self.opening)

    def settle(self, to_farm: int, *, now_ms: int) -> Reason | None:
        payload = SettleEscrow(escrow=self.opening.id, to_farm=Amount(to_farm), evidence=bytes(32))
        return self.booth.witness.objection(
            Candidate(self.node.fork(payload, fee=0), has_usable_keys=True), TimestampMs(now_ms)
        )

    def cancel(self, *, time_ms: int, seen_ms: int) -> None:
        payload = CancelEscrow(escrow=self.opening.id)
        self.booth.certify(self.alice.next(payload, time_ms=time_ms), now_ms=seen_ms)

    def object(self, name: str, payload: Payload, *, fee: int = FEE, now_ms: int = NOW) -> object:
        chain = {"alice": self.alice, "node": self.node}.get(name, Chain(self.booth.genesis, name))
        candidate = Candidate(chain.fork(payload, fee=fee), has_usable_keys=True)
        return self.booth.witness.objection(candidate, TimestampMs(now_ms))


@pytest.fixture
def lease() -> Lease:
    return Lease()


MINUTE_MS = 60_000
NOTICE = CANCEL_NOTICE_MS // MINUTE_MS
"""What the node may bill for the time until everybody knows of a cancel: 1 a minute."""


def test_a_settlement_is_bounded_by_the_time_used(lease: Lease) -> None:
    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS) is None
    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS - 1) is Reason.TOO_MUCH
    assert lease.settle(31, now_ms=NOW + 30 * MINUTE_MS) is Reason.TOO_MUCH
    assert lease.settle(60, now_ms=NOW + 10 * HOUR_MS) is None
    assert lease.settle(61, now_ms=NOW + 10 * HOUR_MS) is Reason.TOO_MUCH


def test_a_cancel_stops_accrual_at_its_time(lease: Lease) -> None:
    lease.cancel(time_ms=NOW + 10 * MINUTE_MS, seen_ms=NOW + 11 * MINUTE_MS)

    assert lease.settle(11 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is None
    assert lease.settle(12 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is Reason.TOO_MUCH


def test_a_cancel_dated_ahead_counts_from_its_own_time(lease: Lease) -> None:
    lease.cancel(time_ms=NOW + 12 * MINUTE_MS, seen_ms=NOW + 11 * MINUTE_MS)

    assert lease.settle(12 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is None
    assert lease.settle(13 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is Reason.TOO_MUCH


def test_a_cancel_dated_back_gains_nothing(lease: Lease) -> None:
    lease.cancel(time_ms=NOW, seen_ms=NOW + 20 * MINUTE_MS)

    assert lease.settle(20 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is None
    assert lease.settle(21 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is Reason.TOO_MUCH
    lease.booth.start()
    assert lease.settle(20 + NOTICE, now_ms=NOW + 40 * MINUTE_MS) is None


def test_a_certificate_kept_back_makes_no_settlement_void(lease: Lease) -> None:
    """The vote was long ago; the node settled before anybody but the consumer knew."""
    cancel = lease.alice.next(CancelEscrow(escrow=lease.opening.id), time_ms=NOW)
    assert lease.booth.refusal(cancel, now_ms=NOW) is None
    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS) is None
    lease.booth.certify(cancel, now_ms=NOW + 30 * MINUTE_MS)

    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS + 1) is None
    lease.booth.start()
    assert lease.settle(30, now_ms=NOW + 10 * HOUR_MS) is None


@given(st.integers(0, 2 * HOUR_MS), st.integers(0, 120))
def test_no_settlement_above_the_due_gets_a_vote(elapsed_ms: int, to_farm: int) -> None:
    is_due = to_farm * HOUR_MS <= 60 * min(elapsed_ms, HOUR_MS)

    assert (Lease().settle(to_farm, now_ms=NOW + elapsed_ms) is None) == is_due


def test_only_the_parties_end_an_escrow(lease: Lease) -> None:
    escrow = lease.opening.id
    settle = SettleEscrow(escrow=escrow, to_farm=Amount(0), evidence=bytes(32))

    assert lease.object("alice", settle) is Reason.NOT_A_PARTY
    assert lease.object("bob", CancelEscrow(escrow=escrow)) is Reason.NOT_A_PARTY
    assert lease.object("bob", ReclaimEscrow(escrow=escrow)) is Reason.NOT_A_PARTY
    assert lease.object("alice", CancelEscrow(escrow=escrow)) is None
    assert lease.object("alice", CancelEscrow(escrow=escrow), fee=0) is Reason.FEE
    assert lease.object("alice", CancelEscrow(escrow=RecordId(bytes(32)))) is Reason.ESCROW_UNKNOWN


def test_both_sides_may_close_with_any_split_that_both_signed(lease: Lease) -> None:
    genesis, escrow = lease.booth.genesis, lease.opening.id

    def close(to_farm: int, signature: bytes) -> CloseEscrow:
        return CloseEscrow(escrow=escrow, to_farm=Amount(to_farm), other_signature=signature)

    by_node = close_signature(genesis, "node", escrow, 77)
    by_alice = close_signature(genesis, "alice", escrow, 77)
    assert lease.object("alice", close(77, by_node)) is None
    assert lease.object("node", close(77, by_alice), fee=0) is None
    assert lease.object("alice", close(77, by_node), fee=0) is Reason.FEE
    assert lease.object("alice", close(76, by_node)) is Reason.NOT_A_PARTY
    assert lease.object("alice", close(77, by_alice)) is Reason.NOT_A_PARTY
    assert lease.object("bob", close(77, by_node)) is Reason.NOT_A_PARTY
    too_much = close_signature(genesis, "node", escrow, 101)
    assert lease.object("alice", close(101, too_much)) is Reason.TOO_MUCH


def test_a_deposit_is_reclaimed_only_long_after_the_end(lease: Lease) -> None:
    payload = ReclaimEscrow(escrow=lease.opening.id)
    from_ms = NOW + HOUR_MS + 60_000 + RECLAIM_DELAY_MS

    assert lease.object("alice", payload, now_ms=from_ms) is Reason.TOO_EARLY
    assert lease.object("alice", payload, now_ms=from_ms + 1) is None


def test_an_escrow_closes_once(lease: Lease) -> None:
    settle = SettleEscrow(escrow=lease.opening.id, to_farm=Amount(0), evidence=bytes(32))
    other = SettleEscrow(escrow=lease.opening.id, to_farm=Amount(0), evidence=bytes(31) + b"1")
    assert lease.booth.refusal(lease.node.next(settle, fee=0)) is None

    assert lease.booth.refusal(lease.node.next(other, fee=0)) is Reason.CONFLICT
    lease.booth.certify(lease.node.operations[0])
    assert lease.object("node", other, fee=0) is Reason.CONFLICT


def signing(lease: Lease, name: str, payload: Payload, *, now_ms: int = NOW) -> Reason | None:
    """Why a wallet would not sign."""
    booth, fee = lease.booth, 0 if name == "node" else FEE
    chain = {"alice": lease.alice, "node": lease.node}[name]
    moment = TimestampMs(now_ms)
    scene = Scene(booth.state.escrow, booth.genesis.network, FEE, moment, {})
    return object_to_signing(chain.fork(payload, fee=fee).record, scene)


def test_a_cancel_that_came_too_late_is_still_certified(lease: Lease) -> None:
    """It was signed when the escrow was open; were it refused, its account would be blocked."""
    cancel = CancelEscrow(escrow=lease.opening.id)
    lease.cancel(time_ms=NOW, seen_ms=NOW)
    assert lease.object("alice", cancel) is None
    assert signing(lease, "alice", cancel) is Reason.ESCROW_CLOSED

    settle = SettleEscrow(escrow=lease.opening.id, to_farm=Amount(0), evidence=bytes(32))
    lease.booth.certify(lease.node.next(settle, fee=0))
    assert lease.object("alice", cancel) is None
    assert signing(lease, "alice", cancel) is Reason.ESCROW_CLOSED


def test_an_escrow_whose_time_went_by_meanwhile_is_still_opened(lease: Lease) -> None:
    late = NOW + HOUR_MS

    assert lease.object("bob", escrow_terms(), now_ms=late) is None
    assert signing(lease, "alice", escrow_terms(), now_ms=late - 1) is None
    assert signing(lease, "alice", escrow_terms(), now_ms=late) is Reason.TERMS


def test_a_node_signs_no_settlement_when_its_consumer_may_soon_reclaim(lease: Lease) -> None:
    """Of two closings that race one can never be certified, and its account is blocked."""
    settle = SettleEscrow(escrow=lease.opening.id, to_farm=Amount(0), evidence=bytes(32))
    reclaim_ms = NOW + HOUR_MS + 60_000 + RECLAIM_DELAY_MS
    latest_ms = reclaim_ms - SETTLE_MARGIN_MS

    assert signing(lease, "node", settle, now_ms=latest_ms - 1) is None
    assert signing(lease, "node", settle, now_ms=latest_ms) is Reason.TOO_LATE
    assert signing(lease, "node", settle, now_ms=reclaim_ms + HOUR_MS) is Reason.TOO_LATE
    assert lease.settle(0, now_ms=reclaim_ms + HOUR_MS) is None
    assert RECLAIM_DELAY_MS >= 20 * SETTLE_MARGIN_MS


@pytest.mark.parametrize("hours", [367 * 24, 10**6])
def test_terms_that_make_no_sense_get_no_vote(lease: Lease, hours: int) -> None:
    assert lease.object("bob", escrow_terms(hours=hours)) is Reason.TERMS
    assert lease.object("node", escrow_terms()) is Reason.FUNDS
    assert lease.object("bob", escrow_terms()) is None


def test_a_deposit_is_not_locked_for_ever_nor_paid_to_oneself(lease: Lease) -> None:
    longest = replace(escrow_terms(), grace_seconds=GRACE_SECONDS_MAX)
    too_long = replace(longest, grace_seconds=GRACE_SECONDS_MAX + 1)

    assert lease.object("bob", longest) is None
    assert lease.object("bob", too_long) is Reason.TERMS
    assert lease.object("bob", replace(escrow_terms(), node=node_of("bob"))) is Reason.TERMS
