"""The snapshot says all that is not over, and nothing of how it came about."""

from p2pgrid.ledger.snapshot import leaves_of, snapshot_root
from p2pgrid.ledger.state import LedgerState
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.operation import Operation
from p2pgrid.wire.signed import Signed
from tests.ledger.grids import Chain, escrow_terms, genesis_of, pay

GENESIS: Genesis = genesis_of(1)


def state_of(*operations: Signed[Operation]) -> LedgerState:
    state = LedgerState(GENESIS)
    state.add((one.id, one.record) for one in operations)
    return state


def test_replicas_with_the_same_set_make_the_same_snapshot() -> None:
    alice, bob = Chain(GENESIS, "alice"), Chain(GENESIS, "bob")
    one, two = alice.next(pay("bob", 5)), alice.next(escrow_terms())
    three = bob.next(pay("carol", 7))

    assert snapshot_root(state_of(one, two, three)) == snapshot_root(state_of(three, two, one))
    assert snapshot_root(state_of(one, two)) != snapshot_root(state_of(one, two, three))
    assert len(leaves_of(state_of(one, two, three))) == 4


def test_names_what_waits() -> None:
    alice = Chain(GENESIS, "alice")
    one, two = alice.next(pay("bob", 5)), alice.next(pay("bob", 6))

    assert snapshot_root(state_of(two)) != snapshot_root(state_of())
    assert snapshot_root(state_of(two, one)) == snapshot_root(state_of(one, two))


def test_taking_out_what_is_void_leaves_no_trace() -> None:
    alice = Chain(GENESIS, "alice")
    one, two = alice.next(pay("bob", 5)), alice.next(pay("bob", 6))
    state = state_of(one, two)
    before = snapshot_root(state_of(one))

    assert snapshot_root(state.without([two.id])) == before
    assert state.operation(two.id) is not None
    state.remove([two.id])
    assert snapshot_root(state) == before
    assert state.operation(two.id) is None
    state.remove([two.id])
    state.add([(two.id, two.record)])
    assert snapshot_root(state) == snapshot_root(state_of(one, two))
