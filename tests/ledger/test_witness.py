"""A witness votes once for each slot, only for what is funded and due, also after a crash."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.ledger.certificate import first_witnesses, verify_batch
from p2pgrid.ledger.state import LedgerState
from p2pgrid.ledger.witness import Candidate, Judgement, VoteBook, Witness, read_votes
from p2pgrid.limits import CLOCK_AHEAD_MS_MAX, OPERATIONS_UNDER_WAY_MAX, RECLAIM_DELAY_MS
from p2pgrid.model.certificate import Reason
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    Operation,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import HOUR_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed, verify
from tests.ledger.grids import (
    FEE,
    NOW,
    START,
    Chain,
    account_of,
    certify,
    close_signature,
    escrow_terms,
    genesis_of,
    pay,
)


@dataclass
class Booth:
    """One witness with its disk."""

    genesis: Genesis = field(default_factory=lambda: genesis_of(1))
    disk: MemoryStore = field(default_factory=MemoryStore)
    convicted: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.state = LedgerState(self.genesis)
        self.start()

    def start(self) -> None:
        """Also after a crash: nothing is kept but the disk and the certified set."""
        network = self.genesis.network
        book: VoteBook = read_votes(
            [verify(Operation, one, network) for _, one in self.disk.scan(Table.VOTED_OPERATION)],
            [(key[1:], RecordId(one)) for key, one in self.disk.scan(Table.VOTE)],
            [(RecordId(key[1:]), seen) for key, seen in self.disk.scan(Table.CANCEL_SEEN)],
        )
        self.witness = Witness(self.genesis, self.state, convicted=self.convicted, book=book)

    def ask(
        self, *operations: Signed[Operation], now_ms: int = NOW, has_usable_keys: bool = True
    ) -> Judgement:
        candidates = [Candidate(one, has_usable_keys) for one in operations]
        judged = self.witness.judge(candidates, TimestampMs(now_ms))
        self.disk.write(judged.changes)
        return judged

    def refusal(self, operation: Signed[Operation], *, now_ms: int = NOW) -> Reason | None:
        """Why it does not vote for one operation; None when it does."""
        judged = self.ask(operation, now_ms=now_ms)
        return judged.refusals[0].reason if judged.refusals else None

    def certify(self, *operations: Signed[Operation], now_ms: int = NOW) -> None:
        batch = certify(self.genesis, operations)
        witnesses = first_witnesses(self.genesis)
        verified = verify_batch(batch, witnesses, self.genesis.network)
        self.state.add(verified.operations)
        self.disk.write(self.witness.observe(verified.operations, TimestampMs(now_ms)))


@pytest.fixture
def booth() -> Booth:
    return Booth()


@pytest.fixture
def alice(booth: Booth) -> Chain:
    return Chain(booth.genesis, "alice")


def test_votes_again_for_the_same_and_never_for_another(booth: Booth, alice: Chain) -> None:
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))

    assert booth.refusal(one) is None
    assert booth.refusal(one) is None
    for _ in range(2):
        (refusal,) = booth.ask(other).refusals
        assert (refusal.reason, refusal.conflict) == (Reason.CONFLICT, one.envelope)
        booth.start()


def test_every_vote_is_written_also_when_it_was_given_before(booth: Booth, alice: Chain) -> None:
    """The first write may still be under way when the second answer leaves."""
    one = alice.fork(pay("bob", 1))

    assert booth.ask(one).changes == booth.ask(one).changes != ()


def test_in_one_batch_the_first_of_two_spends_wins(booth: Booth, alice: Chain) -> None:
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))
    judged = booth.ask(one, other)

    assert judged.accepted == (one.id,)
    assert [refusal.operation for refusal in judged.refusals] == [other.id]


def test_does_not_vote_for_what_is_certified_after_voting_for_another(
    booth: Booth, alice: Chain
) -> None:
    """Two votes in one slot would convict an honest witness."""
    one, other = alice.fork(pay("bob", 1)), alice.fork(pay("bob", 2))
    booth.ask(one)
    booth.certify(other)

    for _ in range(2):
        assert booth.refusal(other) is Reason.CONFLICT
        assert booth.refusal(one) is Reason.CONFLICT
        booth.start()


def test_votes_that_a_certificate_settled_leave_the_disk(booth: Booth, alice: Chain) -> None:
    one = alice.next(pay("bob", 1))
    booth.ask(one)
    booth.certify(one)

    assert not list(booth.disk.scan(Table.VOTE))
    assert not list(booth.disk.scan(Table.VOTED_OPERATION))
    assert booth.refusal(one) is None
    assert booth.refusal(Chain(booth.genesis, "alice").fork(pay("bob", 2))) is Reason.CONFLICT


def test_the_funds_that_count_are_certified_less_what_is_under_way(
    booth: Booth, alice: Chain
) -> None:
    half = START // 2
    first, second = alice.next(pay("bob", half)), alice.next(pay("bob", half - 2 * FEE))
    third = alice.next(pay("bob", 1))

    assert booth.refusal(first) is None
    assert booth.refusal(second) is None
    assert booth.refusal(third) is Reason.FUNDS
    booth.start()
    assert booth.refusal(third) is Reason.FUNDS
    booth.certify(second)
    assert booth.refusal(third) is Reason.FUNDS
    booth.certify(Chain(booth.genesis, "carol").next(pay("alice", 50)))
    assert booth.refusal(third) is None


def test_a_credit_counts_only_when_it_is_certified(booth: Booth) -> None:
    given = Chain(booth.genesis, "alice").next(pay("dave", 100))
    spent = Chain(booth.genesis, "dave").next(pay("bob", 50))

    assert booth.refusal(given) is None
    assert booth.refusal(spent) is Reason.FUNDS
    booth.certify(given)
    assert booth.refusal(spent) is None


def test_an_operation_follows_the_one_before_it(booth: Booth, alice: Chain) -> None:
    first, second = alice.next(pay("bob", 1)), alice.next(pay("bob", 2))

    assert booth.refusal(second) is Reason.BEHIND
    assert booth.ask(first, second).accepted == (first.id, second.id)
    booth.certify(first, second)
    fork = Chain(booth.genesis, "alice", [first, alice.fork(pay("bob", 7))])
    assert booth.refusal(fork.fork(pay("bob", 3))) is Reason.CHAIN


def test_so_many_operations_of_one_account_are_under_way_at_most() -> None:
    booth = Booth(genesis_of(1, (("alice", 10**6),)))
    alice = Chain(booth.genesis, "alice")
    chain = [alice.next(pay("bob", 1)) for _ in range(OPERATIONS_UNDER_WAY_MAX + 2)]

    *accepted, last = [booth.refusal(one) for one in chain]
    assert set(accepted) == {None}
    assert last is Reason.CHAIN


def test_time_is_not_far_ahead_and_not_before_the_last(booth: Booth, alice: Chain) -> None:
    late = NOW + CLOCK_AHEAD_MS_MAX

    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late + 1)) is Reason.TIME
    assert booth.refusal(alice.next(pay("bob", 1), time_ms=late)) is None
    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late - 1)) is Reason.TIME
    assert booth.refusal(alice.fork(pay("bob", 1), time_ms=late)) is None


def test_the_least_fee_and_usable_keys_are_asked_for(booth: Booth, alice: Chain) -> None:
    one = alice.fork(pay("bob", 1))

    assert booth.refusal(alice.fork(pay("bob", 1), fee=FEE - 1)) is Reason.FEE
    assert booth.ask(one, has_usable_keys=False).refusals[0].reason is Reason.KEY


def test_a_convicted_account_gets_no_new_vote(booth: Booth, alice: Chain) -> None:
    first = alice.next(pay("bob", 1))
    booth.ask(first)
    booth.convicted.add(account_of("alice"))

    assert booth.refusal(first) is None
    assert booth.refusal(alice.next(pay("bob", 1))) is Reason.CONVICTED


def test_two_certificates_in_one_slot_stop_all_votes(booth: Booth, alice: Chain) -> None:
    booth.certify(alice.fork(pay("bob", 1)))
    booth.certify(alice.fork(pay("bob", 2)))

    assert booth.refusal(Chain(booth.genesis, "bob").next(pay("carol", 1))) is Reason.HALTED


# --- escrows --------------------------------------------------------------------------------------


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


def test_a_settlement_is_bounded_by_the_time_used(lease: Lease) -> None:
    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS) is None
    assert lease.settle(30, now_ms=NOW + 30 * MINUTE_MS - 1) is Reason.TOO_MUCH
    assert lease.settle(31, now_ms=NOW + 30 * MINUTE_MS) is Reason.TOO_MUCH
    assert lease.settle(60, now_ms=NOW + 10 * HOUR_MS) is None
    assert lease.settle(61, now_ms=NOW + 10 * HOUR_MS) is Reason.TOO_MUCH


def test_a_cancel_stops_accrual_at_its_time(lease: Lease) -> None:
    lease.cancel(time_ms=NOW + 10 * MINUTE_MS, seen_ms=NOW + 11 * MINUTE_MS)

    assert lease.settle(10, now_ms=NOW + 40 * MINUTE_MS) is None
    assert lease.settle(11, now_ms=NOW + 40 * MINUTE_MS) is Reason.TOO_MUCH


def test_a_cancel_dated_back_gains_nothing(lease: Lease) -> None:
    lease.cancel(time_ms=NOW, seen_ms=NOW + 20 * MINUTE_MS)

    assert lease.settle(20, now_ms=NOW + 40 * MINUTE_MS) is None
    assert lease.settle(21, now_ms=NOW + 40 * MINUTE_MS) is Reason.TOO_MUCH
    lease.booth.start()
    assert lease.settle(20, now_ms=NOW + 40 * MINUTE_MS) is None


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
    cancel = CancelEscrow(escrow=lease.opening.id)
    assert lease.object("alice", cancel) is Reason.ESCROW_CLOSED


def test_an_escrow_is_cancelled_once(lease: Lease) -> None:
    lease.cancel(time_ms=NOW, seen_ms=NOW)

    assert lease.object("alice", CancelEscrow(escrow=lease.opening.id)) is Reason.ESCROW_CLOSED


@pytest.mark.parametrize("hours", [367 * 24, 10**6])
def test_terms_that_make_no_sense_get_no_vote(lease: Lease, hours: int) -> None:
    assert lease.object("bob", escrow_terms(hours=hours)) is Reason.TERMS
    assert lease.object("bob", escrow_terms(), now_ms=NOW + HOUR_MS) is Reason.TERMS
    assert lease.object("node", escrow_terms()) is Reason.FUNDS
    assert lease.object("bob", escrow_terms()) is None
