"""The state is a function of the set of certified operations; every set conserves money."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.ledger.state import LedgerState
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    OpenEscrow,
    Operation,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
)
from p2pgrid.units import Amount
from p2pgrid.wire.signed import Signed
from tests.ledger.grids import (
    CONSUMERS,
    FEE,
    NOW,
    START,
    Chain,
    account_of,
    escrow_terms,
    genesis_of,
    pay,
)

GENESIS = genesis_of(1)
NAMES = (*CONSUMERS, "node", "farm")


class Oracle:
    """A sequential ledger, written the obvious way: it refuses what is not possible now."""

    def __init__(self) -> None:
        self.balances = {account_of(name): 0 for name in NAMES} | dict(GENESIS.balances)
        self.open: dict[RecordId, tuple[str, OpenEscrow]] = {}
        self.burnt = 0

    def apply(self, name: str, signed: Signed[Operation]) -> None:
        me, operation = account_of(name), signed.record
        self.balances[me] -= operation.fee
        self.burnt += operation.fee
        match operation.payload:
            case Transfer(outputs=outputs):
                for receiver, amount in outputs:
                    self.balances[me] -= amount
                    self.balances[receiver] += amount
            case OpenEscrow() as terms:
                self.balances[me] -= terms.deposit
                self.open[signed.id] = name, terms
            case SettleEscrow(escrow=escrow, to_farm=to_farm):
                self.pay_out(escrow, to_farm)
            case CloseEscrow(escrow=escrow, to_farm=to_farm):
                self.pay_out(escrow, to_farm)
            case ReclaimEscrow(escrow=escrow):
                self.pay_out(escrow, Amount(0))
            case _:
                pass

    def pay_out(self, escrow: RecordId, to_farm: Amount) -> None:
        consumer, terms = self.open.pop(escrow)
        self.balances[terms.farm] += to_farm
        self.balances[account_of(consumer)] += terms.deposit - to_farm


class Author:
    """Draws a history in which every operation is possible when it is made."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.chains = {name: Chain(GENESIS, name) for name in NAMES}
        self.oracle = Oracle()
        self.history: list[Signed[Operation]] = []

    def write(self, length: int) -> None:
        for _ in range(length):
            self._draw(st.sampled_from([self.pay, self.lease, self.cancel, self.close]))()

    def add(self, name: str, signed: Signed[Operation]) -> None:
        self.oracle.apply(name, signed)
        self.history.append(signed)

    def pay(self) -> None:
        name = self._draw(st.sampled_from(NAMES))
        funds = self.oracle.balances[account_of(name)] - FEE
        if funds > 0:
            amount = self._draw(st.integers(1, funds))
            receiver = self._draw(st.sampled_from(NAMES))
            self.add(name, self.chains[name].next(pay(receiver, amount)))

    def lease(self) -> None:
        name = self._draw(st.sampled_from(CONSUMERS))
        funds = self.oracle.balances[account_of(name)] - FEE
        if funds > 0:
            terms = escrow_terms(deposit=self._draw(st.integers(1, funds)))
            self.add(name, self.chains[name].next(terms))

    def cancel(self) -> None:
        for escrow, (name, _) in list(self.oracle.open.items())[:1]:
            if self.oracle.balances[account_of(name)] >= FEE:
                time_ms = NOW + self._draw(st.integers(0, 5))
                payload = CancelEscrow(escrow=escrow)
                self.add(name, self.chains[name].next(payload, time_ms=time_ms))

    def close(self) -> None:
        if not self.oracle.open:
            return
        escrow = self._draw(st.sampled_from(sorted(self.oracle.open)))
        consumer, terms = self.oracle.open[escrow]
        to_farm = Amount(self._draw(st.integers(0, terms.deposit)))
        way = self._draw(st.integers(0, 2))
        if way == 0:
            payload = SettleEscrow(escrow=escrow, to_farm=to_farm, evidence=bytes(32))
            self.add("node", self.chains["node"].next(payload, fee=0))
        elif way == 1:
            agreed = CloseEscrow(escrow=escrow, to_farm=to_farm, other_signature=bytes(64))
            self.add("node", self.chains["node"].next(agreed, fee=0))
        elif self.oracle.balances[account_of(consumer)] >= FEE:
            self.add(consumer, self.chains[consumer].next(ReclaimEscrow(escrow=escrow)))


@st.composite
def histories(draw: st.DrawFn) -> Author:
    author = Author(draw)
    author.write(draw(st.integers(0, 25)))
    return author


def state_of(operations: Sequence[Signed[Operation]]) -> LedgerState:
    state = LedgerState(GENESIS)
    state.add((one.id, one.record) for one in operations)
    return state


def view(state: LedgerState) -> object:
    """Everything that can be asked of a state."""
    accounts = state.accounts()
    touching = {account: sorted(state.touching(account)) for account in accounts}
    return (
        accounts,
        state.escrows(),
        state.burnt,
        state.locked,
        state.alarms,
        state.waiting_count,
        touching,
    )


