"""A report is believed as far as it proves, about what was asked, and no further."""

from dataclasses import replace

import pytest

from p2pgrid.errors import PeerError
from p2pgrid.ledger import answers
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import first_witnesses, verify_batch
from p2pgrid.ledger.evidence import convict_account
from p2pgrid.ledger.messages import (
    AccountQuery,
    AccountReport,
    ById,
    ByTerms,
    EscrowQuery,
    EscrowReport,
    account_of_report,
    escrow_of_report,
)
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import CancelEscrow, SettleEscrow
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import Amount
from p2pgrid.wire.codec import decode, encode
from tests.ledger.grids import (
    NOW,
    Chain,
    account_of,
    certify,
    escrow_terms,
    genesis_of,
    node_of,
    pay,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network


class Peer:
    """A full peer with two escrows: alice's, cancelled and settled, and bob's."""

    def __init__(self) -> None:
        alice, bob, node = (Chain(GENESIS, name) for name in ("alice", "bob", "node"))
        opened = alice.next(escrow_terms())
        other = bob.next(escrow_terms())
        self.alices, self.bobs = opened.id, other.id
        settle = SettleEscrow(escrow=opened.id, to_farm=Amount(7), evidence=bytes(32))
        operations = [
            opened,
            other,
            alice.next(CancelEscrow(escrow=opened.id)),
            bob.next(CancelEscrow(escrow=other.id)),
            node.next(settle, fee=0),
        ]
        self.archive = Archive(GENESIS, MemoryStore(), node_of("peer"), lambda: NOW)
        self.archive.admit(verify_batch(certify(GENESIS, operations), WITNESSES, NETWORK))

    def escrow(self, query: EscrowQuery) -> EscrowReport:
        return decode(EscrowReport, answers.answer_escrow(self.archive, encode(query)))

    def account(self, account: AccountId) -> AccountReport:
        query = encode(AccountQuery(account=account))
        return decode(AccountReport, answers.answer_account(self.archive, query))


def test_an_honest_report_gives_what_the_peer_has() -> None:
    peer = Peer()
    by_id = EscrowQuery(ById(escrow=peer.alices))
    by_terms = EscrowQuery(ByTerms(consumer=account_of("alice"), terms_hash=bytes(32)))

    for query in (by_id, by_terms):
        found = escrow_of_report(peer.escrow(query), query, [WITNESSES], NETWORK)
        assert found == peer.archive.state.escrow(peer.alices)
    for name in ("alice", "bob", "node", "farm", "nobody"):
        account = account_of(name)
        report = peer.account(account)
        assert (
            account_of_report(report, account, [WITNESSES], NETWORK).balance
            == peer.archive.state.account(account).balance
        )


def test_nothing_known_is_no_escrow() -> None:
    query = EscrowQuery(ById(escrow=RecordId(bytes(32))))

    assert escrow_of_report(Peer().escrow(query), query, [WITNESSES], NETWORK) is None


@pytest.mark.parametrize("case", range(5))
def test_a_report_about_something_else_is_refused(case: int) -> None:
    peer = Peer()
    query = EscrowQuery(ById(escrow=peer.alices))
    by_terms = EscrowQuery(ByTerms(consumer=account_of("alice"), terms_hash=bytes(32)))
    good, bobs = peer.escrow(query), peer.escrow(EscrowQuery(ById(escrow=peer.bobs)))
    report, asked = [
        (bobs, query),
        (bobs, by_terms),
        (replace(good, cancel=bobs.cancel), query),
        (replace(good, closing=good.opening), query),
        (replace(good, opening=good.cancel), query),
    ][case]

    with pytest.raises(PeerError):
        escrow_of_report(report, asked, [WITNESSES], NETWORK)


@pytest.mark.parametrize("case", range(4))
def test_an_account_is_not_believed_beyond_its_proof(case: int) -> None:
    peer = Peer()
    alice, bobs = account_of("alice"), peer.account(account_of("bob"))
    good = peer.account(alice)
    mallory = Chain(GENESIS, "mallory")
    guilty = convict_account(mallory.fork(pay("bob", 1)), mallory.fork(pay("bob", 2)))
    report = [
        replace(good, sequence=good.sequence + 1),
        replace(good, head=None),
        replace(good, head=bobs.head),
        replace(good, conviction=guilty),
    ][case]

    with pytest.raises(PeerError):
        account_of_report(report, alice, [WITNESSES], NETWORK)
