"""What an archive makes of ends of epochs: what counts, what is void, what a crash forgets."""

from collections.abc import Sequence

from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import verify_batch
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.witness import Candidate
from p2pgrid.model.certificate import CertifiedBatch, Reason
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.wire.signed import Signed
from tests.ledger.council import Council, certify_in
from tests.ledger.grids import (
    NOW,
    START,
    Chain,
    account_of,
    genesis_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)


class Replica:
    """An archive with its disk."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.start()

    def start(self) -> None:
        self.archive = Archive(GENESIS, self.store, node_of(witness_names(4)[0]), lambda: NOW)

    def admit(self, *batches: CertifiedBatch) -> None:
        for batch in batches:
            frame = self.archive.epochs.chain.frame_of(batch.certificate.epoch)
            assert frame is not None
            self.archive.admit(verify_batch(batch, frame.witnesses, GENESIS.network))

    def end(self, certificate: EpochCertificate) -> None:
        self.archive.epochs.end(certificate)
        self.archive.settle()

    def learn(self, epoch: int, operations: Sequence[Signed[Operation]]) -> None:
        """Hear which operations an epoch held."""
        council = Council(4)
        council[0].books.operations.add(one.id for one in operations)
        cut = council[0].books.everything
        self.archive.epochs.operations_of(epoch).learn(cut)
        self.archive.settle()

    def balance(self, name: str) -> int:
        return self.archive.state.account(account_of(name)).balance

    def refusal(self, signed: Signed[Operation]) -> Reason | None:
        judged = self.archive.witness.judge([Candidate(signed, has_usable_keys=True)], NOW)
        self.store.write(judged.changes)
        return judged.refusals[0].reason if judged.refusals else None


def ended(*operations: Signed[Operation]) -> tuple[EpochCertificate, EpochChain]:
    """The end of epoch 0 with these, and the chain after it."""
    council = Council(4)
    certificate = council.end_with([one.id for one in operations])
    council.chain.append(certificate)
    return certificate, council.chain


def test_an_epoch_with_all_of_it_here_is_settled_at_once() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    certificate, chain = ended(one)
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [one]))
    replica.end(certificate)

    assert replica.archive.epochs.settled == 1
    assert replica.archive.witnesses == chain.witnesses
    replica.start()
    assert replica.archive.epochs.settled == 1
    assert replica.balance("bob") == START + 5


def test_an_epoch_waits_for_what_is_missing() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    certificate, _ = ended(one)
    replica = Replica()
    replica.end(certificate)
    assert replica.archive.epochs.unsettled == certificate

    replica.learn(0, [one])
    assert not replica.archive.epochs.is_settled
    replica.admit(certify_in(EpochChain(GENESIS), [one]))
    replica.archive.settle()
    assert replica.archive.epochs.is_settled


def test_what_an_epoch_ended_without_is_void() -> None:
    """And the slot is open: another operation takes it in the next epoch, without an alarm."""
    alice = Chain(GENESIS, "alice")
    void, other = alice.fork(pay("bob", 5)), alice.fork(pay("carol", 7))
    certificate, chain = ended()
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [void]))
    assert replica.balance("bob") == START + 5
    replica.end(certificate)
    replica.learn(0, [])

    assert replica.balance("bob") == START
    assert replica.archive.epochs.voids() == [(void.id, void.envelope)]
    assert replica.archive.batch_count == 0
    replica.admit(certify_in(EpochChain(GENESIS), [void]))  # it comes again, and stays void
    replica.admit(certify_in(chain, [other]))
    for _ in range(2):
        assert replica.balance("bob") == START
        assert replica.balance("carol") == START + 7
        assert not replica.archive.state.is_alarmed
        assert replica.archive.epochs.is_settled
        replica.start()


def test_the_same_operation_is_certified_again() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    certificate, chain = ended()
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [one]))
    replica.end(certificate)
    replica.learn(0, [])
    replica.admit(certify_in(chain, [one]))

    assert replica.balance("bob") == START + 5
    replica.start()
    assert replica.balance("bob") == START + 5
    assert replica.archive.state.operation(one.id) is not None


def test_a_batch_that_holds_more_is_kept() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    two = Chain(GENESIS, "carol").next(pay("bob", 7))
    certificate, _ = ended(two)
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [one, two]))
    replica.end(certificate)
    replica.learn(0, [two])

    for _ in range(2):
        assert replica.balance("bob") == START + 7
        assert replica.archive.proof(two.id) is not None
        assert replica.archive.proof(one.id) is None
        replica.start()


def test_later_epochs_wait_until_those_before_are_settled() -> None:
    alice = Chain(GENESIS, "alice")
    void, other = alice.fork(pay("bob", 5)), alice.fork(pay("carol", 7))
    certificate, chain = ended()
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [void]))
    replica.end(certificate)
    replica.admit(certify_in(chain, [other]))

    for _ in range(2):
        assert replica.balance("bob") == START + 5  # by all that it knows for sure
        assert not replica.archive.state.is_alarmed
        replica.start()
    replica.learn(0, [])
    assert replica.balance("bob") == START
    assert replica.balance("carol") == START + 7


def test_votes_end_with_their_epoch() -> None:
    alice = Chain(GENESIS, "alice")
    one, other = alice.fork(pay("bob", 5)), alice.fork(pay("carol", 7))
    certificate, _ = ended()
    replica = Replica()
    assert replica.refusal(one) is None
    assert replica.refusal(other) is Reason.CONFLICT
    replica.end(certificate)

    assert replica.refusal(other) is None
    assert replica.refusal(one) is Reason.CONFLICT
    replica.start()  # the votes of the new epoch are no less binding
    assert replica.refusal(one) is Reason.CONFLICT
    assert replica.refusal(other) is None


def test_votes_end_also_when_it_died_before_it_settled() -> None:
    alice = Chain(GENESIS, "alice")
    one, other = alice.fork(pay("bob", 5)), alice.fork(pay("carol", 7))
    certificate, _ = ended()
    replica = Replica()
    assert replica.refusal(one) is None
    replica.archive.epochs.end(certificate)
    replica.start()

    assert replica.archive.epochs.is_settled
    assert replica.refusal(other) is None


def test_what_was_late_is_not_stood_up_for_after_a_restart() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    two = Chain(GENESIS, "carol").next(pay("bob", 7))
    replica = Replica()
    replica.admit(certify_in(EpochChain(GENESIS), [one]))
    replica.archive.epochs.close()
    replica.admit(certify_in(EpochChain(GENESIS), [two]))
    replica.start()
    replica.archive.epochs.close()

    assert replica.archive.epochs.closed.operations == {one.id}
    assert replica.archive.epochs.everything.operations == {one.id, two.id}


def test_the_snapshot_of_a_set_leaves_out_what_is_late() -> None:
    one = Chain(GENESIS, "alice").next(pay("bob", 5))
    two = Chain(GENESIS, "carol").next(pay("bob", 7))
    first, both = Replica(), Replica()
    first.admit(certify_in(EpochChain(GENESIS), [one]))
    both.admit(certify_in(EpochChain(GENESIS), [one]))
    both.archive.epochs.close()
    both.admit(certify_in(EpochChain(GENESIS), [two]))
    books = both.archive.epochs

    expected = first.archive.epochs.snapshot_root(first.archive.epochs.everything)
    assert books.snapshot_root(books.closed) == expected
    assert books.snapshot_root(books.everything) != expected
    assert books.held(books.closed.root) == books.closed
    assert books.held(RecordId(bytes(32))) is None


def test_what_is_over_leaves_nothing_of_its_agreement() -> None:
    certificate, _ = ended()
    replica = Replica()
    replica.store.write([(Table.AGREEMENT.key(bytes(8)), b"")])
    replica.end(certificate)

    assert list(replica.store.scan(Table.AGREEMENT.value)) == []