@settings(max_examples=60, deadline=None)
@given(histories())
def test_a_complete_set_gives_what_a_sequential_ledger_gives(author: Author) -> None:
    state = state_of(author.history)

    assert {who: state.account(who).balance for who in author.oracle.balances} == (
        author.oracle.balances
    )
    assert all(account.balance >= 0 for account in state.accounts().values())
    assert state.burnt == author.oracle.burnt
    assert state.waiting_count == 0
    assert {one.id for one in state.escrows().values() if one.closing is None} == set(
        author.oracle.open
    )


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_order_duplicates_and_pieces_leave_no_trace(author: Author, data: st.DataObject) -> None:
    whole = view(state_of(author.history))
    mixed = data.draw(st.permutations(author.history))
    piecewise = LedgerState(GENESIS)
    for one in [*mixed, *mixed[:3]]:
        piecewise.add([(one.id, one.record)])
    assert view(piecewise) == whole


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_parts_of_a_set_join_to_the_same_state(author: Author, data: st.DataObject) -> None:
    """However the set is spread over replicas, overlapping or not, and whoever asks whom."""
    parts: list[list[Signed[Operation]]] = [[] for _ in range(data.draw(st.integers(1, 4)))]
    for one in author.history:
        for place in data.draw(st.sets(st.integers(0, len(parts) - 1), min_size=1)):
            parts[place].append(one)
    replicas = [state_of(part) for part in parts]
    for place in range(len(parts)):
        for other in data.draw(st.permutations(parts)):
            replicas[place].add((one.id, one.record) for one in other)

    whole = view(state_of(author.history))
    assert all(view(replica) == whole for replica in replicas)


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_money_is_conserved_on_every_partial_set(author: Author, data: st.DataObject) -> None:
    supply = START * len(CONSUMERS)
    incremental = LedgerState(GENESIS)
    seen: list[Signed[Operation]] = []
    for one in data.draw(st.permutations(author.history)):
        seen.append(one)
        incremental.add([(one.id, one.record)])

        assert incremental.total == supply
    partial = [one for one in seen if data.draw(st.booleans())]

    assert state_of(partial).total == supply
    assert view(state_of(partial)) == view(state_of(partial[::-1]))


@settings(max_examples=40, deadline=None)
@given(histories(), st.data())
def test_what_a_closed_escrow_pays_adds_up_to_its_deposit(
    author: Author, data: st.DataObject
) -> None:
    state = state_of([one for one in author.history if data.draw(st.booleans())])

    for escrow in state.escrows().values():
        if escrow.closing is not None:
            assert escrow.closing.to_farm + escrow.closing.refund == escrow.terms.deposit
    assert state.locked == sum(
        escrow.terms.deposit for escrow in state.escrows().values() if escrow.closing is None
    )


@settings(max_examples=60, deadline=None)
@given(histories(), st.data())
def test_two_certificates_in_one_slot_raise_an_alarm_and_the_lower_id_counts(
    author: Author, data: st.DataObject
) -> None:
    """More than a third of the witnesses cheated; replicas still agree, and nothing is made."""
    doubles = [
        Chain(GENESIS, name, author.chains[name].operations[:length]).fork(pay("stranger", 7))
        for name in ("alice", "carol")
        for length in range(len(author.chains[name].operations))
    ]
    operations = data.draw(st.permutations([*author.history, *doubles]))
    piecewise = LedgerState(GENESIS)
    for one in operations:
        piecewise.add([(one.id, one.record)])
    state = state_of(author.history + doubles)

    assert view(state) == view(piecewise)
    assert state.is_alarmed == bool(doubles)
    assert state.total == START * len(CONSUMERS)
    for alarm in state.alarms:
        assert state.certified_in(alarm.slot) == min(alarm.operations)
        assert not any(state.is_in_effect(one) for one in alarm.operations[1:])


def test_an_operation_waits_for_the_one_before_it() -> None:
    alice = Chain(GENESIS, "alice")
    first, second = alice.next(pay("bob", 10)), alice.next(pay("bob", 20))
    state = state_of([second])

    assert state.account(account_of("bob")).balance == START
    assert state.waiting_count == 1
    state.add([(first.id, first.record)])
    assert state.account(account_of("bob")).balance == START + 30
    assert state.is_in_effect(second.id)


def test_a_balance_may_be_negative_while_a_cause_is_missing() -> None:
    dave = Chain(GENESIS, "dave")
    state = state_of([dave.next(pay("bob", 50))])

    assert state.account(account_of("dave")).balance == -50 - FEE
    assert state.total == START * len(CONSUMERS)


def test_whoever_is_no_party_closes_nothing() -> None:
    alice, bob = Chain(GENESIS, "alice"), Chain(GENESIS, "bob")
    opened = alice.next(escrow_terms())
    wrong = [
        bob.next(SettleEscrow(escrow=opened.id, to_farm=Amount(100), evidence=bytes(32))),
        Chain(GENESIS, "node").next(
            SettleEscrow(escrow=opened.id, to_farm=Amount(101), evidence=bytes(32)), fee=0
        ),
    ]
    for one in wrong:
        state = state_of([opened, one])

        escrow = state.escrow(opened.id)
        assert escrow is not None
        assert escrow.closing is None
        assert state.locked == 100
